/*
 * COPY and MOVE.
 *
 *   LOOK        each message: its file, how large it is, whether its bytes may
 *               not be on the disk yet (copy_look.c, copy_file.c)
 *   QUOTA       whether there is room for them
 *   SYNC_FILES  those, each file once, some side by side
 *   COMMIT      links straight into cur/, and UIDs, some hundred at a time,
 *               each lot in a transaction
 *   BYTES       where a link can't be made: copied to tmp/ (copy_bytes.c);
 *               then SYNC_FILES and COMMIT again, from there on
 *   SYNC        directory and database; only now the UIDs may be shown
 *   REMOVE      MOVE only: the sources go, as EXPUNGE does it
 *   UNDO        after a failure before the end of SYNC: all copies go
 *
 * A link into cur/ is seen by others at once, and has no UID before the commit.
 * A scan gives UIDs in transactions only, so it has to wait for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/change.h"
#include "maildir/copy_impl.h"
#include "maildir/durable.h"
#include "maildir/keywords.h"
#include "maildir/quota.h"
#include "maildir/work.h"

enum { COPY_MAGIC = 0x436f7079 };

enum copy_state {
	COPY_LOOK,
	COPY_QUOTA,
	COPY_SYNC_FILES,
	COPY_BYTES,
	COPY_COMMIT,
	COPY_SYNC,
	COPY_REMOVE,
	COPY_UNDO,
	COPY_DONE,
};

struct change_copy {
	unsigned magic;
	struct mailbox *from, *to;
	bool move;
	uint32_t dropped; /* flags that the copies don't get */
	bool drop_keywords;
	struct keyword_map keywords; /* of the running transaction */
	enum copy_state state;
	size_t n_uids;
	struct copy_look look;
	int tmp_fd;
	struct copy_item *v;
	size_t n, at_item;
	size_t at_bytes; /* items up to here have their bytes */
	bool no_links;	 /* no file of one can be linked to the other */
	uint64_t bytes, messages; /* for the quota */
	struct copy_bytes file;	  /* of the item at at_bytes */
	struct copy_sync young;
	struct durable durable;
	struct change_expunge *removal;
	change_observer *observer;
	void *observer_arg;
	int64_t busy_since_ms;
	uint32_t *pairs;
	struct copy_result result;
	/* what fails is of the other account, which has seen to it itself */
	bool theirs;
};

static int
open_tmp(struct mailbox *m, struct err *e)
{
	struct buf path;
	int fd;

	buf_init(&path, 1024);
	mailbox_put_path(m, &path, "tmp");
	fd = fsx_open_dir(m->account->root_fd, buf_cstr(&path));
	if (fd < 0)
		(void)err_sys(e, "open %s", buf_cstr(&path));
	buf_fini(&path);
	return fd;
}

int
change_copy_begin(struct mailbox *from, struct account *account,
    struct slice target, const uint32_t *uids, size_t n, bool move,
    struct change_copy **out, struct err *e)
{
	struct change_copy *c;
	struct mailbox *to;
	int fd, rc;

	MAGIC_CHECK(from, MAILBOX_MAGIC);
	if (from->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = mailbox_open(account, target, &to, e)) != 0)
		return rc;
	if ((fd = open_tmp(to, e)) < 0) {
		mailbox_close(&to);
		return ERR_SYS;
	}
	c = MEM_NEW(struct change_copy);
	c->magic = COPY_MAGIC;
	c->from = from;
	from->refs++;
	from->account->refs++;
	c->to = to;
	c->move = move;
	c->tmp_fd = fd;
	c->file = (struct copy_bytes){ .from = from, .to = to };
	c->young = (struct copy_sync){ .from = from, .to = to, .tmp_fd = fd };
	copy_look_begin(&c->look, from, to, uids, n);
	c->n_uids = n;
	*out = c;
	return 0;
}

int
change_move_without_begin(struct mailbox *from, struct slice target,
    const uint32_t *uids, size_t n, uint32_t flags, struct change_copy **out,
    struct err *e)
{
	int rc = change_copy_begin(
	    from, from->account, target, uids, n, true, out, e);

	if (rc == 0)
		change_copy_drop(*out, flags, false);
	return rc;
}

void
change_copy_drop(struct change_copy *c, uint32_t flags, bool keywords)
{
	MAGIC_CHECK(c, COPY_MAGIC);
	c->dropped = flags;
	c->drop_keywords = keywords;
}

static enum step
undo(struct change_copy *c, int rc)
{
	c->result.result = rc;
	c->state = COPY_UNDO;
	c->at_item = 0;
	return STEP_NEXT;
}

/* --- looking -------------------------------------------------------------- */

/* Whether it counts, and what the copy gets of its flags. */
static void
settle(const struct change_copy *c, struct copy_item *it)
{
	/* a MOVE within an account takes away as much as it adds, but for what
	 * is in the trash */
	it->counted = c->move && c->to->account == c->from->account &&
	    quota_counts(c->from, it->place);
	it->place =
	    place_with_flags(it->place, place_flags(it->place) & ~c->dropped);
	it->counts = quota_counts(c->to, it->place);
}

static enum step
step_look(
    struct change_copy *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	int rc = 0;
	enum step step = copy_look_step(&c->look, waker, now_ms, wall_ms, &rc);

	if (step != STEP_DONE)
		return step;
	if (rc == 0 && c->from->gone)
		rc = ERR_STALE;
	if (rc != 0)
		return undo(c, rc);
	c->v = copy_look_take(&c->look, &c->n);
	for (size_t i = 0; i < c->n; i++)
		settle(c, &c->v[i]);
	c->state = COPY_QUOTA;
	return STEP_NEXT;
}

/* --- quota ---------------------------------------------------------------- */

/* What those that are there add to the quota, once all is done. */
static void
count_added(struct change_copy *c)
{
	c->bytes = c->messages = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].counts && !c->v[i].counted && !c->v[i].gone) {
			c->bytes += c->v[i].fixed.file_size;
			c->messages++;
		}
}

/* Those that have come into the mailbox count. */
static void
note_quota(struct change_copy *c)
{
	int64_t bytes = 0, messages = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].counts && c->v[i].committed != NULL) {
			bytes += (int64_t)c->v[i].fixed.file_size;
			messages++;
		}
	quota_note(c->to->account, bytes, messages);
}

static enum step
step_quota(struct change_copy *c, int64_t now_ms, int64_t wall_ms)
{
	int rc;

	count_added(c);
	/* who is over quota may still throw away */
	if (c->messages != 0) {
		rc = quota_check(
		    c->to->account, c->bytes, c->messages, wall_ms, NULL);
		/* somebody has the database, or all is being counted */
		if (rc == ERR_BUSY &&
		    work_still_busy(&c->busy_since_ms, now_ms))
			return c->to->account->counting != NULL
			    ? STEP_YIELD
			    : STEP_WAIT_PEER;
		c->busy_since_ms = 0;
		if (rc != 0)
			return undo(c, rc);
	}
	c->state = COPY_SYNC_FILES;
	c->at_item = 0;
	return STEP_NEXT;
}

/* --- syncing files -------------------------------------------------------- */

static enum step
step_sync_files(struct change_copy *c, struct waker waker)
{
	int rc = 0;
	enum step step = copy_sync_step(&c->young, c->v, c->n, waker, &rc);

	if (step != STEP_DONE)
		return step;
	if (rc != 0)
		return undo(c, rc);
	c->state = COPY_COMMIT;
	return STEP_NEXT;
}

/* --- committing ----------------------------------------------------------- */

/* *bytes: it can't be linked. */
static int
commit_one(
    struct change_copy *c, struct edit *ed, struct copy_item *it, bool *bytes)
{
	struct file_name name = { 0 };
	uint32_t set = 0;
	int rc = 0;

	*bytes = c->no_links && it->tmp == NULL && !it->gone;
	if (it->gone || *bytes)
		return 0;
	c->theirs = c->from->account != c->to->account;
	rc =
	    copy_item_place(it, c->from, c->to, c->tmp_fd, bytes, &c->no_links);
	if (*bytes)
		return 0;
	if (rc != 0 || it->gone)
		return rc;
	c->theirs = false;
	if (!c->drop_keywords)
		rc = keyword_set_copy(
		    c->to, c->from, it->keywords, &c->keywords, &set, NULL);
	name.base = slice_str(it->base);
	name.place = it->place;
	return rc != 0 ? rc
		       : edit_append(ed, &name, set, &it->fixed, &it->to, NULL);
}

static enum step
step_commit(struct change_copy *c, int64_t now_ms)
{
	struct edit ed;
	size_t end = c->at_item + WORK_SLICE, from = c->at_item, i = from;
	bool bytes = false, lost = false;
	int rc;

	if (end > c->n)
		end = c->n;
	if (from == end) {
		c->state = c->n != 0 ? COPY_SYNC : COPY_DONE;
		return STEP_NEXT;
	}
	rc = edit_begin_some(&ed, c->to, NULL);
	if (rc == ERR_MORE)
		return STEP_YIELD;
	if (rc == ERR_BUSY && work_still_busy(&c->busy_since_ms, now_ms))
		return STEP_WAIT_PEER;
	if (rc != 0)
		return undo(c, rc);
	c->busy_since_ms = 0;
	keyword_map_fini(&c->keywords);
	for (; i < end && rc == 0 && !bytes && !lost; i++) {
		bool gone = c->v[i].gone;

		rc = commit_one(c, &ed, &c->v[i], &bytes);
		/* the directories were searched for it */
		lost = !gone && c->v[i].gone;
	}
	/* it isn't the messages that are gone */
	if (rc == 0 && lost && c->from->gone)
		rc = ERR_STALE;
	if (rc == 0) {
		rc = edit_commit(&ed, NULL);
	} else {
		edit_abort(&ed);
		/* the source's names may have been read in it */
		if (!c->theirs)
			rc = account_db_failed(c->to->account, rc);
	}
	if (rc != 0) {
		for (size_t k = from; k < end; k++)
			c->v[k].to = 0;
		return undo(c, rc);
	}
	c->at_item = bytes ? i - 1 : i;
	if (bytes) {
		c->at_bytes = c->at_item;
		c->state = COPY_BYTES;
	}
	return end < c->n || lost ? STEP_YIELD : STEP_NEXT;
}

/* Of the item at which COMMIT stopped, or of all from there on. */
static enum step
step_bytes(struct change_copy *c, struct waker waker)
{
	size_t end = c->no_links ? c->n : c->at_item + 1;
	uint64_t n = 0;

	for (; c->at_bytes < end && n < COPY_BYTES_SLICE; c->at_bytes++) {
		struct copy_item *it = &c->v[c->at_bytes];
		enum step step;
		int rc;

		if (it->gone)
			continue;
		step = copy_bytes_step(&c->file, it, c->tmp_fd, waker, &rc);
		if (step != STEP_DONE)
			return step;
		if (rc == ERR_NOT_FOUND && it->tmp == NULL)
			it->gone = true;
		else if (rc != 0)
			return undo(c, rc);
		n += it->fixed.file_size + 4096;
	}
	if (c->at_bytes < end)
		return STEP_YIELD;
	c->state = COPY_SYNC_FILES;
	return STEP_NEXT;
}

static void
tell_pairs(struct change_copy *c)
{
	size_t n = 0;

	c->pairs = mem_alloc(2 * c->n * sizeof(*c->pairs));
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].to == 0)
			continue;
		c->pairs[n] = c->v[i].from;
		c->pairs[c->n + n++] = c->v[i].to;
	}
	c->result = (struct copy_result){ 0, c->to->uidvalidity, c->pairs,
		c->pairs + c->n, n };
}

static enum step
step_sync(struct change_copy *c, struct waker waker)
{
	int rc;
	enum step step = durable_step(&c->durable, c->to, true, waker, &rc);

	if (step != STEP_DONE)
		return step;
	if (rc != 0)
		return undo(c, rc);
	note_quota(c);
	tell_pairs(c);
	c->state = c->move ? COPY_REMOVE : COPY_DONE;
	return STEP_NEXT;
}

/* --- the ends ------------------------------------------------------------- */

void
change_copy_observe(struct change_copy *c, change_observer *fn, void *arg)
{
	MAGIC_CHECK(c, COPY_MAGIC);
	c->observer = fn;
	c->observer_arg = arg;
}

static int
order_item(const void *key, const void *item)
{
	uint32_t x = *(const uint32_t *)key,
		 y = ((const struct copy_item *)item)->from;

	return x < y ? -1 : x > y;
}

/* The source goes; c->v is in the order of its UIDs. */
static void
on_removed(void *arg, uint32_t uid, struct slice path, struct slice kept)
{
	const struct change_copy *c = arg;
	const struct copy_item *it =
	    bsearch(&uid, c->v, c->n, sizeof(*c->v), order_item);
	struct buf b;

	if (it == NULL || it->committed == NULL) {
		c->observer(c->observer_arg, uid, path, kept);
		return;
	}
	buf_init(&b, 8192);
	buf_putf(&b, "%s/", c->to->account->path);
	mailbox_put_path(c->to, &b, "cur");
	buf_putf(&b, "/%s", it->committed);
	c->observer(c->observer_arg, uid, path, buf_slice(&b));
	buf_fini(&b);
}

static enum step
step_remove(
    struct change_copy *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	enum step step;
	size_t n_removed;
	int rc;

	if (c->removal == NULL) {
		rc = change_remove_begin(
		    c->from, c->pairs, c->result.n, &c->removal, NULL);
		if (rc != 0) {
			c->result.result = rc;
			c->state = COPY_DONE;
			return STEP_NEXT;
		}
		if (c->observer != NULL)
			change_expunge_observe(c->removal, on_removed, c);
	}
	step = change_expunge_step(c->removal, waker, now_ms, wall_ms);
	if (step != STEP_DONE)
		return step;
	c->result.result = change_expunge_result(c->removal, &n_removed);
	c->state = COPY_DONE;
	return STEP_NEXT;
}

static enum step
step_undo(struct change_copy *c, int64_t now_ms)
{
	struct edit ed;
	size_t end = c->at_item + WORK_SLICE;
	bool rows = false;
	int rc = 0;

	if (end > c->n)
		end = c->n;
	for (size_t i = c->at_item; i < end; i++)
		rows = rows || c->v[i].to != 0;
	if (rows) {
		rc = edit_begin(&ed, c->to, NULL);
		if (rc == ERR_BUSY &&
		    work_still_busy(&c->busy_since_ms, now_ms))
			return STEP_WAIT_PEER;
	}
	for (size_t i = c->at_item; i < end; i++) {
		size_t at;
		uint32_t k;

		copy_item_undo(&c->v[i], c->to, c->tmp_fd);
		if (rows && rc == 0 && edit_find(&ed, c->v[i].to, &at, &k))
			edit_remove(&ed, at, k);
	}
	/* Rows that stay are found to have no file by the next refresh. */
	if (rows && (rc != 0 || edit_commit(&ed, NULL) != 0))
		scan_distrust(c->to);
	c->at_item = end;
	if (end < c->n)
		return STEP_YIELD;
	c->state = COPY_DONE;
	return STEP_NEXT;
}

static enum step
advance(
    struct change_copy *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	switch (c->state) {
	case COPY_LOOK:
		return step_look(c, waker, now_ms, wall_ms);
	case COPY_QUOTA:
		return step_quota(c, now_ms, wall_ms);
	case COPY_SYNC_FILES:
		return step_sync_files(c, waker);
	case COPY_BYTES:
		return step_bytes(c, waker);
	case COPY_COMMIT:
		return step_commit(c, now_ms);
	case COPY_SYNC:
		return step_sync(c, waker);
	case COPY_REMOVE:
		return step_remove(c, waker, now_ms, wall_ms);
	case COPY_UNDO:
		return step_undo(c, now_ms);
	case COPY_DONE:
		break;
	}
	return STEP_DONE;
}

enum step
change_copy_step(
    struct change_copy *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	enum step step = STEP_NEXT;

	MAGIC_CHECK(c, COPY_MAGIC);
	c->to->account->store->wall_ms = wall_ms;
	while (step == STEP_NEXT)
		step = advance(c, waker, now_ms, wall_ms);
	return step;
}

void
change_copy_progress(
    const struct change_copy *c, uint64_t *done, uint64_t *goal)
{
	MAGIC_CHECK(c, COPY_MAGIC);
	/* half of the work is to look at them, half to bring them there */
	*goal = c->n_uids;
	*done = c->state == COPY_LOOK ? c->look.n : c->n_uids + c->at_item;
	if (c->state > COPY_COMMIT)
		*done = 2 * *goal;
	*done /= 2;
}

const struct copy_result *
change_copy_result(const struct change_copy *c)
{
	MAGIC_CHECK(c, COPY_MAGIC);
	return &c->result;
}

void
change_copy_free(struct change_copy **pc)
{
	struct change_copy *c = *pc;

	*pc = NULL;
	if (c == NULL)
		return;
	MAGIC_CHECK(c, COPY_MAGIC);
	copy_bytes_fini(&c->file);
	copy_sync_fini(&c->young);
	durable_fini(&c->durable);
	change_expunge_free(&c->removal);
	/* they stay, although nobody will be told */
	if (c->state < COPY_REMOVE || c->state == COPY_UNDO)
		note_quota(c);
	for (size_t i = 0; i < c->n; i++) {
		struct copy_item *it = &c->v[i];

		if (c->state != COPY_DONE && it->committed == NULL)
			copy_item_undo(it, c->to, c->tmp_fd);
		copy_item_fini(it);
	}
	keyword_map_fini(&c->keywords);
	free(c->v);
	copy_look_fini(&c->look);
	free(c->pairs);
	(void)close(c->tmp_fd);
	mailbox_close(&c->to);
	mailbox_close(&c->from);
	c->magic = 0;
	free(c);
}
