/*
 * Updates of keywords, as files in courierimapkeywords/: BASENAME is the whole
 * new set of that message, a keyword a line, not yet merged; ".N.BASENAME" is
 * one that was, N being unix time / 300 + 1 of then, kept for those who read an
 * older list.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/foreign_impl.h"

#define KEYWORD_DIR "courierimapkeywords"

enum {
	PERIOD_S = 300,
	UPDATE_BYTES = 64 * 1024,
	UPDATES_BYTES = 16 * 1024 * 1024,
	UPDATES_MAX = 100000,
	UPDATE_WORK = 16, /* to open and read one */
	STAT_WORK = 3,
};

/* Whether the file is an update, and of which message. */
static bool
parse_update(struct slice name, struct foreign_update *out)
{
	struct slice rest = name, number;

	out->period = UINT64_MAX;
	if (name.p[0] == ':')
		return false;
	if (name.p[0] == '.') {
		rest = slice_skip(rest, 1);
		if (!slice_split(&rest, '.', &number) ||
		    !num_u64(number, &out->period) || rest.n == 0)
			return false;
	}
	/* with an info part it could not be renamed, and would count for ever
	 */
	return foreign_base(rest, &out->base) && out->base.n == rest.n;
}

static int64_t
mtime_of(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

static int
order_updates(const void *a, const void *b)
{
	const struct foreign_update *x = a, *y = b;
	int rc = slice_cmp(x->base, y->base);

	return rc != 0		    ? rc
	    : x->period < y->period ? -1
				    : x->period > y->period;
}

static void
add_update(struct foreign_updates *u, struct slice name, const struct stat *st)
{
	struct foreign_update one = { .name = slice_dup(name),
		.mtime_ns = mtime_of(st),
		.ino = st->st_ino };

	(void)parse_update(slice_str(one.name), &one);
	if (u->n == u->cap) {
		u->cap = u->cap * 2 + 32;
		u->v = mem_realloc(u->v, u->cap, sizeof(*u->v));
	}
	u->v[u->n++] = one;
}

enum foreign_step
foreign_updates_list(struct dir_reader *r, struct foreign_file *f,
    struct foreign_updates *u, int *work)
{
	struct foreign_update one;
	struct slice name;
	struct stat st;

	while (u->n < UPDATES_MAX) {
		if (*work <= 0)
			return FOREIGN_MORE;
		*work -= STAT_WORK;
		if (!dir_reader_next(r, &name))
			break;
		if (!parse_update(name, &one))
			continue;
		if (fsx_stat(dir_reader_fd(r), (const char *)name.p, &st) < 0)
			foreign_file_note(f, errno);
		else if (S_ISREG(st.st_mode))
			add_update(u, name, &st);
	}
	if (r->failed)
		foreign_file_note(f, EIO);
	if (u->n != 0)
		qsort(u->v, u->n, sizeof(*u->v), order_updates);
	return f->error != 0 ? FOREIGN_NONE : FOREIGN_DONE;
}

void
foreign_updates_fini(struct foreign_updates *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i].name);
	free(u->v);
	*u = (struct foreign_updates){ 0 };
}

static void
take_update(struct foreign_keywords *k, const struct foreign_update *one,
    struct slice rest)
{
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct slice line;
	uint16_t i;

	set.base = arena_dup(&k->arena, one->base);
	if (one->period == UINT64_MAX) {
		set.state = UPDATE_WAITS;
		set.mtime_ns = one->mtime_ns;
		set.ino = one->ino;
	}
	while (slice_split(&rest, '\n', &line))
		if (foreign_keyword_name(k, line, &i))
			foreign_keyword_member(k, i);
	set.n = k->n_indexes - set.at;
	foreign_keywords_add(k, &set);
	k->n_pending += one->period == UINT64_MAX;
}

/*
 * Take one update's keywords; how many bytes it had.  One that somebody made
 * who doesn't let us read it doesn't keep us from the others: it is left to
 * wait, in case that changes.  *gone: somebody has merged it.
 */
static size_t
read_update(int fd, struct foreign_file *f, struct foreign_keywords *k,
    const struct foreign_update *one, bool *gone)
{
	struct buf bytes;
	struct stat st;
	size_t n;
	int rc;

	buf_init(&bytes, UPDATE_BYTES + 65536);
	rc = foreign_file_read(fd, "", one->name, &bytes);
	if (rc < 0 && errno == EACCES && k->unread_ns < one->mtime_ns)
		k->unread_ns = one->mtime_ns;
	else if (rc < 0 && errno != EACCES)
		f->error = errno;
	if (rc == 1)
		take_update(k, one, buf_slice(&bytes));
	*gone = rc == 0 && fsx_stat(fd, one->name, &st) < 0 && errno == ENOENT;
	n = buf_len(&bytes);
	buf_fini(&bytes);
	return n;
}

enum foreign_step
foreign_updates_read(int fd, struct foreign_file *f, struct foreign_updates *u,
    struct foreign_keywords *k, int *work)
{
	for (; u->at < u->n && u->bytes < UPDATES_BYTES; u->at++) {
		size_t i = u->at;
		bool gone = false;

		if (*work <= 0)
			return FOREIGN_MORE;
		if (i + 1 < u->n && slice_eq(u->v[i].base, u->v[i + 1].base))
			continue;
		u->bytes += read_update(fd, f, k, &u->v[i], &gone);
		u->gone = u->gone || gone;
		if (f->error != 0)
			return FOREIGN_NONE;
		*work -= UPDATE_WORK;
	}
	return FOREIGN_DONE;
}

static void
put_keywords(struct buf *path, const char *dir)
{
	buf_puts(path, dir);
	buf_puts(path, dir[0] != '\0' ? "/" KEYWORD_DIR : KEYWORD_DIR);
}

int
foreign_updates_open(int root_fd, const char *dir, struct dir_reader *r)
{
	struct buf path;
	int rc;

	buf_init(&path, 2048);
	put_keywords(&path, dir);
	rc = dir_reader_open(r, root_fd, buf_cstr(&path));
	buf_fini(&path);
	return rc;
}

/* Whether the file of a name is the one of an update: 1, 0, or -1. */
static int
is_file(int fd, const char *name, uint64_t ino, int64_t mtime_ns)
{
	struct stat st;

	if (fsx_stat(fd, name, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	return st.st_ino == ino && mtime_of(&st) == mtime_ns;
}

static int
is_file_of(int fd, const char *name, const struct foreign_keyword_set *s)
{
	return is_file(fd, name, s->ino, s->mtime_ns);
}

int
courier_update_waits(int root_fd, const char *dir,
    const struct foreign_keyword_set *s, struct err *e)
{
	struct buf path;
	int waits;

	buf_init(&path, 2048);
	put_keywords(&path, dir);
	buf_putc(&path, '/');
	buf_put(&path, s->base);
	waits = is_file_of(root_fd, buf_cstr(&path), s);
	if (waits < 0)
		waits = err_sys(e, "stat %s", buf_cstr(&path));
	buf_fini(&path);
	return waits;
}

/*
 * Nothing but the rename itself says which file it is that gets the name: if
 * it was another, it gets its old one back, unless a third has it by now.
 */
static bool
rename_update(int fd, const struct foreign_keyword_set *s, const char *from,
    const char *to)
{
	switch (is_file_of(fd, from, s)) {
	case 1:
		break;
	case 0:
		return true;
	default:
		return false;
	}
	if (fsx_rename(fd, from, fd, to) < 0)
		return errno == ENOENT;
	if (is_file_of(fd, to, s) == 0)
		(void)!fsx_rename_new(fd, to, fd, from);
	return true;
}

bool
courier_keywords_merged(
    int fd, int64_t wall_s, struct foreign_keywords *k, size_t *at)
{
	struct buf from, to;
	int left = COURIER_UPDATES_PIECE;

	buf_init(&from, 1024);
	buf_init(&to, 1024);
	for (; *at < k->n && left > 0; ++*at) {
		struct foreign_keyword_set *s = &k->v[*at];

		if (s->state != UPDATE_TAKEN)
			continue;
		left--;
		buf_reset(&from);
		buf_reset(&to);
		buf_put(&from, s->base);
		buf_putf(&to, ".%lld.", (long long)(wall_s / PERIOD_S + 1));
		buf_put(&to, s->base);
		if (!rename_update(fd, s, buf_cstr(&from), buf_cstr(&to))) {
			*at = k->n;
			break;
		}
		s->state = UPDATE_RENAMED;
	}
	buf_fini(&from);
	buf_fini(&to);
	return *at < k->n;
}

/* --- tidying -------------------------------------------------------------- */

struct courier_tidying {
	struct dir_reader dir;
	struct foreign_file file;
	struct foreign_updates updates; /* from at on they are there */
	int64_t wall_s;
	bool listed;
};

struct courier_tidying *
courier_tidying_new(int root_fd, const char *dir, int64_t wall_s)
{
	struct dir_reader r;
	struct courier_tidying *t;

	if (foreign_updates_open(root_fd, dir, &r) < 0)
		return NULL;
	t = MEM_NEW(struct courier_tidying);
	t->dir = r;
	t->file.fd = -1;
	t->wall_s = wall_s;
	return t;
}

bool
courier_tidying_list(struct courier_tidying *t, int *work)
{
	/* what can't be looked at stays */
	if (!t->listed)
		t->listed = foreign_updates_list(&t->dir, &t->file, &t->updates,
				work) != FOREIGN_MORE;
	return !t->listed;
}

bool
courier_tidying_left(const struct courier_tidying *t)
{
	return t->updates.at < t->updates.n;
}

/*
 * In the list is what had the name when it was listed.  Since then another
 * update of the message may have been merged, within the same period.
 */
int
courier_tidying_run(void *arg)
{
	struct courier_tidying *t = arg;
	struct foreign_updates *u = &t->updates;
	int fd = dir_reader_fd(&t->dir), left = COURIER_UPDATES_PIECE;

	for (; u->at < u->n && left > 0; u->at++) {
		const struct foreign_update *one = &u->v[u->at];

		if (one->period == UINT64_MAX &&
		    one->mtime_ns / 1000000000 + FOREIGN_PENDING_S >= t->wall_s)
			continue;
		left--;
		if (is_file(fd, one->name, one->ino, one->mtime_ns) == 1)
			(void)!fsx_unlink(fd, one->name);
	}
	return 0;
}

void
courier_tidying_free(void *arg)
{
	struct courier_tidying *t = arg;

	if (t == NULL)
		return;
	foreign_updates_fini(&t->updates);
	dir_reader_close(&t->dir);
	free(t);
}
