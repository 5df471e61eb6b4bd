#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/append_impl.h"
#include "maildir/intent.h"
#include "maildir/quota.h"

enum {
	OUT_MAX = 1 << 30,
	OPEN_MAX = 16, /* files that stay open until they are synced */
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

/* The file in tmp/ of the message that is being written. */
static int
make_file(struct append *p, struct new_message *msg, struct err *e)
{
	if (msg->made)
		return 0;
	msg->fd = fsx_create(p->tmp_fd, msg->tmp,
	    0666 & ~(mode_t)p->m->account->store->opt.umask);
	if (msg->fd < 0)
		return err_sys(e, "create %s", msg->tmp);
	msg->made = true;
	p->n_open++;
	return 0;
}

static int
flush(struct append *p, struct new_message *msg, struct err *e)
{
	int rc = 0;

	if (!buf_ok(&p->out))
		rc = err_set(e, ERR_LIMIT, "too many bytes at once");
	else if ((rc = make_file(p, msg, e)) == 0 &&
	    fsx_write_all(msg->fd, buf_slice(&p->out)) < 0)
		rc = err_sys(e, "write %s", msg->tmp);
	buf_reset(&p->out);
	if (p->out.cap > APPEND_IN_MEMORY)
		buf_trim(&p->out);
	return rc;
}

void
append_name(struct new_message *msg, uint64_t dev, uint64_t ino)
{
	struct buf name;

	buf_init(&name, 1024);
	file_name_final(&name, &msg->unique, dev, ino, msg->file_size);
	msg->base = slice_dup(buf_slice(&name));
	buf_fini(&name);
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

/* All of its bytes are in its file, which gets its date and name. */
static int
complete(struct append *p, struct new_message *msg, struct err *e)
{
	struct stat st;
	int rc;

	if (msg->base != NULL)
		return 0;
	if ((rc = flush(p, msg, e)) != 0)
		return rc;
	if ((msg->dated && fsx_set_mtime(msg->fd, msg->internal_ms) < 0) ||
	    fstat(msg->fd, &st) < 0)
		return err_sys(e, "stat %s", msg->tmp);
	append_name(msg, st.st_dev, st.st_ino);
	return close_some(p, msg, e);
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
	/* several: each is written as it comes */
	if (p->n == 1 && (rc = complete(p, &p->v[0], e)) != 0)
		return rc;
	p->v = mem_realloc(p->v, p->n + 1, sizeof(*p->v));
	msg = &p->v[p->n];
	*msg = (struct new_message){ .fd = -1,
		.flags = flags & MESSAGE_FLAGS_ALL,
		.dated = internal_ms != INT64_MIN,
		.internal_ms = internal_ms == INT64_MIN ? wall_ms : internal_ms,
		.wall_ms = wall_ms,
		.announced = size,
		.unique = store_unique(a->store, wall_ms) };
	buf_init(&name, 1024);
	file_name_tmp(&name, &msg->unique);
	msg->tmp = slice_dup(buf_slice(&name));
	buf_fini(&name);
	copy_keywords(msg, keywords, n_keywords);
	p->n++;
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

int
append_write(struct append *p, struct slice bytes, struct err *e)
{
	struct new_message *msg;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->open);
	msg = &p->v[p->n - 1];
	if (p->raw) {
		int rc = make_file(p, msg, e);

		if (rc == 0 && fsx_write_all(msg->fd, bytes) < 0)
			rc = err_sys(e, "write %s", msg->tmp);
		return rc;
	}
	/* once, not line by line */
	(void)!buf_reserve(&p->out, bytes.n + 1);
	while (bytes.n != 0) {
		size_t n = slice_find(bytes, '\r');

		if (p->cr && bytes.p[0] != '\n')
			put_bytes(p, msg, SLICE("\r"));
		put_bytes(p, msg, slice_first(bytes, n));
		p->cr = n < bytes.n;
		bytes = slice_skip(bytes, n + p->cr);
	}
	if (p->n == 1 && !msg->made && p->out.n <= APPEND_IN_MEMORY &&
	    buf_ok(&p->out))
		return 0;
	return flush(p, msg, e);
}

static void
message_fini(struct append *p, struct new_message *msg)
{
	if (msg->fd >= 0)
		(void)close(msg->fd);
	/* Renamed away if it came through: then this finds nothing. */
	if (msg->made && msg->committed == NULL &&
	    fsx_unlink(p->tmp_fd, msg->tmp) < 0 && errno != ENOENT)
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

int
append_message_end(struct append *p, struct err *e)
{
	struct new_message *msg;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(p->open);
	msg = &p->v[p->n - 1];
	if (p->cr)
		put_bytes(p, msg, SLICE("\r"));
	if (p->last != '\n' && !p->raw)
		put_bytes(p, msg, SLICE("\n"));
	p->cr = p->open = false;
	if (p->n == 1 && !msg->made && buf_ok(&p->out))
		return 0;
	return complete(p, msg, e);
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
	if ((rc = complete(p, msg, e)) != 0)
		return rc;
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

int
append_open_file(struct append *p, size_t k, int *fd, struct err *e)
{
	struct new_message *msg;
	int own, rc;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(!p->open && k < p->n && p->state == APPEND_WRITING);
	msg = &p->v[k];
	if (!msg->made && (rc = complete(p, msg, e)) != 0)
		return rc;
	own = fsx_open_read(p->tmp_fd, msg->tmp, NULL);
	if (own < 0)
		return err_sys(e, "open %s", msg->tmp);
	*fd = own;
	return 0;
}

void
append_free(struct append **pp)
{
	struct append *p = *pp;
	bool kept;

	*pp = NULL;
	if (p == NULL)
		return;
	MAGIC_CHECK(p, APPEND_MAGIC);
	/* in the mailbox, but not on the disk for sure */
	kept = p->state == APPEND_COMMIT && p->group.committed;
	append_commit_fini(p);
	for (size_t i = 0; i < p->n; i++)
		message_fini(p, &p->v[i]);
	/* carried out, or its files removed */
	if (p->intent != 0 && !kept)
		intent_drop(p->m->account, p->intent);
	else if (p->intent != 0)
		intent_leave(p->m->account);
	free(p->v);
	free(p->uids);
	buf_fini(&p->out);
	/* a sync thread may have it */
	if (p->tmp_fd >= 0)
		(void)close(p->tmp_fd);
	mailbox_close(&p->m);
	p->magic = 0;
	free(p);
}
