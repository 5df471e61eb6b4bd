#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/young.h"

enum {
	SEARCHES_MAX = 3,
	STIRRED_MS = 10, /* the grain of a directory's mtime, and more */
};

const char *
message_name(struct buf *b, const struct chunk *c, uint32_t i)
{
	buf_reset(b);
	file_name_put(b, chunk_base(c, i), chunk_place(c, i), chunk_odd(c, i));
	return buf_cstr(b);
}

/* Where a message's file was found. */
struct whereabouts {
	int which; /* DIR_* */
	struct buf *name;
	/* of the directories, when it was searched: names looked at, and how
	 * many are enough, even if they may have changed meanwhile */
	int looked_at, enough;
};

/* Try to use the file: 0, or -1 with errno. */
typedef int attempt(struct mailbox *m, struct whereabouts *w, void *arg);

/* Among names that a watch saw coming and no scan has taken yet. */
static bool
try_events(struct mailbox *m, struct slice base, struct whereabouts *w,
    attempt *fn, void *arg)
{
	struct file_name f;

	watch_drain(m->account->store);
	for (w->which = DIR_CUR; w->which >= DIR_NEW; w->which--) {
		const struct watched_dir *d = &m->dirs[w->which];

		for (size_t i = d->n_events; i-- > 0;) {
			struct slice name = slice_str(d->events[i].name);

			file_name_parse(name, d->is_new, &f);
			if (!d->events[i].present || !slice_eq(f.base, base))
				continue;
			buf_reset(w->name);
			buf_put(w->name, name);
			if (fn(m, w, arg) == 0)
				return true;
		}
	}
	return false;
}

/* 1: done; 0: it isn't there; else ERR_*. */
static int
try_directory(struct mailbox *m, struct slice base, struct whereabouts *w,
    attempt *fn, void *arg)
{
	struct dir_reader r;
	struct slice name;
	struct file_name f;
	int fd = mailbox_dir_fd(m, w->which), rc = 0;

	if (fd < 0 || dir_reader_open(&r, fd, ".") < 0) {
		rc = err_of_errno(errno);
		return rc == ERR_NOT_FOUND ? 0 : rc;
	}
	while (rc == 0 && dir_reader_next(&r, &name)) {
		w->looked_at++;
		file_name_parse(name, w->which == DIR_NEW, &f);
		if (!slice_eq(f.base, base))
			continue;
		buf_reset(w->name);
		buf_put(w->name, name);
		if (fn(m, w, arg) == 0)
			rc = 1;
		else if ((rc = err_of_errno(errno)) == ERR_NOT_FOUND)
			rc = 0;
	}
	if (rc == 0 && r.failed)
		rc = ERR_SYS;
	dir_reader_close(&r);
	return rc;
}

/* The events that wait, as watches saw them. */
struct heard {
	bool all; /* watches have seen all since the directories were known */
	size_t n[2];
};

static struct heard
listen(struct mailbox *m)
{
	struct heard h = { .all = true };

	watch_drain(m->account->store);
	for (int d = 0; d < 2; d++) {
		h.all = h.all && m->dirs[d].wd >= 0 && m->dirs[d].complete;
		h.n[d] = m->dirs[d].n_events;
	}
	return h;
}

/* Whether a watch would have said so, had the message been renamed since. */
static bool
stayed(struct mailbox *m, struct slice base, const struct heard *before)
{
	struct heard now = listen(m);
	struct file_name f;

	if (!before->all || !now.all)
		return false;
	for (int d = 0; d < 2; d++)
		for (size_t i = before->n[d]; i < now.n[d]; i++) {
			file_name_parse(slice_str(m->dirs[d].events[i].name),
			    d == DIR_NEW, &f);
			if (slice_eq(f.base, base))
				return false;
		}
	return true;
}

/* Whether somebody has renamed files lately: then a reading may have missed
 * the one that it was for, or have found a name that was gone again. */
static bool
is_stirred(struct mailbox *m, int64_t since_ms)
{
	struct stat st;

	for (int d = 0; d < 2; d++) {
		int fd = mailbox_dir_fd(m, d);

		if (fd >= 0 && fstat(fd, &st) == 0 &&
		    st.st_mtim.tv_sec * INT64_C(1000) +
			    st.st_mtim.tv_nsec / 1000000 >=
			since_ms - STIRRED_MS)
			return true;
	}
	return false;
}

/* In both directories, as try_directory(). */
static int
try_directories(struct mailbox *m, struct slice base, struct whereabouts *w,
    attempt *fn, void *arg)
{
	int rc;

	w->which = DIR_CUR;
	if ((rc = try_directory(m, base, w, fn, arg)) != 0)
		return rc;
	w->which = DIR_NEW;
	return try_directory(m, base, w, fn, arg);
}

/* The same; again if the reading may have missed it, and that is a matter of
 * moments. */
static int
search(struct mailbox *m, struct slice base, struct whereabouts *w, attempt *fn,
    void *arg)
{
	int rc = 0;

	w->looked_at = 0;
	for (int n = 0; rc == 0 && n < SEARCHES_MAX && w->looked_at < w->enough;
	     n++) {
		struct heard before = listen(m);
		int64_t since = clock_wall();

		rc = try_directories(m, base, w, fn, arg);
		if (rc == 0 &&
		    (stayed(m, base, &before) || !is_stirred(m, since)))
			break;
		if (rc == 0 && try_events(m, base, w, fn, arg))
			rc = 1;
	}
	return rc;
}

/*
 * Have fn use the file of a message, where it was, or a watch saw it come.
 * ERR_NOT_FOUND: there it isn't, and then *base is set, unless it is gone.
 */
static int
with_known_file(struct mailbox *m, uint32_t uid, attempt *fn, void *arg,
    struct whereabouts *w, struct slice *base)
{
	struct chunk *c;
	uint32_t i;
	int rc;

	*base = slice_of(NULL, 0);
	if (m->gone)
		return ERR_NOT_FOUND;
	if ((rc = mailbox_find_named(m, uid, &c, &i)) != 0)
		return rc;
	w->name = &m->account->store->name;
	w->which = chunk_place(c, i) & PLACE_NEW ? DIR_NEW : DIR_CUR;
	(void)message_name(w->name, c, i);
	if (fn(m, w, arg) == 0)
		return 0;
	rc = err_of_errno(errno);
	if (rc != ERR_NOT_FOUND)
		return rc;
	*base = chunk_base(c, i);
	return try_events(m, *base, w, fn, arg) ? 0 : ERR_NOT_FOUND;
}

/*
 * The same, wherever it is now.  Somebody else may be renaming it: what no
 * watch tells the directories are searched for.  ERR_BUSY: it has no file for
 * now (young.h).
 */
static int
with_file_among(
    struct mailbox *m, uint32_t uid, int enough, attempt *fn, void *arg)
{
	struct whereabouts w = { .enough = enough };
	struct slice base;
	int rc = with_known_file(m, uid, fn, arg, &w, &base);

	if (rc != ERR_NOT_FOUND || base.p == NULL)
		return rc;
	rc = search(m, base, &w, fn, arg);
	if (rc == 0)
		return young_kept(m, uid) ? ERR_BUSY : ERR_NOT_FOUND;
	return rc == 1 ? 0 : rc;
}

static int
with_file(struct mailbox *m, uint32_t uid, attempt *fn, void *arg)
{
	return with_file_among(m, uid, PIECE_WORK, fn, arg);
}

struct opened {
	int fd;
	struct stat st;
};

static int
try_open(struct mailbox *m, struct whereabouts *w, void *arg)
{
	struct opened *o = arg;
	int dir = mailbox_dir_fd(m, w->which);

	if (dir < 0)
		return -1;
	o->fd = fsx_open_read(dir, buf_cstr(w->name), &o->st);
	return o->fd < 0 ? -1 : 0;
}

static int
try_stat(struct mailbox *m, struct whereabouts *w, void *arg)
{
	struct opened *o = arg;
	int dir = mailbox_dir_fd(m, w->which);

	return dir < 0 ? -1 : fsx_stat(dir, buf_cstr(w->name), &o->st);
}

static int
try_path(struct mailbox *m, struct whereabouts *w, void *arg)
{
	struct opened o;
	struct buf *out = arg;

	if (try_stat(m, w, &o) < 0)
		return -1;
	buf_puts(out, w->which == DIR_NEW ? "new/" : "cur/");
	buf_put(out, buf_slice(w->name));
	return 0;
}

static int
try_birth(struct mailbox *m, struct whereabouts *w, void *arg)
{
	int dir = mailbox_dir_fd(m, w->which);

	return dir < 0 ? -1 : fsx_birth(dir, buf_cstr(w->name), arg);
}

struct link_to {
	int dirfd, error;
	const char *name;
	bool nowhere; /* the directory is gone, not the message */
};

static int
try_link(struct mailbox *m, struct whereabouts *w, void *arg)
{
	struct link_to *to = arg;
	int dir = mailbox_dir_fd(m, w->which);
	struct stat st;

	if (dir < 0)
		return -1;
	if (fsx_link(dir, buf_cstr(w->name), to->dirfd, to->name) == 0)
		return 0;
	to->error = errno;
	if (errno != ENOENT || fsx_stat(dir, buf_cstr(w->name), &st) < 0)
		return -1;
	to->nowhere = true;
	errno = ESTALE; /* nothing to be searched for */
	return -1;
}

static int64_t
ms_of(const struct timespec *t)
{
	return t->tv_sec * INT64_C(1000) + t->tv_nsec / 1000000;
}

/* Keep what a stat() told. */
static void
fill_in(struct mailbox *m, uint32_t uid, const struct stat *st)
{
	struct chunk *c;
	struct fixed *f;
	uint32_t i;

	if (!mailbox_find(m, uid, &c, &i))
		return;
	f = chunk_fixed(c, i);
	if (f->internal_ms != TIME_UNKNOWN && f->file_size != SIZE_UNKNOWN)
		return;
	/* The date is that of the first look: what a later touch(1) says
	 * isn't when the message came.  RFC 3501 2.3.3 */
	if (f->internal_ms == TIME_UNKNOWN)
		f->internal_ms = ms_of(&st->st_mtim);
	f->file_size = (uint64_t)st->st_size;
	c->body->dirty = m->meta_dirty = true;
}

bool
message_seen(struct mailbox *m, uint32_t uid, const struct stat *st)
{
	struct chunk *c;
	uint32_t i;

	if (m->gone || !mailbox_find(m, uid, &c, &i))
		return false;
	fill_in(m, uid, st);
	return true;
}

int
mailbox_open_message(struct mailbox *m, uint32_t uid, int *fd,
    uint64_t *file_size, struct err *e)
{
	struct opened o = { -1, { 0 } };
	struct chunk *c;
	uint32_t i;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	rc = m->gone ? ERR_NOT_FOUND : mailbox_find_named(m, uid, &c, &i);
	/* so it is with others, and told in the same words */
	if (rc != 0 && rc != ERR_NOT_FOUND)
		return err_set(e, rc, "names of messages of %s: %s", m->name,
		    err_name(rc));
	if (rc == 0)
		rc = with_file(m, uid, try_open, &o);
	if (rc == ERR_BUSY && (rc = young_open_kept(m, uid, &o.fd)) == 0 &&
	    fstat(o.fd, &o.st) < 0)
		(void)memset(&o.st, 0, sizeof(o.st));
	if (rc != 0)
		return err_set(
		    e, rc, "message %u of %s: %s", uid, m->name, err_name(rc));
	fill_in(m, uid, &o.st);
	*fd = o.fd;
	*file_size = (uint64_t)o.st.st_size;
	return 0;
}

int
mailbox_message_path(struct mailbox *m, uint32_t uid, struct buf *out)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	return with_file(m, uid, try_path, out);
}

int
mailbox_message_info(struct mailbox *m, uint32_t uid, struct message_info *out)
{
	struct opened o;
	struct chunk *c;
	struct fixed *f;
	uint32_t i;
	bool asked;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (!mailbox_find(m, uid, &c, &i))
		return ERR_NOT_FOUND;
	f = chunk_fixed(c, i);
	asked = f->internal_ms == TIME_UNKNOWN || f->file_size == SIZE_UNKNOWN;
	if (asked) {
		if ((rc = with_file(m, uid, try_stat, &o)) != 0)
			return rc;
		fill_in(m, uid, &o.st);
		/* it may have been read anew for that */
		if (!mailbox_find(m, uid, &c, &i))
			return ERR_NOT_FOUND;
		f = chunk_fixed(c, i);
	}
	*out = (struct message_info){ f->internal_ms, f->save_ms, f->file_size,
		f->wire_size, f->synced, asked };
	return 0;
}

int
mailbox_message_stat(
    struct mailbox *m, uint32_t uid, bool search, struct stat *st)
{
	struct whereabouts w = { 0 };
	struct slice base;
	struct opened o;
	int rc = search ? with_file(m, uid, try_stat, &o)
			: with_known_file(m, uid, try_stat, &o, &w, &base);

	if (rc != 0)
		return rc;
	fill_in(m, uid, &o.st);
	*st = o.st;
	return 0;
}

int
mailbox_message_birth(struct mailbox *m, uint32_t uid, int64_t *wall_ms)
{
	return with_file(m, uid, try_birth, wall_ms);
}

int
mailbox_message_link(
    struct mailbox *m, uint32_t uid, int dirfd, const char *name, int *error)
{
	struct link_to to = { .dirfd = dirfd, .name = name };
	/* whoever isn't found is left out of a COPY for good */
	int rc = with_file_among(m, uid, INT_MAX, try_link, &to);

	if (to.nowhere)
		rc = ERR_NOT_FOUND;
	*error = rc == ERR_NOT_FOUND && !to.nowhere ? 0 : to.error;
	return rc;
}

int
mailbox_email_id(struct mailbox *m, uint32_t uid, uint64_t *out)
{
	struct chunk *c;
	uint32_t i;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if ((rc = mailbox_find_named(m, uid, &c, &i)) == 0)
		*out = chunk_email_id(c, i);
	return rc;
}

void
mailbox_set_size(
    struct mailbox *m, uint32_t uid, uint64_t size, enum ending ending)
{
	struct chunk *c;
	struct fixed *f;
	uint32_t i;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (!mailbox_find(m, uid, &c, &i))
		return;
	f = chunk_fixed(c, i);
	if (f->wire_size == size && f->ending == ending)
		return;
	/* another size is that of another file */
	if (f->wire_size != size && f->wire_size != SIZE_UNKNOWN)
		f->header = HEADER_UNKNOWN;
	f->wire_size = size;
	f->ending = ending;
	c->body->dirty = m->meta_dirty = true;
}

void
mailbox_set_header(struct mailbox *m, uint32_t uid, enum header_bytes header)
{
	struct chunk *c;
	uint32_t i;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (!mailbox_find(m, uid, &c, &i) ||
	    chunk_fixed(c, i)->header == header)
		return;
	chunk_fixed(c, i)->header = header;
	c->body->dirty = m->meta_dirty = true;
}

void
mailbox_set_wire_size(struct mailbox *m, uint32_t uid, uint64_t size)
{
	struct chunk *c;
	uint32_t i;

	/* A size that changes is that of another file. */
	if (mailbox_find(m, uid, &c, &i) &&
	    chunk_fixed(c, i)->wire_size != size)
		mailbox_set_size(m, uid, size, ENDING_UNKNOWN);
}
