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
#include "maildir/link_target.h"
#include "maildir/name.h"
#include "maildir/shared_link.h"

enum {
	FIELDS = 5,
	PART_MAX = NAME_DIR_MAX,
	NAME_MAX_BYTES = 1024,
	PATH_BYTES = 4096,
};

/* --- parsing ------------------------------------------------------------- */

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

/* Whether a path leads anywhere but to where it begins. */
static bool
leads_on(struct slice path)
{
	struct slice part;

	while (slice_split(&path, '/', &part))
		if (part.n != 0 && !slice_eq(part, SLICE(".")))
			return true;
	return false;
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
		/* no way out of the index's directory, nor back to it */
		if (!leads_on(f[2]) || f[2].p[0] == '/')
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

/* Sort the lines, and of those with one name keep the first. */
static void
sort_lines(struct shared_index *x)
{
	size_t n = 0;

	if (x->n != 0)
		qsort(x->v, x->n, sizeof(*x->v), order_lines);
	for (size_t i = 0; i < x->n; i++) {
		if (n != 0 && slice_eq(x->v[n - 1].name, x->v[i].name))
			x->n_double++;
		else
			x->v[n++] = x->v[i];
	}
	x->n = n;
}

static void
count_bad(struct shared_index *x, size_t number)
{
	x->n_bad++;
	if (x->first_bad == 0)
		x->first_bad = number;
}

void
shared_index_parse(struct slice bytes, const char *dir, uint32_t uid,
    bool munge, struct shared_index *out)
{
	struct slice line;
	size_t cap = 0, number = 0;

	*out = (struct shared_index){ 0 };
	arena_init(&out->arena, 0);
	while (out->n < SHARED_LINES_MAX && slice_split(&bytes, '\n', &line)) {
		number++;
		if (slice_ends(line, SLICE("\r")))
			line.n--;
		if (line.n != 0 && line.p[0] != '#' &&
		    !parse_line(out, &cap, line, dir, uid, munge))
			count_bad(out, number);
	}
	sort_lines(out);
}

/* NICK<tab>/PATH */
static bool
parse_link(struct shared_index *x, size_t *cap, struct slice line)
{
	const char *target;
	struct slice nick;

	if (!slice_split(&line, '\t', &nick) || !is_part(nick) ||
	    slice_has(nick, '.') || slice_has(nick, '/') || line.n == 0 ||
	    line.p[0] != '/')
		return false;
	target = joined(x, SLICE(""), line);
	if (target != NULL)
		add(x, cap, nick, false, target, false);
	return target != NULL;
}

void
shared_links_parse(struct slice bytes, struct shared_index *out)
{
	struct slice line;
	size_t cap = 0, number = 0;

	*out = (struct shared_index){ 0 };
	arena_init(&out->arena, 0);
	while (out->n < SHARED_LINKS_MAX && slice_split(&bytes, '\n', &line)) {
		number++;
		if (slice_ends(line, SLICE("\r")))
			line.n--;
		if (line.n != 0 && line.p[0] != '#' &&
		    !parse_link(out, &cap, line))
			count_bad(out, number);
	}
	sort_lines(out);
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

/* --- files --------------------------------------------------------------- */

struct shared_indexes {
	struct shared_indexes *next;
	struct shared_index index; /* must be first of what is handed out */
	char *path;
	enum shared_format format;
	bool circle_told;
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
	if (x->n_indirect != 0)
		log_warn("shared: index %s: %zu paths lead through symbolic "
			 "links or to no Maildir, left out",
		    e->path, x->n_indirect);
	if (x->n >= (size_t)(e->format == SHARED_LINKS ? SHARED_LINKS_MAX
						       : SHARED_LINES_MAX))
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

/* See which lines lead to what can be served; they are looked at again when
 * one goes there. */
static void
check_links(struct shared_index *x)
{
	for (size_t i = 0; i < x->n; i++)
		switch (link_target_check(x->v[i].target, geteuid())) {
		case LINK_OK:
		case LINK_ABSENT:
			break;
		case LINK_FOREIGN:
			x->n_foreign++;
			break;
		case LINK_INDIRECT:
		case LINK_NO_DIRECTORY:
		case LINK_FOLDER:
			x->n_indirect++;
			break;
		}
}

static void
parse(struct shared_indexes *e, struct slice bytes)
{
	char *dir;

	if (e->format == SHARED_LINKS) {
		shared_links_parse(bytes, &e->index);
		check_links(&e->index);
		return;
	}
	dir = dir_of(e->path);
	shared_index_parse(bytes, dir, geteuid(),
	    e->format == SHARED_ACCOUNTS_MUNGED, &e->index);
	free(dir);
}

static struct shared_indexes *
load(const char *path, enum shared_format format, int fd, const struct stat *st)
{
	struct shared_indexes *e = MEM_NEW(struct shared_indexes);
	struct buf bytes;
	uint8_t piece[8192];
	ssize_t n;

	buf_init(&bytes,
	    format == SHARED_LINKS ? SHARED_LINKS_FILE_MAX : SHARED_FILE_MAX);
	while ((n = fsx_pread(
		    fd, piece, sizeof(piece), (off_t)buf_len(&bytes))) > 0 &&
	    buf_ok(&bytes))
		buf_put(&bytes, slice_of(piece, (size_t)n));
	if (n < 0 || !buf_ok(&bytes))
		log_warn("shared: index %s: %s", path,
		    n < 0 ? "can't be read" : "too large, not used");
	e->path = mem_strdup(path);
	e->format = format;
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->size = st->st_size;
	e->mtime = st->st_mtim;
	parse(e, n < 0 || !buf_ok(&bytes) ? SLICE("") : buf_slice(&bytes));
	say_what_was_left_out(e);
	buf_fini(&bytes);
	return e;
}

static bool
is_same(const struct shared_indexes *e, const char *path,
    enum shared_format format, const struct stat *st)
{
	return !e->stale && strcmp(e->path, path) == 0 && e->format == format &&
	    e->dev == st->st_dev && e->ino == st->st_ino &&
	    e->size == st->st_size && e->mtime.tv_sec == st->st_mtim.tv_sec &&
	    e->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

const struct shared_index *
shared_index_get(
    struct shared_indexes **all, const char *path, enum shared_format format)
{
	struct shared_indexes *e;
	struct stat st;
	/* a link is the administrator's way to switch between two; a user's
	 * own file is none */
	int fd = open(path,
	    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
		(format == SHARED_LINKS ? O_NOFOLLOW : 0));

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0 || errno != ENOENT)
			log_warn("shared: index %s: %s", path,
			    fd < 0 ? strerror(errno) : "is no file");
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	for (e = *all; e != NULL; e = e->next) {
		if (is_same(e, path, format, &st))
			break;
		if (strcmp(e->path, path) == 0 && e->format == format)
			e->stale = true;
	}
	if (e == NULL) {
		e = load(path, format, fd, &st);
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

/* --- finding one --------------------------------------------------------- */

static bool
valid_below(struct slice name, struct slice root)
{
	struct slice part;

	if (!slice_starts(name, root) || name.n > NAME_MAX_BYTES ||
	    name.p[name.n - 1] == '.')
		return false;
	name = slice_skip(name, root.n);
	while (slice_split(&name, '.', &part))
		if (!is_part(part) || slice_has(part, '/'))
			return false;
	return true;
}

bool
shared_name_valid(struct slice name)
{
	return valid_below(name, SLICE(SHARED_ROOT "."));
}

bool
shared_link_name_valid(struct slice name)
{
	return valid_below(name, SLICE(SHARED_LINK_ROOT "."));
}

/* Of an index of accounts. */
static enum shared_format
format_of(const struct shared_options *o)
{
	return o->munge ? SHARED_ACCOUNTS_MUNGED : SHARED_ACCOUNTS;
}

bool
shared_exists(struct account *near, const struct shared_options *o)
{
	struct shared_indexes **all = &near->store->shared;
	const struct shared_index *x;

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	if (o->index == NULL ||
	    (x = shared_index_get(all, o->index, format_of(o))) == NULL)
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
		    (x = shared_index_get(all, file, format_of(o))) == NULL)
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
