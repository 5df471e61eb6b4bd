#include "maildir/shared_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf7.h"
#include "maildir/internal.h"
#include "maildir/name.h"

enum {
	FIELDS = 5,
	PART_MAX = NAME_DIR_MAX,
	NAME_MAX_BYTES = 1024,
	PATH_BYTES = 4096,
};

/* --- parsing ----------------------------------------------------------------
 */

static struct slice
munged(struct shared_index *x, struct slice name, bool munge)
{
	struct buf out;
	struct slice s;

	buf_init(&out, (size_t)2 * PART_MAX);
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		const char *special = c == '.' ? "\\:"
		    : c == '/'		       ? "\\;"
					       : "\\\\";

		if (c != '.' && c != '/' && (!munge || c != '\\'))
			buf_putc(&out, c);
		else if (munge)
			buf_puts(&out, special);
		else
			buf_putc(&out, ' ');
	}
	s = arena_dup(&x->arena, buf_slice(&out));
	buf_fini(&out);
	return s;
}

static bool
is_part(struct slice name)
{
	if (name.n == 0 || name.n > PART_MAX || !utf8_valid(name))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (ascii_is_control(name.p[i]))
			return false;
	return true;
}

/* Append a path without "//", "/./" and a '/' at its end, so that one Maildir
 * has one path.  False: it has a "..", or something that no path has. */
static bool
put_clean(struct buf *out, struct slice path)
{
	struct slice part;

	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] == '\0')
			return false;
	while (slice_split(&path, '/', &part)) {
		if (slice_eq(part, SLICE("..")))
			return false;
		if (part.n == 0 || slice_eq(part, SLICE(".")))
			continue;
		buf_putc(out, '/');
		buf_put(out, part);
	}
	return buf_ok(out) && buf_len(out) != 0;
}

/* base/path, or path if that is absolute; NULL as put_clean(). */
static const char *
joined(struct shared_index *x, struct slice base, struct slice path)
{
	struct buf out;
	const char *s = NULL;

	buf_init(&out, PATH_BYTES);
	if ((path.n != 0 && path.p[0] == '/') || put_clean(&out, base)) {
		if (put_clean(&out, path))
			s = (const char *)arena_dup(&x->arena,
			    slice_of(buf_cstr(&out), buf_len(&out) + 1))
				.p;
	}
	buf_fini(&out);
	return s;
}

static void
add(struct shared_index *x, size_t *cap, struct slice name, bool munge,
    const char *target, bool group)
{
	if (x->n == *cap) {
		*cap = *cap * 2 + 64;
		x->v = mem_realloc(x->v, *cap, sizeof(*x->v));
	}
	x->v[x->n++] =
	    (struct shared_line){ munged(x, name, munge), target, group };
}

/* False: the line makes no sense here. */
static bool
parse_line(struct shared_index *x, size_t *cap, struct slice line,
    const char *dir, uint32_t uid, bool munge)
{
	struct slice f[FIELDS];
	const char *target;
	uint32_t owner;
	size_t n = 0;

	while (n < FIELDS && slice_split(&line, '\t', &f[n]))
		n++;
	if (n < 3 || !is_part(f[0]))
		return false;
	if (slice_eq(f[1], SLICE("*"))) {
		/* no way out of the index's directory */
		if (f[2].n == 0 || f[2].p[0] == '/')
			return false;
		target = joined(x, slice_str(dir), f[2]);
		if (target != NULL)
			add(x, cap, f[0], munge, target, true);
		return target != NULL;
	}
	if (n < 4 || !num_u32(f[1], &owner) || f[3].n == 0 || f[3].p[0] != '/')
		return false;
	if (owner != uid) {
		x->n_foreign++;
		return true;
	}
	target =
	    joined(x, f[3], n > 4 && f[4].n != 0 ? f[4] : SLICE("Maildir"));
	if (target != NULL)
		add(x, cap, f[0], munge, target, false);
	return target != NULL;
}

static int
order_lines(const void *a, const void *b)
{
	const struct shared_line *x = a, *y = b;

	return slice_cmp(x->name, y->name);
}

void
shared_index_parse(struct slice bytes, const char *dir, uint32_t uid,
    bool munge, struct shared_index *out)
{
	struct slice line;
	size_t cap = 0, number = 0, n = 0;

	*out = (struct shared_index){ 0 };
	arena_init(&out->arena, 0);
	while (out->n < SHARED_LINES_MAX && slice_split(&bytes, '\n', &line)) {
		number++;
		if (slice_ends(line, SLICE("\r")))
			line.n--;
		if (line.n == 0 || line.p[0] == '#' ||
		    parse_line(out, &cap, line, dir, uid, munge))
			continue;
		out->n_bad++;
		if (out->first_bad == 0)
			out->first_bad = number;
	}
	if (out->n != 0)
		qsort(out->v, out->n, sizeof(*out->v), order_lines);
	for (size_t i = 0; i < out->n; i++) {
		if (n != 0 && slice_eq(out->v[n - 1].name, out->v[i].name))
			out->n_double++;
		else
			out->v[n++] = out->v[i];
	}
	out->n = n;
}

void
shared_index_fini(struct shared_index *x)
{
	free(x->v);
	arena_fini(&x->arena);
	*x = (struct shared_index){ 0 };
}

const struct shared_line *
shared_index_find(const struct shared_index *x, struct slice name)
{
	struct shared_line key = { .name = name };

	return x->n == 0
	    ? NULL
	    : bsearch(&key, x->v, x->n, sizeof(*x->v), order_lines);
}

/* --- files
 * -------------------------------------------------------------------- */

struct shared_indexes {
	struct shared_indexes *next;
	struct shared_index index; /* must be first of what is handed out */
	char *path;
	bool munge, circle_told;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	unsigned refs;
	bool stale; /* another version has been read: free when unused */
};

static struct shared_indexes *
entry_of(struct shared_indexes *all, const struct shared_index *x)
{
	while (all != NULL && &all->index != x)
		all = all->next;
	assert(all != NULL);
	return all;
}

static void
entry_free(struct shared_indexes **at)
{
	struct shared_indexes *e = *at;

	*at = e->next;
	shared_index_fini(&e->index);
	free(e->path);
	free(e);
}

/* Free what is stale, or too many, and not in use; the oldest are last. */
static void
sweep(struct shared_indexes **all)
{
	size_t n = 0;

	while (*all != NULL) {
		n++;
		if ((*all)->refs == 0 &&
		    ((*all)->stale || n > SHARED_FILES_KEPT))
			entry_free(all);
		else
			all = &(*all)->next;
	}
}

void
shared_indexes_free(struct shared_indexes **all)
{
	while (*all != NULL) {
		assert((*all)->refs == 0);
		entry_free(all);
	}
}

static void
say_what_was_left_out(const struct shared_indexes *e)
{
	const struct shared_index *x = &e->index;

	if (x->n_foreign != 0)
		log_warn("shared: index %s: %zu accounts have another uid, "
			 "left out",
		    e->path, x->n_foreign);
	if (x->n_bad != 0)
		log_warn("shared: index %s: %zu lines make no sense or lead "
			 "out of their place, left out; the first is line %zu",
		    e->path, x->n_bad, x->first_bad);
	if (x->n_double != 0)
		log_warn("shared: index %s: %zu lines have the name of another "
			 "one, left out",
		    e->path, x->n_double);
	if (x->n >= SHARED_LINES_MAX)
		log_warn("shared: index %s: too long, cut off", e->path);
}

/* The directory of a path, to be freed. */
static char *
dir_of(const char *path)
{
	struct slice s = slice_str(path);
	size_t slash = slice_rfind(s, '/');

	return slash == 0 || slash >= s.n ? mem_strdup("/")
					  : slice_dup(slice_first(s, slash));
}

static struct shared_indexes *
load(const char *path, bool munge, int fd, const struct stat *st)
{
	struct shared_indexes *e = MEM_NEW(struct shared_indexes);
	struct buf bytes;
	uint8_t piece[8192];
	ssize_t n;
	char *dir = dir_of(path);

	buf_init(&bytes, SHARED_FILE_MAX);
	while ((n = fsx_pread(
		    fd, piece, sizeof(piece), (off_t)buf_len(&bytes))) > 0 &&
	    buf_ok(&bytes))
		buf_put(&bytes, slice_of(piece, (size_t)n));
	if (n < 0 || !buf_ok(&bytes))
		log_warn("shared: index %s: %s", path,
		    n < 0 ? "can't be read" : "too large, not used");
	e->path = mem_strdup(path);
	e->munge = munge;
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->size = st->st_size;
	e->mtime = st->st_mtim;
	shared_index_parse(
	    n < 0 || !buf_ok(&bytes) ? SLICE("") : buf_slice(&bytes), dir,
	    geteuid(), munge, &e->index);
	say_what_was_left_out(e);
	buf_fini(&bytes);
	free(dir);
	return e;
}

static bool
is_same(const struct shared_indexes *e, const char *path, bool munge,
    const struct stat *st)
{
	return !e->stale && strcmp(e->path, path) == 0 && e->munge == munge &&
	    e->dev == st->st_dev && e->ino == st->st_ino &&
	    e->size == st->st_size && e->mtime.tv_sec == st->st_mtim.tv_sec &&
	    e->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

const struct shared_index *
shared_index_get(struct shared_indexes **all, const char *path, bool munge)
{
	struct shared_indexes *e;
	struct stat st;
	/* a link is the administrator's way to switch between two */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0 || errno != ENOENT)
			log_warn("shared: index %s: %s", path,
			    fd < 0 ? strerror(errno) : "is no file");
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	for (e = *all; e != NULL; e = e->next) {
		if (is_same(e, path, munge, &st))
			break;
		if (strcmp(e->path, path) == 0 && e->munge == munge)
			e->stale = true;
	}
	if (e == NULL) {
		e = load(path, munge, fd, &st);
		e->next = *all;
		*all = e;
	}
	(void)close(fd);
	e->refs++;
	sweep(all);
	return &e->index;
}

void
shared_index_unref(struct shared_indexes *all, const struct shared_index *x)
{
	struct shared_indexes *e = entry_of(all, x);

	assert(e->refs > 0);
	e->refs--;
}

void
shared_index_circle(
    struct shared_indexes *all, const struct shared_index *x, const char *to)
{
	struct shared_indexes *e = entry_of(all, x);

	if (!e->circle_told)
		log_warn("shared: index %s: group file %s is read already or "
			 "too deep, left out",
		    e->path, to);
	e->circle_told = true;
}

/* --- finding one
 * ---------------------------------------------------------------- */

bool
shared_name_valid(struct slice name)
{
	struct slice part;

	if (!slice_starts(name, SLICE(SHARED_ROOT ".")) ||
	    name.n > NAME_MAX_BYTES || name.p[name.n - 1] == '.')
		return false;
	name = slice_skip(name, sizeof(SHARED_ROOT));
	while (slice_split(&name, '.', &part))
		if (!is_part(part) || slice_has(part, '/'))
			return false;
	return true;
}

bool
shared_exists(struct account *near, const struct shared_options *o)
{
	struct shared_indexes **all = &near->store->shared;
	const struct shared_index *x;

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	if (o->index == NULL ||
	    (x = shared_index_get(all, o->index, o->munge)) == NULL)
		return false;
	shared_index_unref(*all, x);
	return true;
}

static int
not_found(struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no such shared mailbox");
}

int
shared_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	struct shared_indexes **all = &near->store->shared;
	const struct shared_line *line = NULL;
	const struct shared_index *x;
	struct slice part;
	char *file;

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	if (o->index == NULL || !shared_name_valid(name))
		return not_found(e);
	name = slice_skip(name, sizeof(SHARED_ROOT));
	file = mem_strdup(o->index);
	for (unsigned depth = 0; depth < SHARED_DEPTH_MAX; depth++) {
		line = NULL;
		if (!slice_split(&name, '.', &part) ||
		    (x = shared_index_get(all, file, o->munge)) == NULL)
			break;
		line = shared_index_find(x, part);
		free(file);
		file = mem_strdup(line != NULL ? line->target : "");
		if (line != NULL && !line->group)
			buf_puts(path, file);
		shared_index_unref(*all, x);
		if (line == NULL || !line->group)
			break;
	}
	free(file);
	if (line == NULL || buf_len(path) == 0 ||
	    strcmp(buf_cstr(path), near->path) == 0)
		return not_found(e);
	buf_puts(mailbox, "INBOX");
	if (name.n != 0) {
		buf_putc(mailbox, '.');
		buf_put(mailbox, name);
	}
	return 0;
}
