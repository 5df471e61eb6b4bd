#include "maildir/append.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/work.h"

enum {
	APPEND_MAGIC = 0x41707064,
	OUT_MAX = 1 << 30,
	OPEN_MAX = 16, /* files that stay open until they are synced */
};

struct new_message {
	int fd; /* -1: closed */
	char *tmp;
	char *base;	 /* without info part */
	char *committed; /* name in cur/, once it is there */
	uint32_t flags, uid;
	struct slice *keywords;
	size_t n_keywords;
	bool ends_line;
	int64_t internal_ms, wall_ms;
	uint64_t announced, file_size, wire_size;
	struct file_unique unique;
};

enum append_state {
	APPEND_WRITING,
	APPEND_SYNC_FILES,
	APPEND_COMMIT,
	APPEND_SYNC,
	APPEND_UNDO,
	APPEND_DONE,
};

struct append {
	unsigned magic;
	struct mailbox *m;
	int tmp_fd;
	enum append_state state;
	struct new_message *v;
	size_t n;
	uint64_t announced; /* bytes of all */
	size_t n_open;	    /* files that are */
	bool open;	    /* the last one is being written */
	bool raw;	    /* as it comes */
	bool cr;	    /* a CR was read, and not yet what follows it */
	uint8_t last;
	struct buf out;
	size_t n_synced, n_syncing;
	struct sync sync;
	struct durable durable;
	int64_t busy_since_ms;
	uint32_t *uids;
	int result;
};

int
append_begin(
    struct account *a, struct slice mailbox, struct append **out, struct err *e)
{
	struct append *p;
	struct mailbox *m;
	struct buf path;
	int fd, rc = mailbox_open(a, mailbox, &m, e);

	if (rc != 0)
		return rc;
	buf_init(&path, 1024);
	mailbox_put_path(m, &path, "tmp");
	fd = fsx_open_dir(a->root_fd, buf_cstr(&path));
	if (fd < 0 && errno == ENOENT &&
	    fsx_mkdir(a->root_fd, buf_cstr(&path), 0700) == 0)
		fd = fsx_open_dir(a->root_fd, buf_cstr(&path));
	if (fd < 0)
		rc = err_sys(e, "open %s", buf_cstr(&path));
	buf_fini(&path);
	if (rc != 0) {
		mailbox_close(&m);
		return rc == ERR_NOT_FOUND ? ERR_SYS : rc;
	}
	p = MEM_NEW(struct append);
	p->magic = APPEND_MAGIC;
	p->m = m;
	p->tmp_fd = fd;
	buf_init(&p->out, OUT_MAX);
	*out = p;
	return 0;
}

static void
copy_keywords(struct new_message *msg, const struct slice *v, size_t n)
{
	msg->keywords = mem_alloc((n + 1) * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		msg->keywords[i] = slice_of(slice_dup(v[i]), v[i].n);
	msg->n_keywords = n;
}

int
append_message(struct append *p, uint32_t flags, const struct slice *keywords,
    size_t n_keywords, int64_t internal_ms, uint64_t size, int64_t wall_ms,
    struct err *e)
{
	struct account *a;
	struct new_message *msg;
	uint64_t all;
	struct buf name;
	int rc;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->state == APPEND_WRITING && !p->open);
	a = p->m->account;
	a->store->wall_ms = wall_ms;
	if (__builtin_add_overflow(p->announced, size, &all))
		return err_set(e, ERR_LIMIT, "too many bytes");
	if ((rc = quota_check(a, all, p->n + 1, wall_ms, e)) != 0)
		return rc;
	p->v = mem_realloc(p->v, p->n + 1, sizeof(*p->v));
	msg = &p->v[p->n];
	*msg = (struct new_message){ .flags = flags & MESSAGE_FLAGS_ALL,
		.internal_ms = internal_ms == INT64_MIN ? wall_ms : internal_ms,
		.wall_ms = wall_ms,
		.announced = size,
		.unique = store_unique(a->store, wall_ms) };
	buf_init(&name, 1024);
	file_name_tmp(&name, &msg->unique);
	msg->tmp = slice_dup(buf_slice(&name));
	buf_fini(&name);
	msg->fd = fsx_create(
	    p->tmp_fd, msg->tmp, 0666 & ~(mode_t)a->store->opt.umask);
	if (msg->fd < 0) {
		rc = err_sys(e, "create %s", msg->tmp);
		free(msg->tmp);
		return rc;
	}
	copy_keywords(msg, keywords, n_keywords);
	p->n++;
	p->n_open++;
	p->announced = all;
	p->open = true;
	p->raw = p->cr = false;
	p->last = 0;
	return 0;
}

/* Bytes as they are stored; of line breaks only LF is among them, or a CR is
 * alone. */
static void
put_bytes(struct append *p, struct new_message *msg, struct slice s)
{
	size_t n;

	if (s.n == 0)
		return;
	buf_put(&p->out, s);
	msg->file_size += s.n;
	/* On the wire each line ends by CRLF. */
	msg->wire_size += s.n;
	if (s.p[0] == '\n' && p->last == '\r')
		msg->wire_size--;
	p->last = s.p[s.n - 1];
	msg->ends_line = p->last == '\n';
	for (n = slice_find(s, '\n'); n < s.n; n = slice_find(s, '\n')) {
		msg->wire_size++;
		s = slice_skip(s, n + 1);
	}
}

static int
flush(struct append *p, struct new_message *msg, struct err *e)
{
	int rc = 0;

	if (!buf_ok(&p->out))
		rc = err_set(e, ERR_LIMIT, "too many bytes at once");
	else if (fsx_write_all(msg->fd, buf_slice(&p->out)) < 0)
		rc = err_sys(e, "write %s", msg->tmp);
	buf_reset(&p->out);
	if (p->out.cap > 65536)
		buf_trim(&p->out);
	return rc;
}

int
append_write(struct append *p, struct slice bytes, struct err *e)
{
	struct new_message *msg;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->open);
	msg = &p->v[p->n - 1];
	if (p->raw) {
		if (fsx_write_all(msg->fd, bytes) < 0)
			return err_sys(e, "write %s", msg->tmp);
		return 0;
	}
	while (bytes.n != 0) {
		size_t n = slice_find(bytes, '\r');

		if (p->cr && bytes.p[0] != '\n')
			put_bytes(p, msg, SLICE("\r"));
		put_bytes(p, msg, slice_first(bytes, n));
		p->cr = n < bytes.n;
		bytes = slice_skip(bytes, n + p->cr);
	}
	return flush(p, msg, e);
}

static void
message_fini(struct append *p, struct new_message *msg)
{
	if (msg->fd >= 0)
		(void)close(msg->fd);
	/* Renamed away if it came through: then this finds nothing. */
	if (msg->committed == NULL && fsx_unlink(p->tmp_fd, msg->tmp) < 0 &&
	    errno != ENOENT)
		scan_distrust(p->m);
	for (size_t i = 0; i < msg->n_keywords; i++) {
		union {
			const uint8_t *in;
			void *out;
		} own = { msg->keywords[i].p };

		free(own.out);
	}
	free(msg->keywords);
	free(msg->committed);
	free(msg->tmp);
	free(msg->base);
}

/* A command may add a thousand messages, and descriptors are few. */
static int
close_some(struct append *p, struct new_message *msg, struct err *e)
{
	int rc;

	if (p->n_open <= OPEN_MAX || p->raw)
		return 0;
	rc = fsx_close(msg->fd);
	msg->fd = -1;
	p->n_open--;
	return rc < 0 ? err_sys(e, "close %s", msg->tmp) : 0;
}

int
append_message_end(struct append *p, struct err *e)
{
	struct new_message *msg;
	struct stat st;
	struct buf name;
	int rc;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->open);
	msg = &p->v[p->n - 1];
	if (p->cr)
		put_bytes(p, msg, SLICE("\r"));
	if (p->last != '\n' && !p->raw)
		put_bytes(p, msg, SLICE("\n"));
	p->cr = p->open = false;
	if ((rc = flush(p, msg, e)) != 0)
		return rc;
	if (fsx_set_mtime(msg->fd, msg->internal_ms) < 0 ||
	    fstat(msg->fd, &st) < 0)
		return err_sys(e, "stat %s", msg->tmp);
	buf_init(&name, 1024);
	file_name_final(
	    &name, &msg->unique, st.st_dev, st.st_ino, msg->file_size);
	msg->base = slice_dup(buf_slice(&name));
	buf_fini(&name);
	return close_some(p, msg, e);
}

void
append_keep_raw(struct append *p)
{
	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->open && p->last == 0 && !p->cr);
	p->raw = true;
}

int
append_take_back(struct append *p, int *fd, struct err *e)
{
	struct new_message *msg;
	int own, rc;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->raw && !p->open && p->n != 0);
	msg = &p->v[p->n - 1];
	own = fsx_open_read(p->tmp_fd, msg->tmp, NULL);
	if (own < 0)
		return err_sys(e, "open %s", msg->tmp);
	if (fsx_unlink(p->tmp_fd, msg->tmp) < 0) {
		rc = err_sys(e, "unlink %s", msg->tmp);
		(void)close(own);
		return rc;
	}
	p->announced -= msg->announced;
	p->n_open -= msg->fd >= 0;
	p->n--;
	message_fini(p, msg);
	*fd = own;
	return 0;
}

/* --- commit --------------------------------------------------------------- */

static enum step
fail(struct append *p, int rc)
{
	p->result = rc;
	p->state = APPEND_DONE;
	return STEP_NEXT;
}

/* Step 2: the files, four at a time. */
static enum step
step_sync_files(struct append *p, struct waker waker)
{
	struct sync_fds fds = { 0 };

	if (sync_busy(&p->sync)) {
		sync_rewake(&p->sync, waker);
		return STEP_WAIT_SYNC;
	}
	if (p->n_syncing != 0) {
		if (p->sync.error != 0)
			return fail(p, err_of_errno(p->sync.error));
		for (size_t i = 0; i < p->n_syncing; i++) {
			struct new_message *msg = &p->v[p->n_synced++];
			int rc = fsx_close(msg->fd);

			msg->fd = -1;
			if (rc < 0)
				return fail(p, err_of_errno(errno));
		}
		p->n_syncing = 0;
	}
	if (p->n_synced == p->n) {
		p->state = APPEND_COMMIT;
		return STEP_NEXT;
	}
	for (size_t i = p->n_synced; i < p->n && fds.n < SYNC_JOB_MAX; i++) {
		struct new_message *msg = &p->v[i];

		if (msg->fd < 0)
			msg->fd = fsx_open_read(p->tmp_fd, msg->tmp, NULL);
		if (msg->fd < 0)
			return fail(p, err_of_errno(errno));
		sync_fds_add(&fds, msg->fd, false);
	}
	p->n_syncing = (size_t)fds.n;
	sync_start(&p->sync, p->m->account->store->opt.syncer, &fds, waker);
	return STEP_NEXT;
}

/* Files that came into place go again; they were never shown. */
static void
unlink_committed(struct append *p)
{
	int fd = mailbox_dir_fd(p->m, DIR_CUR);

	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].committed == NULL)
			continue;
		if (fd >= 0 && fsx_unlink(fd, p->v[i].committed) < 0)
			scan_distrust(p->m);
		free(p->v[i].committed);
		p->v[i].committed = NULL;
	}
}

/* Steps 3 to 5 of one message. */
static int
commit_one(struct append *p, struct edit *ed, struct new_message *msg)
{
	struct file_name name = { .base = slice_str(msg->base),
		.place = place_with_flags(PLACE_INFO, msg->flags) };
	struct fixed fixed = { msg->internal_ms, msg->wall_ms, msg->file_size,
		msg->wire_size, msg->ends_line ? ENDING_LINE : ENDING_NO_LINE,
		0 };
	struct buf file;
	uint32_t set = 0;
	int fd = mailbox_dir_fd(p->m, DIR_CUR), rc;

	if (fd < 0)
		return err_of_errno(errno);
	rc = keyword_set_of_names(
	    p->m, msg->keywords, msg->n_keywords, &set, NULL);
	if (rc != 0)
		return rc;
	buf_init(&file, 1024);
	file_name_put(&file, name.base, name.place, name.odd);
	if (fsx_rename_new(p->tmp_fd, msg->tmp, fd, buf_cstr(&file)) < 0)
		rc = err_of_errno(errno);
	else
		msg->committed = slice_dup(buf_slice(&file));
	buf_fini(&file);
	return rc != 0 ? rc
		       : edit_append(ed, &name, set, &fixed, &msg->uid, NULL);
}

static void
note_quota(struct append *p, int sign)
{
	int64_t bytes = 0, messages = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!quota_counts(
			p->m, place_with_flags(PLACE_INFO, p->v[i].flags)))
			continue;
		bytes += (int64_t)p->v[i].file_size;
		messages++;
	}
	quota_note(p->m->account, sign * bytes, sign * messages);
}

static enum step
step_commit(struct append *p, int64_t now_ms)
{
	struct edit ed;
	int rc = edit_begin(&ed, p->m, NULL);

	if (rc == ERR_BUSY && work_still_busy(&p->busy_since_ms, now_ms))
		return STEP_YIELD;
	if (rc != 0)
		return fail(p, rc);
	for (size_t i = 0; i < p->n && rc == 0; i++)
		rc = commit_one(p, &ed, &p->v[i]);
	if (rc == 0)
		rc = edit_commit(&ed, NULL);
	else
		edit_abort(&ed);
	if (rc != 0) {
		unlink_committed(p);
		return fail(p, rc);
	}
	note_quota(p, 1);
	p->uids = mem_alloc(p->n * sizeof(*p->uids));
	for (size_t i = 0; i < p->n; i++)
		p->uids[i] = p->v[i].uid;
	p->state = APPEND_SYNC;
	return STEP_NEXT;
}

/* The sync failed: what can't be promised must not stay. */
static enum step
step_undo(struct append *p, int64_t now_ms)
{
	struct edit ed;
	int rc = edit_begin(&ed, p->m, NULL);

	if (rc == ERR_BUSY && work_still_busy(&p->busy_since_ms, now_ms))
		return STEP_YIELD;
	unlink_committed(p);
	note_quota(p, -1);
	p->state = APPEND_DONE;
	if (rc != 0)
		return STEP_NEXT;
	for (size_t i = 0; i < p->n; i++) {
		size_t at;
		uint32_t k;

		if (edit_find(&ed, p->v[i].uid, &at, &k))
			edit_remove(&ed, at, k);
	}
	if (edit_commit(&ed, NULL) != 0)
		scan_distrust(p->m);
	return STEP_NEXT;
}

static enum step
step_sync(struct append *p, struct waker waker)
{
	int rc;
	enum step step = durable_step(&p->durable, p->m, true, waker, &rc);

	if (step != STEP_DONE)
		return step;
	if (rc == 0) {
		p->state = APPEND_DONE;
		return STEP_NEXT;
	}
	p->result = rc;
	p->busy_since_ms = 0;
	p->state = APPEND_UNDO;
	return STEP_NEXT;
}

enum step
append_commit(
    struct append *p, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	enum step step = STEP_NEXT;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(!p->open);
	p->m->account->store->now_ms = now_ms;
	p->m->account->store->wall_ms = wall_ms;
	if (p->state == APPEND_WRITING)
		p->state = p->n != 0 ? APPEND_SYNC_FILES : APPEND_DONE;
	while (step == STEP_NEXT) {
		switch (p->state) {
		case APPEND_SYNC_FILES:
			step = step_sync_files(p, waker);
			break;
		case APPEND_COMMIT:
			step = step_commit(p, now_ms);
			break;
		case APPEND_SYNC:
			step = step_sync(p, waker);
			break;
		case APPEND_UNDO:
			step = step_undo(p, now_ms);
			break;
		case APPEND_WRITING:
		case APPEND_DONE:
			return STEP_DONE;
		}
	}
	return step;
}

int
append_result(const struct append *p, uint32_t *uidvalidity,
    const uint32_t **uids, size_t *n)
{
	MAGIC_CHECK(p, APPEND_MAGIC);
	if (p->result != 0)
		return p->result;
	*uidvalidity = p->m->uidvalidity;
	*uids = p->uids;
	*n = p->n;
	return 0;
}

void
append_free(struct append **pp)
{
	struct append *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	MAGIC_CHECK(p, APPEND_MAGIC);
	sync_forget(&p->sync);
	durable_fini(&p->durable);
	for (size_t i = 0; i < p->n; i++)
		message_fini(p, &p->v[i]);
	free(p->v);
	free(p->uids);
	buf_fini(&p->out);
	(void)close(p->tmp_fd);
	mailbox_close(&p->m);
	p->magic = 0;
	free(p);
}
