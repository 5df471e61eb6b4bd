#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/change.h"
#include "maildir/durable.h"
#include "maildir/import.h"
#include "maildir/keywords.h"
#include "maildir/quota.h"
#include "maildir/work.h"
#include "maildir/young.h"

enum { FLAGS_MAGIC = 0x466c6167 };

enum flags_state {
	FLAGS_IMPORT,
	FLAGS_REFRESH,
	FLAGS_WORK,
	FLAGS_SYNC,
	FLAGS_DONE,
};

struct change_flags {
	unsigned magic;
	struct mailbox *m;
	enum flags_state state;
	struct uid_work work;
	struct flags_change what;
	struct slice *keywords; /* copies */
	/* their numbers, ascending, as far as the running transaction has
	 * asked for them */
	enum { NUMBERS_UNKNOWN, NUMBERS_FOUND, NUMBERS_MADE } numbers_are;
	uint16_t *numbers;
	size_t n_numbers;
	uint32_t *modified;
	size_t n_modified, missing;
	bool too_long; /* of some the name has no room for the letters */
	int64_t quota_bytes, quota_messages; /* of the running transaction */
	bool quota_unknown;		     /* the bytes of some */
	bool need_sync;
	struct durable durable;
	int result;
};

int
change_flags_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const struct flags_change *what, struct change_flags **out, struct err *e)
{
	struct change_flags *c;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	c = MEM_NEW(struct change_flags);
	c->magic = FLAGS_MAGIC;
	c->m = m;
	m->refs++;
	m->account->refs++;
	uid_work_init(&c->work, m, uids, n);
	c->what = *what;
	c->what.flags &= MESSAGE_FLAGS_ALL;
	c->keywords = mem_alloc((what->n_keywords + 1) * sizeof(struct slice));
	for (size_t i = 0; i < what->n_keywords; i++)
		c->keywords[i] =
		    slice_of(slice_dup(what->keywords[i]), what->keywords[i].n);
	c->what.keywords = c->keywords;
	c->numbers = mem_alloc((what->n_keywords + 1) * sizeof(*c->numbers));
	if (c->what.known != NULL)
		(void)view_ref(c->what.known);
	c->modified = mem_alloc((n + 1) * sizeof(*uids));
	*out = c;
	return 0;
}

/* Keyword sets before and after, so that each pair is worked out once. */
struct set_change {
	bool known;
	uint32_t from, to;
};

/* The numbers of the command's keywords, of those that there are. */
static void
find_numbers(struct change_flags *c)
{
	if (c->numbers_are != NUMBERS_UNKNOWN)
		return;
	c->n_numbers = keywords_find_all(
	    c->m, c->keywords, c->what.n_keywords, c->numbers);
	c->numbers_are = NUMBERS_FOUND;
}

/* The same of all, which are made. */
static int
make_numbers(struct change_flags *c)
{
	int rc;

	if (c->numbers_are == NUMBERS_MADE)
		return 0;
	rc = keywords_intern_all(c->m, c->keywords, c->what.n_keywords,
	    c->numbers, &c->n_numbers, NULL);
	c->numbers_are = rc == 0 ? NUMBERS_MADE : NUMBERS_UNKNOWN;
	return rc;
}

static int
add_members(
    struct change_flags *c, const uint16_t *old, size_t n_old, uint32_t *out)
{
	uint16_t *all;
	size_t n = 0, i = 0, k = 0;
	int rc = make_numbers(c);

	if (rc != 0)
		return rc;
	all = mem_alloc((n_old + c->n_numbers) * sizeof(*all));
	while (i < n_old || k < c->n_numbers) {
		if (k == c->n_numbers ||
		    (i < n_old && old[i] < c->numbers[k])) {
			all[n++] = old[i++];
		} else {
			i += i < n_old && old[i] == c->numbers[k];
			all[n++] = c->numbers[k++];
		}
	}
	rc = keyword_set_intern(c->m, all, n, out, NULL);
	free(all);
	return rc;
}

static int
remove_members(
    struct change_flags *c, const uint16_t *old, size_t n_old, uint32_t *out)
{
	uint16_t *left = mem_alloc(n_old * sizeof(*left));
	size_t n = 0, k = 0;
	int rc;

	find_numbers(c);
	for (size_t i = 0; i < n_old; i++) {
		while (k < c->n_numbers && c->numbers[k] < old[i])
			k++;
		if (k == c->n_numbers || c->numbers[k] != old[i])
			left[n++] = old[i];
	}
	rc = keyword_set_intern(c->m, left, n, out, NULL);
	free(left);
	return rc;
}

static int
change_set(struct change_flags *c, uint32_t from, struct set_change *memo)
{
	struct mailbox *m = c->m;
	const uint16_t *old;
	size_t n_old;
	uint32_t to = from;
	int rc = 0;

	if (memo->known && memo->from == from)
		return 0;
	if (c->what.keep_keywords) {
		*memo = (struct set_change){ true, from, from };
		return 0;
	}
	old = mailbox_keyword_set(m, from, &n_old);
	switch (c->what.how) {
	case FLAGS_REPLACE:
		rc = make_numbers(c);
		if (rc == 0)
			rc = keyword_set_intern(
			    m, c->numbers, c->n_numbers, &to, NULL);
		break;
	case FLAGS_ADD:
		if (c->what.n_keywords != 0)
			rc = add_members(c, old, n_old, &to);
		break;
	case FLAGS_REMOVE:
		if (c->what.n_keywords != 0 && n_old != 0)
			rc = remove_members(c, old, n_old, &to);
		break;
	}
	if (rc == 0)
		*memo = (struct set_change){ true, from, to };
	return rc;
}

static uint32_t
wanted_flags(const struct flags_change *what, uint32_t old)
{
	switch (what->how) {
	case FLAGS_REPLACE:
		return what->flags;
	case FLAGS_ADD:
		return old | what->flags;
	case FLAGS_REMOVE:
		return old & ~what->flags;
	}
	return old;
}

static uint32_t
new_flags(const struct flags_change *what, uint32_t old)
{
	return (wanted_flags(what, old) & ~what->keep) | (old & what->keep);
}

struct quota_change {
	int64_t bytes, messages;
	bool unknown; /* the bytes */
};

/* What is marked \Deleted doesn't count.  To be asked while the file has the
 * name that is known. */
static struct quota_change
quota_change(
    struct change_flags *c, const struct chunk *ch, uint32_t i, uint64_t to)
{
	bool before = quota_counts(c->m, chunk_place(ch, i));
	bool after = quota_counts(c->m, to);
	struct quota_change q = { 0 };
	uint64_t size;

	if (before == after)
		return q;
	q.unknown = !quota_size(c->m, ch, i, &size);
	q.messages = after ? 1 : -1;
	q.bytes = q.messages * (int64_t)size;
	return q;
}

static void
count_quota(struct change_flags *c, const struct quota_change *q)
{
	c->quota_bytes += q->bytes;
	c->quota_messages += q->messages;
	c->quota_unknown = c->quota_unknown || q->unknown;
}

/* 0, or errno: the file in its new place. */
static int
rename_file(struct mailbox *m, const struct chunk *ch, uint32_t i, uint64_t to)
{
	struct buf from, target;
	int from_dir = chunk_place(ch, i) & PLACE_NEW ? DIR_NEW : DIR_CUR;
	int from_fd = mailbox_dir_fd(m, from_dir);
	int to_fd = mailbox_dir_fd(m, DIR_CUR), rc = 0;

	if (from_fd < 0 || to_fd < 0)
		return errno;
	buf_init(&from, 1024);
	buf_init(&target, 1024);
	(void)message_name(&from, ch, i);
	file_name_put(&target, chunk_base(ch, i), to, slice_of(NULL, 0));
	if (fsx_rename_new(from_fd, buf_cstr(&from), to_fd, buf_cstr(&target)) <
	    0) {
		rc = errno;
	} else {
		watch_own(&m->dirs[from_dir], buf_slice(&from), false);
		watch_own(&m->dirs[DIR_CUR], buf_slice(&target), true);
	}
	buf_fini(&from);
	buf_fini(&target);
	return rc;
}

/* Whether two sets have the same of the command's keywords. */
static bool
same_keywords(struct change_flags *c, uint32_t one, uint32_t other)
{
	const uint16_t *v[2];
	size_t n[2], at[2] = { 0, 0 };

	find_numbers(c);
	v[0] = mailbox_keyword_set(c->m, one, &n[0]);
	v[1] = mailbox_keyword_set(c->m, other, &n[1]);
	for (size_t k = 0; k < c->n_numbers; k++) {
		bool has[2];

		for (int s = 0; s < 2; s++) {
			while (at[s] < n[s] && v[s][at[s]] < c->numbers[k])
				at[s]++;
			has[s] = at[s] < n[s] && v[s][at[s]] == c->numbers[k];
		}
		if (has[0] != has[1])
			return false;
	}
	return true;
}

/* Whether what others changed since is nothing that the change is about. */
static bool
is_unconcerned(struct change_flags *c, const struct message *m)
{
	const struct flags_change *what = &c->what;
	const struct message *known;
	uint32_t seq;

	if (what->how == FLAGS_REPLACE || what->known == NULL ||
	    (seq = view_find(what->known, m->uid)) == 0)
		return false;
	known = view_get(what->known, seq);
	/* what the client knows was forgotten: better fail once too often */
	if ((known->flags & MESSAGE_FLAGS_UNKNOWN) != 0)
		return false;
	if (known->modseq > what->unchanged_since ||
	    ((known->flags ^ m->flags) & what->flags) != 0)
		return false;
	return known->keywords == m->keywords ||
	    same_keywords(c, known->keywords, m->keywords);
}

static int
change_one(struct change_flags *c, struct edit *ed, uint32_t uid,
    struct set_change *memo)
{
	const struct message *m;
	struct chunk *ch;
	struct quota_change quota;
	uint64_t to;
	uint32_t i, flags;
	size_t at;
	int rc;

	if (!edit_find(ed, uid, &at, &i)) {
		c->missing++;
		return 0;
	}
	ch = ed->v[at];
	m = chunk_message(ch, i);
	/* RFC 7162 3.1.3: the others are changed all the same */
	if (m->modseq > c->what.unchanged_since && m->modseq != ed->modseq &&
	    !is_unconcerned(c, m)) {
		c->modified[c->n_modified++] = uid;
		return 0;
	}
	if ((rc = change_set(c, m->keywords, memo)) != 0)
		return rc;
	flags = new_flags(&c->what, m->flags);
	to = chunk_place(ch, i);
	if (flags != m->flags) {
		to = place_with_flags(to, flags);
		quota = quota_change(c, ch, i, to);
		rc = rename_file(c->m, ch, i, to);
		/* it will come with its new name */
		if (rc == ENOENT && young_kept(c->m, uid))
			rc = 0;
		if (rc == ENOENT || rc == EEXIST) {
			uid_work_again(&c->work, uid);
			return 0;
		}
		if (rc == ENAMETOOLONG) {
			c->too_long = true;
			return 0;
		}
		if (rc != 0)
			return err_of_errno(rc);
		count_quota(c, &quota);
	}
	edit_set(ed, at, i, to, chunk_odd(ch, i), memo->to);
	return 0;
}

/* One transaction over a part of the list. */
static int
work_slice(void *arg)
{
	struct change_flags *c = arg;
	struct uid_work *w = &c->work;
	struct set_change memo = { 0 };
	struct edit ed;
	size_t n = 0;
	int rc = edit_begin_some(&ed, c->m, NULL);

	if (rc != 0)
		return rc;
	c->quota_bytes = c->quota_messages = 0;
	c->quota_unknown = false;
	c->numbers_are = NUMBERS_UNKNOWN;
	for (; w->at < w->n && n < WORK_SLICE && rc == 0; n++)
		rc = change_one(c, &ed, w->uids[w->at++], &memo);
	/* What was renamed before a failure is kept: it is on disk. */
	if (rc == 0) {
		rc = edit_commit(&ed, NULL);
	} else if (edit_commit(&ed, NULL) != 0) {
		scan_distrust(c->m);
	}
	if (rc != 0)
		scan_distrust(c->m);
	mailbox_publish(c->m);
	quota_note(c->m->account, c->quota_bytes, c->quota_messages);
	if (c->quota_unknown)
		quota_distrust(c->m->account);
	return rc;
}

/* What another server says of the messages is older than this change. */
static enum step
step_import(struct change_flags *c, int64_t now_ms)
{
	int rc = import_older(c->m, NULL);

	if (rc == ERR_MORE)
		return STEP_YIELD;
	if (rc == ERR_BUSY && work_still_busy(&c->work.busy_since_ms, now_ms))
		return STEP_WAIT_PEER;
	c->work.busy_since_ms = 0;
	c->result = rc < 0 ? rc : 0;
	c->state = rc < 0 ? FLAGS_DONE : rc == 0 ? FLAGS_WORK : FLAGS_REFRESH;
	return STEP_NEXT;
}

static enum step
step_refresh(
    struct change_flags *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	int rc = 0;
	enum step step =
	    uid_work_refresh(&c->work, waker, now_ms, wall_ms, &rc);

	if (step != STEP_DONE)
		return step;
	c->result = rc;
	c->state = rc == 0 ? FLAGS_WORK : FLAGS_DONE;
	return STEP_NEXT;
}

static enum step
step_work(
    struct change_flags *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	int rc;
	enum step step =
	    uid_work_step(&c->work, work_slice, c, waker, now_ms, wall_ms, &rc);

	if (step != STEP_DONE)
		return step;
	c->result = rc;
	if (rc == 0 && c->too_long)
		c->result = ERR_LIMIT;
	c->missing += c->work.n_again;
	c->state = rc == 0 &&
		(c->m->account->store->opt.fsync_always || c->m->unsynced)
	    ? FLAGS_SYNC
	    : FLAGS_DONE;
	return STEP_NEXT;
}

enum step
change_flags_step(
    struct change_flags *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	enum step step = STEP_NEXT;
	int rc;

	MAGIC_CHECK(c, FLAGS_MAGIC);
	c->m->account->store->wall_ms = wall_ms;
	while (step == STEP_NEXT && c->state != FLAGS_DONE) {
		if (c->state == FLAGS_IMPORT) {
			step = step_import(c, now_ms);
			continue;
		}
		if (c->state == FLAGS_REFRESH) {
			step = step_refresh(c, waker, now_ms, wall_ms);
			continue;
		}
		if (c->state == FLAGS_WORK) {
			step = step_work(c, waker, now_ms, wall_ms);
			continue;
		}
		step = durable_step(&c->durable, c->m,
		    c->m->account->store->opt.fsync_always, waker, &rc);
		if (step != STEP_DONE)
			return step;
		if (rc != 0)
			c->result = rc;
		c->state = FLAGS_DONE;
	}
	return c->state == FLAGS_DONE ? STEP_DONE : step;
}

int
change_flags_result(const struct change_flags *c, const uint32_t **modified,
    size_t *n_modified, size_t *missing)
{
	MAGIC_CHECK(c, FLAGS_MAGIC);
	*modified = c->modified;
	*n_modified = c->n_modified;
	*missing = c->missing;
	return c->result;
}

void
change_flags_free(struct change_flags **pc)
{
	struct change_flags *c = *pc;

	*pc = NULL;
	if (c == NULL)
		return;
	MAGIC_CHECK(c, FLAGS_MAGIC);
	view_unref(&c->what.known);
	durable_fini(&c->durable);
	uid_work_fini(&c->work);
	for (size_t i = 0; i < c->what.n_keywords; i++) {
		union {
			const uint8_t *in;
			void *out;
		} own = { c->keywords[i].p };

		free(own.out);
	}
	free(c->keywords);
	free(c->numbers);
	free(c->modified);
	mailbox_close(&c->m);
	c->magic = 0;
	free(c);
}
