#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/account_change.h"
#include "maildir/change.h"
#include "maildir/durable.h"
#include "maildir/quota.h"
#include "maildir/scan.h"
#include "maildir/twins.h"
#include "maildir/work.h"
#include "maildir/young.h"

enum { EXPUNGE_MAGIC = 0x45787067 };

enum expunge_state {
	EXPUNGE_MAKE_TRASH, /* if it isn't there */
	EXPUNGE_TRASH,	    /* first what goes into the trash */
	EXPUNGE_WORK,
	EXPUNGE_TWINS, /* then WORK again, for those of several files */
	EXPUNGE_SYNC,
	EXPUNGE_DONE,
};

struct change_expunge {
	unsigned magic;
	struct mailbox *m;
	enum expunge_state state;
	bool any; /* whatever the flags */
	struct account_change *make;
	uint32_t *thrown; /* into the trash */
	size_t n_thrown;
	struct change_copy *trash;
	change_observer *observer;
	void *observer_arg;
	struct uid_work work;
	struct twins twins; /* left out by WORK until they were found */
	size_t n_removed;
	int64_t quota_bytes, quota_messages;
	bool quota_unknown;	    /* the bytes of some */
	uint32_t slice[WORK_SLICE]; /* unlinked in the running transaction */
	size_t n_slice;
	struct durable durable;
	int result;
};

static void
begin(struct mailbox *m, const uint32_t *uids, size_t n, bool any,
    struct change_expunge **out)
{
	struct change_expunge *c = MEM_NEW(struct change_expunge);

	c->magic = EXPUNGE_MAGIC;
	c->state = EXPUNGE_WORK;
	c->m = m;
	c->any = any;
	m->refs++;
	m->account->refs++;
	uid_work_init(&c->work, m, uids, n);
	*out = c;
}

static uint32_t *
all_deleted(const struct view *v, size_t *n)
{
	uint32_t *uids = mem_alloc(((size_t)v->count + 1) * sizeof(*uids));

	*n = 0;
	for (size_t k = 0; k < v->n_chunks; k++)
		for (uint32_t i = 0; i < v->v[k]->n; i++)
			if (chunk_message(v->v[k], i)->flags & MESSAGE_DELETED)
				uids[(*n)++] = chunk_uid(v->v[k], i);
	return uids;
}

int
change_expunge_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e)
{
	uint32_t *own = NULL;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	/* Only what the sessions have been shown. */
	if (uids == NULL)
		uids = own = all_deleted(m->shown, &n);
	begin(m, uids, n, false, out);
	free(own);
	return 0;
}

void
change_expunge_observe(struct change_expunge *c, change_observer *fn, void *arg)
{
	MAGIC_CHECK(c, EXPUNGE_MAGIC);
	c->observer = fn;
	c->observer_arg = arg;
}

static void
tell(const struct change_expunge *c, const struct chunk *ch, uint32_t i)
{
	struct buf path, name;

	if (c->observer == NULL)
		return;
	buf_init(&path, 8192);
	buf_init(&name, 1024);
	buf_putf(&path, "%s/", c->m->account->path);
	mailbox_put_path(
	    c->m, &path, chunk_place(ch, i) & PLACE_NEW ? "new" : "cur");
	buf_putf(&path, "/%s", message_name(&name, ch, i));
	c->observer(c->observer_arg, chunk_uid(ch, i), buf_slice(&path),
	    slice_of("", 0));
	buf_fini(&name);
	buf_fini(&path);
}

/* --- into the trash ------------------------------------------------------- */

static int
order_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Those of c's UIDs that have \Deleted and aren't in skip, which is sorted. */
static uint32_t *
for_trash(const struct change_expunge *c, const uint32_t *skip, size_t n_skip,
    size_t *n)
{
	const struct view *v = c->m->shown;
	uint32_t *uids = mem_alloc((c->work.n + 1) * sizeof(*uids));

	*n = 0;
	for (size_t k = 0; k < c->work.n; k++) {
		uint32_t uid = c->work.uids[k], seq = view_find(v, uid);

		if (seq != 0 && view_get(v, seq)->flags & MESSAGE_DELETED &&
		    (n_skip == 0 ||
			bsearch(&uid, skip, n_skip, sizeof(uid), order_uids) ==
			    NULL))
			uids[(*n)++] = uid;
	}
	return uids;
}

static void
put_trash_name(const struct change_expunge *c, struct buf *out)
{
	buf_putf(out, "INBOX.%s", c->m->account->store->trash_name);
}

int
change_expunge_to_trash_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const uint32_t *skip, size_t n_skip, struct change_expunge **out,
    struct err *e)
{
	struct change_expunge *c;
	uint32_t *sorted;
	int rc = change_expunge_begin(m, uids, n, &c, e);

	if (rc != 0 || strcmp(m->dir, m->account->store->trash_dir) == 0) {
		if (rc == 0)
			*out = c;
		return rc;
	}
	sorted = mem_alloc((n_skip + 1) * sizeof(*sorted));
	if (n_skip != 0) {
		memcpy(sorted, skip, n_skip * sizeof(*sorted));
		qsort(sorted, n_skip, sizeof(*sorted), order_uids);
	}
	c->thrown = for_trash(c, sorted, n_skip, &c->n_thrown);
	free(sorted);
	/* what gets the flag from now on isn't in the trash, and stays */
	sorted = for_trash(c, NULL, 0, &n);
	free(c->work.uids);
	c->work.uids = sorted;
	c->work.n = n;
	if (c->n_thrown != 0) {
		struct buf name;

		buf_init(&name, 4096);
		put_trash_name(c, &name);
		c->make = account_create(m->account, buf_slice(&name));
		c->state = EXPUNGE_MAKE_TRASH;
		buf_fini(&name);
	}
	*out = c;
	return 0;
}

/* The trash is there, or can't be made. */
static int
begin_trash(struct change_expunge *c)
{
	struct buf name;
	int rc;

	buf_init(&name, 4096);
	put_trash_name(c, &name);
	rc = change_move_without_begin(c->m, buf_slice(&name), c->thrown,
	    c->n_thrown, MESSAGE_DELETED | MESSAGE_DRAFT, &c->trash, NULL);
	buf_fini(&name);
	if (rc == 0 && c->observer != NULL)
		change_copy_observe(c->trash, c->observer, c->observer_arg);
	return rc;
}

static enum step
step_make_trash(struct change_expunge *c, struct waker waker, int64_t now_ms)
{
	int rc = 0;

	if (c->make != NULL) {
		enum step step = account_change_step(c->make, waker, &rc, NULL);

		if (step == STEP_WAIT_PEER &&
		    work_still_busy(&c->work.busy_since_ms, now_ms))
			return STEP_WAIT_PEER;
		if (step == STEP_WAIT_PEER)
			rc = ERR_BUSY;
		else if (step != STEP_DONE)
			return step;
		account_change_free(&c->make);
		c->work.busy_since_ms = 0;
		rc = rc == ERR_EXISTS ? 0 : rc;
	}
	if (rc == 0)
		rc = begin_trash(c);
	if (rc == ERR_MORE)
		return STEP_YIELD;
	if (rc == ERR_BUSY && work_still_busy(&c->work.busy_since_ms, now_ms))
		return STEP_WAIT_PEER;
	c->work.busy_since_ms = 0;
	c->result = rc;
	c->state = rc == 0 ? EXPUNGE_TRASH : EXPUNGE_DONE;
	return STEP_NEXT;
}

static enum step
step_trash(struct change_expunge *c, struct waker waker, int64_t now_ms,
    int64_t wall_ms)
{
	const struct copy_result *r;
	enum step step;

	step = change_copy_step(c->trash, waker, now_ms, wall_ms);
	if (step != STEP_DONE)
		return step;
	r = change_copy_result(c->trash);
	c->result = r->result;
	c->n_removed += r->n;
	/* What couldn't be kept isn't removed either. */
	c->state = r->result == 0 ? EXPUNGE_WORK : EXPUNGE_DONE;
	change_copy_free(&c->trash);
	return STEP_NEXT;
}

int
change_remove_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	begin(m, uids, n, true, out);
	return 0;
}

/* Take away all files of a message, its own one last: who has just renamed
 * that may have taken the flag back.  0, or errno; -1: another one was renamed,
 * and is to be looked for first. */
static int
unlink_files(struct change_expunge *c, struct chunk *ch, uint32_t i)
{
	int dir = chunk_place(ch, i) & PLACE_NEW ? DIR_NEW : DIR_CUR;
	int fd = mailbox_dir_fd(c->m, dir), rc = 0;
	struct buf name;
	size_t others = 0;

	if (fd < 0)
		return errno;
	buf_init(&name, 1024);
	(void)message_name(&name, ch, i);
	if (c->twins.found && scan_place_presence(c->m, ch, i) != ABSENT)
		rc = twins_unlink(&c->twins, c->m, chunk_uid(ch, i), dir,
		    buf_cstr(&name), &others);
	if (rc != 0)
		rc = rc < 0 ? errno : -1;
	/* whether they were counted isn't known */
	c->quota_unknown = c->quota_unknown || others != 0;
	if (rc == 0 && fsx_unlink(fd, buf_cstr(&name)) < 0)
		rc = errno;
	else if (rc == 0)
		watch_own(&c->m->dirs[dir], buf_slice(&name), false);
	buf_fini(&name);
	return rc;
}

static int
remove_one(struct change_expunge *c, struct edit *ed, uint32_t uid)
{
	struct chunk *ch;
	uint32_t i;
	size_t at;
	uint64_t size = 0;
	bool counts, known;
	int rc;

	if (!edit_find(ed, uid, &at, &i))
		return 0;
	ch = ed->v[at];
	/* Somebody may have taken the flag back. */
	if (!c->any && !(chunk_message(ch, i)->flags & MESSAGE_DELETED))
		return 0;
	if (!c->twins.found && twins_known(c->m, uid)) {
		twins_add(&c->twins, uid, chunk_base(ch, i));
		return 0;
	}
	counts = quota_counts(c->m, chunk_place(ch, i));
	known = !counts || quota_size(c->m, ch, i, &size);
	rc = unlink_files(c, ch, i);
	if (rc == ENOENT && young_kept(c->m, uid))
		rc = 0;
	if (rc == ENOENT)
		uid_work_again(&c->work, uid);
	if (rc == ENOENT || rc < 0)
		return 0;
	if (rc != 0)
		return err_of_errno(rc);
	tell(c, ch, i);
	edit_remove(ed, at, i);
	c->slice[c->n_slice++] = uid;
	c->quota_bytes -= (int64_t)size;
	c->quota_messages -= counts;
	c->quota_unknown = c->quota_unknown || !known;
	c->n_removed++;
	return 0;
}

/* The disk is full, and their files are gone: once more, with what was kept
 * for that. */
static int
commit_again(struct change_expunge *c)
{
	struct edit ed;
	int rc;

	if (!room_give(c->m->account))
		return ERR_SPACE;
	if ((rc = edit_begin(&ed, c->m, NULL)) != 0)
		return rc;
	for (size_t k = 0; k < c->n_slice; k++) {
		size_t at;
		uint32_t i;

		if (edit_find(&ed, c->slice[k], &at, &i))
			edit_remove(&ed, at, i);
	}
	return edit_commit(&ed, NULL);
}

static int
work_slice(void *arg)
{
	struct change_expunge *c = arg;
	struct uid_work *w = &c->work;
	struct edit ed;
	size_t n = 0;
	int rc = edit_begin_some(&ed, c->m, NULL), commit;

	if (rc != 0)
		return rc;
	c->quota_bytes = c->quota_messages = 0;
	c->quota_unknown = false;
	c->n_slice = 0;
	for (; w->at < w->n && n < WORK_SLICE && rc == 0; n++)
		rc = remove_one(c, &ed, w->uids[w->at++]);
	/* What was unlinked before a failure is gone all the same. */
	commit = edit_commit(&ed, NULL);
	if (commit == ERR_SPACE)
		commit = commit_again(c);
	if (commit != 0)
		scan_distrust(c->m);
	mailbox_publish(c->m);
	quota_note(c->m->account, c->quota_bytes, c->quota_messages);
	if (c->quota_unknown)
		quota_distrust(c->m->account);
	return rc != 0 ? rc : commit;
}

static enum step
step_work(struct change_expunge *c, struct waker waker, int64_t now_ms,
    int64_t wall_ms)
{
	int rc;
	enum step step =
	    uid_work_step(&c->work, work_slice, c, waker, now_ms, wall_ms, &rc);

	if (step != STEP_DONE)
		return step;
	c->result = rc;
	if (rc == 0 && c->twins.n != 0 &&
	    (!c->twins.found || twins_again(&c->twins))) {
		c->state = EXPUNGE_TWINS;
		return STEP_NEXT;
	}
	c->state = rc == 0 &&
		(c->m->account->store->opt.fsync_always || c->m->unsynced)
	    ? EXPUNGE_SYNC
	    : EXPUNGE_DONE;
	return STEP_NEXT;
}

static enum step
step_twins(struct change_expunge *c)
{
	uint32_t *uids;
	int rc = c->m->gone ? ERR_STALE : twins_find(&c->twins, c->m);

	if (rc == ERR_MORE)
		return STEP_YIELD;
	c->result = rc;
	c->state = rc == 0 ? EXPUNGE_WORK : EXPUNGE_DONE;
	if (rc != 0)
		return STEP_NEXT;
	uids = twins_uids(&c->twins);
	uid_work_fini(&c->work);
	uid_work_init(&c->work, c->m, uids, c->twins.n);
	free(uids);
	return STEP_NEXT;
}

enum step
change_expunge_step(struct change_expunge *c, struct waker waker,
    int64_t now_ms, int64_t wall_ms)
{
	enum step step = STEP_NEXT;

	MAGIC_CHECK(c, EXPUNGE_MAGIC);
	c->m->account->store->wall_ms = wall_ms;
	while (step == STEP_NEXT && c->state != EXPUNGE_DONE) {
		if (c->state == EXPUNGE_MAKE_TRASH) {
			step = step_make_trash(c, waker, now_ms);
			continue;
		}
		if (c->state == EXPUNGE_TRASH) {
			step = step_trash(c, waker, now_ms, wall_ms);
			continue;
		}
		if (c->state == EXPUNGE_WORK) {
			step = step_work(c, waker, now_ms, wall_ms);
			continue;
		}
		if (c->state == EXPUNGE_TWINS) {
			step = step_twins(c);
			continue;
		}
		step = durable_step(&c->durable, c->m,
		    c->m->account->store->opt.fsync_always, waker, &c->result);
		if (step != STEP_DONE)
			return step;
		c->state = EXPUNGE_DONE;
	}
	return c->state == EXPUNGE_DONE ? STEP_DONE : step;
}

int
change_expunge_result(const struct change_expunge *c, size_t *n_removed)
{
	MAGIC_CHECK(c, EXPUNGE_MAGIC);
	*n_removed = c->n_removed;
	return c->result;
}

void
change_expunge_free(struct change_expunge **pc)
{
	struct change_expunge *c = *pc;

	*pc = NULL;
	if (c == NULL)
		return;
	MAGIC_CHECK(c, EXPUNGE_MAGIC);
	account_change_free(&c->make);
	free(c->thrown);
	change_copy_free(&c->trash);
	durable_fini(&c->durable);
	twins_fini(&c->twins);
	uid_work_fini(&c->work);
	mailbox_close(&c->m);
	c->magic = 0;
	free(c);
}
