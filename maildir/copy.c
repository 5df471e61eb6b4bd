/*
 * COPY and MOVE.
 *
 *   PREPARE     each file is linked into the target's tmp/ (or its bytes are
 *               copied, where links can't be)
 *   SYNC_FILES  those whose content may not be on disk yet are synced: copied
 *               ones, and links to files that changed within the last minute
 *   COMMIT      renamed into cur/ and given UIDs, some hundred at a time
 *   SYNC        directory and database; only now the UIDs may be shown
 *   REMOVE      MOVE only: the sources go, as EXPUNGE does it
 *   UNDO        after a failure before the end of SYNC: all copies go
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/change.h"
#include "maildir/durable.h"
#include "maildir/work.h"

enum {
	COPY_MAGIC = 0x436f7079,
	YOUNG_S = 60,
	LINK_TRIES = 3,
	IO_BYTES = 65536,
	SYNC_AT_ONCE = 16
};

enum copy_state {
	COPY_PREPARE,
	COPY_SYNC_FILES,
	COPY_COMMIT,
	COPY_SYNC,
	COPY_REMOVE,
	COPY_UNDO,
	COPY_DONE,
};

struct item {
	uint32_t from, to;
	uint64_t place;
	uint32_t keywords; /* a set of the source */
	struct fixed fixed;
	char *tmp, *base;
	char *committed; /* name in cur/ of the target */
	bool young;
};

struct change_copy {
	unsigned magic;
	struct mailbox *from, *to;
	bool move;
	uint32_t dropped; /* flags that the copies don't get */
	bool drop_keywords;
	enum copy_state state;
	uint32_t *uids;
	size_t n_uids, at;
	int tmp_fd;
	struct item *v;
	size_t n, at_item;
	uint64_t bytes, messages; /* for the quota */
	struct sync sync;
	int sync_fds[SYNC_AT_ONCE];
	int n_sync_fds;
	struct durable durable;
	struct change_expunge *removal;
	change_observer *observer;
	void *observer_arg;
	int64_t busy_since_ms;
	uint32_t *pairs;
	struct copy_result result;
};

static int
order_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

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
	c->uids = mem_alloc((n + 1) * sizeof(*uids));
	if (n != 0)
		memcpy(c->uids, uids, n * sizeof(*uids));
	c->n_uids = n;
	if (n != 0)
		qsort(c->uids, n, sizeof(*uids), order_uids);
	c->v = mem_zalloc(n + 1, sizeof(*c->v));
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

/* --- preparing ------------------------------------------------------------ */

/* 0, or -1 with errno; the link shares the file's bytes and times. */
static int
link_file(struct change_copy *c, struct item *it)
{
	struct buf path;
	int rc = -1;

	buf_init(&path, 1024);
	for (int i = 0; i < LINK_TRIES && rc < 0; i++) {
		const char *name;
		int fd;

		buf_reset(&path);
		rc = mailbox_message_path(c->from, it->from, &path);
		if (rc != 0) {
			errno = rc == ERR_NOT_FOUND ? ENOENT : EIO;
			rc = -1;
			break;
		}
		name = buf_cstr(&path);
		fd = mailbox_dir_fd(
		    c->from, memcmp(name, "new/", 4) == 0 ? DIR_NEW : DIR_CUR);
		rc = fd < 0 ? -1 : fsx_link(fd, name + 4, c->tmp_fd, it->tmp);
		if (rc < 0 && errno != ENOENT)
			break;
	}
	buf_fini(&path);
	return rc;
}

static int
copy_bytes(int from, int to, uint64_t size)
{
	static uint8_t bytes[IO_BYTES];
	uint64_t at = 0;

	while (at < size) {
		ssize_t n = fsx_pread(from, bytes, sizeof(bytes), (off_t)at);

		if (n < 0 || fsx_write_all(to, slice_of(bytes, (size_t)n)) < 0)
			return -1;
		if (n == 0)
			break;
		at += (uint64_t)n;
	}
	return 0;
}

/* Where a link can't be made. */
static int
copy_file(struct change_copy *c, struct item *it)
{
	uint64_t size;
	int from, to, rc, keep;

	rc = mailbox_open_message(c->from, it->from, &from, &size, NULL);
	if (rc != 0) {
		errno = rc == ERR_NOT_FOUND ? ENOENT : EIO;
		return -1;
	}
	to = fsx_create(c->tmp_fd, it->tmp,
	    0666 & ~(mode_t)c->to->account->store->opt.umask);
	rc = to < 0 ? -1 : copy_bytes(from, to, size);
	if (rc == 0)
		rc = fsx_set_mtime(to, it->fixed.internal_ms);
	keep = errno;
	if (to >= 0 && fsx_close(to) < 0 && rc == 0) {
		rc = -1;
		keep = errno;
	}
	(void)close(from);
	it->young = true;
	errno = keep;
	return rc;
}

/* What the copy is called. */
static void
name_item(struct change_copy *c, struct item *it, const struct stat *st,
    const struct file_unique *u)
{
	struct buf name;

	buf_init(&name, 1024);
	file_name_final(
	    &name, u, st->st_dev, st->st_ino, (uint64_t)st->st_size);
	it->base = slice_dup(buf_slice(&name));
	buf_fini(&name);
	if (quota_counts(c->to, it->place)) {
		c->bytes += (uint64_t)st->st_size;
		c->messages++;
	}
}

/* 1: made; 0: the message is gone; else ERR_*. */
static int
prepare_one(struct change_copy *c, uint32_t uid, int64_t wall_ms)
{
	struct file_unique u = store_unique(c->to->account->store, wall_ms);
	struct item *it = &c->v[c->n];
	struct message_info info;
	struct stat st;
	struct chunk *ch;
	struct buf name;
	uint32_t i;
	int rc;

	if (!mailbox_find(c->from, uid, &ch, &i))
		return 0;
	rc = mailbox_message_info(c->from, uid, &info);
	if (rc != 0)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	*it = (struct item){ .from = uid,
		.place = place_with_flags(
		    ch->place[i], ch->m[i].flags & ~c->dropped),
		.keywords = ch->m[i].keywords,
		.fixed = { info.internal_ms, wall_ms, info.file_size,
		    info.wire_size, ENDING_UNKNOWN, info.email_id } };
	buf_init(&name, 1024);
	file_name_tmp(&name, &u);
	it->tmp = slice_dup(buf_slice(&name));
	buf_fini(&name);
	c->n++;
	rc = link_file(c, it);
	/* A link may be the file's only name by now: its source was expunged
	 * a moment ago. */
	if (rc == 0 && fsx_stat(c->tmp_fd, it->tmp, &st) == 0 &&
	    !S_ISREG(st.st_mode))
		return ERR_DENIED;
	if (rc < 0 &&
	    (errno == EMLINK || errno == EXDEV || errno == EPERM ||
		errno == EOPNOTSUPP))
		rc = copy_file(c, it);
	if (rc < 0 && errno == ENOENT) {
		free(it->tmp);
		c->n--;
		return 0;
	}
	if (rc < 0 || fsx_stat(c->tmp_fd, it->tmp, &st) < 0)
		return err_of_errno(errno);
	name_item(c, it, &st, &u);
	return 1;
}

/* Whether the content of the source may not have reached the disk. */
static bool
is_young(struct change_copy *c, uint32_t uid, int64_t wall_ms)
{
	struct buf path;
	struct stat st;
	const char *name;
	bool young = true;
	int fd;

	buf_init(&path, 1024);
	if (mailbox_message_path(c->from, uid, &path) == 0) {
		name = buf_cstr(&path);
		fd = mailbox_dir_fd(
		    c->from, memcmp(name, "new/", 4) == 0 ? DIR_NEW : DIR_CUR);
		young = fd < 0 || fsx_stat(fd, name + 4, &st) < 0 ||
		    st.st_ctim.tv_sec > wall_ms / 1000 - YOUNG_S;
	}
	buf_fini(&path);
	return young;
}

static enum step
step_prepare(struct change_copy *c, int64_t now_ms, int64_t wall_ms)
{
	int rc;

	for (size_t n = 0; c->at < c->n_uids && n < WORK_SLICE; n++) {
		uint32_t uid = c->uids[c->at++];
		/* the link itself changes the ctime */
		bool young = is_young(c, uid, wall_ms);

		rc = prepare_one(c, uid, wall_ms);
		if (rc < 0)
			return undo(c, rc);
		if (rc == 1)
			c->v[c->n - 1].young |= young;
	}
	if (c->at < c->n_uids)
		return STEP_YIELD;
	/* A MOVE within an account takes away as much as it adds. */
	if (!c->move || c->to->account != c->from->account) {
		rc = quota_check(
		    c->to->account, c->bytes, c->messages, wall_ms, NULL);
		/* somebody has the database, or all is being counted */
		if (rc == ERR_BUSY &&
		    work_still_busy(&c->busy_since_ms, now_ms))
			return STEP_YIELD;
		c->busy_since_ms = 0;
		if (rc != 0)
			return undo(c, rc);
	}
	c->state = COPY_SYNC_FILES;
	c->at_item = 0;
	return STEP_NEXT;
}

/* --- syncing files -------------------------------------------------------- */

static void
close_sync_fds(struct change_copy *c)
{
	for (int i = 0; i < c->n_sync_fds; i++)
		(void)close(c->sync_fds[i]);
	c->n_sync_fds = 0;
}

static enum step
step_sync_files(struct change_copy *c, struct waker waker)
{
	struct sync_fds fds = { 0 };

	if (sync_busy(&c->sync)) {
		sync_rewake(&c->sync, waker);
		return STEP_WAIT_SYNC;
	}
	if (c->n_sync_fds != 0) {
		close_sync_fds(c);
		if (c->sync.error != 0)
			return undo(c, err_of_errno(c->sync.error));
	}
	for (; c->at_item < c->n && c->n_sync_fds < SYNC_AT_ONCE;
	     c->at_item++) {
		int fd;

		if (!c->v[c->at_item].young)
			continue;
		fd = fsx_open_read(c->tmp_fd, c->v[c->at_item].tmp, NULL);
		if (fd < 0)
			return undo(c, err_of_errno(errno));
		c->sync_fds[c->n_sync_fds++] = fd;
		sync_fds_add(&fds, fd, SYNC_FILE);
	}
	if (c->n_sync_fds != 0) {
		sync_start(
		    &c->sync, c->to->account->store->opt.syncer, &fds, waker);
		return STEP_NEXT;
	}
	c->state = COPY_COMMIT;
	c->at_item = 0;
	return STEP_NEXT;
}

/* --- committing ----------------------------------------------------------- */

static int
commit_one(struct change_copy *c, struct edit *ed, struct item *it)
{
	struct file_name name = { .base = slice_str(it->base),
		.place = it->place };
	struct buf file;
	uint32_t set = 0;
	int fd = mailbox_dir_fd(c->to, DIR_CUR), rc = 0;

	if (fd < 0)
		return err_of_errno(errno);
	if (!c->drop_keywords)
		rc = keyword_set_copy(c->to, c->from, it->keywords, &set, NULL);
	if (rc != 0)
		return rc;
	buf_init(&file, 1024);
	file_name_put(&file, name.base, name.place, name.odd);
	if (fsx_rename_new(c->tmp_fd, it->tmp, fd, buf_cstr(&file)) < 0)
		rc = err_of_errno(errno);
	else
		it->committed = slice_dup(buf_slice(&file));
	buf_fini(&file);
	return rc != 0 ? rc
		       : edit_append(ed, &name, set, &it->fixed, &it->to, NULL);
}

static enum step
step_commit(struct change_copy *c, int64_t now_ms)
{
	struct edit ed;
	size_t end = c->at_item + WORK_SLICE, from = c->at_item;
	int rc;

	if (end > c->n)
		end = c->n;
	if (from == end) {
		c->state = c->n != 0 ? COPY_SYNC : COPY_DONE;
		return STEP_NEXT;
	}
	rc = edit_begin(&ed, c->to, NULL);
	if (rc == ERR_BUSY && work_still_busy(&c->busy_since_ms, now_ms))
		return STEP_YIELD;
	if (rc != 0)
		return undo(c, rc);
	c->busy_since_ms = 0;
	for (size_t i = from; i < end && rc == 0; i++)
		rc = commit_one(c, &ed, &c->v[i]);
	if (rc == 0)
		rc = edit_commit(&ed, NULL);
	else
		edit_abort(&ed);
	if (rc != 0) {
		for (size_t i = from; i < end; i++)
			c->v[i].to = 0;
		return undo(c, rc);
	}
	c->at_item = end;
	return end < c->n ? STEP_YIELD : STEP_NEXT;
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
	quota_note(c->to->account, (int64_t)c->bytes, (int64_t)c->messages);
	c->pairs = mem_alloc(2 * c->n * sizeof(*c->pairs));
	for (size_t i = 0; i < c->n; i++) {
		c->pairs[i] = c->v[i].from;
		c->pairs[c->n + i] = c->v[i].to;
	}
	c->result = (struct copy_result){ 0, c->to->uidvalidity, c->pairs,
		c->pairs + c->n, c->n };
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
		 y = ((const struct item *)item)->from;

	return x < y ? -1 : x > y;
}

/* The source goes; c->v is in the order of its UIDs. */
static void
on_removed(void *arg, uint32_t uid, struct slice path, struct slice kept)
{
	const struct change_copy *c = arg;
	const struct item *it =
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
		    c->from, c->pairs, c->n, &c->removal, NULL);
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

static void
unlink_item(struct change_copy *c, struct item *it)
{
	int cur = mailbox_dir_fd(c->to, DIR_CUR), rc;

	rc = it->committed != NULL
	    ? (cur < 0 ? -1 : fsx_unlink(cur, it->committed))
	    : fsx_unlink(c->tmp_fd, it->tmp);
	if (rc < 0 && errno != ENOENT)
		scan_distrust(c->to);
	free(it->committed);
	it->committed = NULL;
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
			return STEP_YIELD;
	}
	for (size_t i = c->at_item; i < end; i++) {
		size_t at;
		uint32_t k;

		unlink_item(c, &c->v[i]);
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
	case COPY_PREPARE:
		return step_prepare(c, now_ms, wall_ms);
	case COPY_SYNC_FILES:
		return step_sync_files(c, waker);
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
	/* half of the work is to link them, half to give them UIDs */
	*goal = c->n_uids;
	*done = c->at;
	if (c->state == COPY_COMMIT)
		*done += c->at_item;
	else if (c->state > COPY_COMMIT)
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
	sync_forget(&c->sync);
	durable_fini(&c->durable);
	close_sync_fds(c);
	change_expunge_free(&c->removal);
	for (size_t i = 0; i < c->n; i++) {
		struct item *it = &c->v[i];

		if (c->state != COPY_DONE && it->committed == NULL)
			unlink_item(c, it);
		free(it->tmp);
		free(it->base);
		free(it->committed);
	}
	free(c->v);
	free(c->uids);
	free(c->pairs);
	(void)close(c->tmp_fd);
	mailbox_close(&c->to);
	mailbox_close(&c->from);
	c->magic = 0;
	free(c);
}
