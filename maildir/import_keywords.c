/*
 * Keywords.
 *
 * courierimapkeywords/: ":list" has the names of keywords, a line each; an
 * empty line; then "BASENAME:i j k" with indexes into the names.  A file
 * BASENAME is the whole new set of that message, a keyword a line, not yet
 * merged; ".N.BASENAME" is one that was, N being unix time / 300 + 1 of then,
 * kept for those who read an older list.
 *
 * dovecot-keywords: "INDEX NAME\n", index 0 … 25 for the letters a … z in the
 * info part of file names; what has no letter is in Dovecot's index only.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/file_name.h"
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

/* --- courierimapkeywords -------------------------------------------------- */

/* "BASENAME:i j k"; the base name may have colons itself. */
static void
parse_set(struct foreign_keywords_reader *r, struct slice line)
{
	struct foreign_keywords *k = &r->k;
	size_t colon = slice_rfind(line, ':');
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct slice rest = slice_skip(line, colon + 1), word;

	if (colon == line.n ||
	    !foreign_base(slice_first(line, colon), &set.base))
		return;
	while (slice_split(&rest, ' ', &word)) {
		uint32_t i;

		if (num_u32(word, &i) && i < r->n_map)
			foreign_keyword_member(k, r->map[i]);
	}
	set.n = k->n_indexes - set.at;
	foreign_keywords_add(k, &set);
}

/* The names, up to an empty line. */
static void
parse_names(struct foreign_keywords_reader *r)
{
	struct slice line;

	while (foreign_line(&r->file.rest, &line) && line.n != 0) {
		if (r->n_map == FOREIGN_KEYWORDS_MAX)
			break;
		if (r->n_map == r->cap_map) {
			r->cap_map = r->cap_map * 2 + 32;
			r->map =
			    mem_realloc(r->map, r->cap_map, sizeof(*r->map));
		}
		/* Each line has a number, but one name may stand twice. */
		if (!foreign_keyword_add(&r->k, line, &r->map[r->n_map]))
			break;
		r->n_map++;
	}
}

void
courier_keywords_parse(struct slice bytes, struct foreign_keywords *out)
{
	struct foreign_keywords_reader r = { .k = *out };
	struct slice line;

	foreign_file_of(&r.file, bytes);
	parse_names(&r);
	while (foreign_line(&r.file.rest, &line))
		parse_set(&r, line);
	free(r.map);
	*out = r.k;
}

/* An update that waits, or that was merged of late. */
struct foreign_update {
	char *name; /* of the file */
	struct slice base;
	uint64_t period; /* of ".N.BASENAME"; UINT64_MAX: it waits */
	int64_t mtime_ns;
	uint64_t ino;
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

/* Take names from the directory; MORE: there may be more. */
static enum foreign_step
list_updates(struct dir_reader *r, struct foreign_file *f,
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

static void
free_updates(struct foreign_updates *u)
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
 * wait, in case that changes.
 */
static size_t
read_update(int fd, struct foreign_file *f, struct foreign_keywords *k,
    const struct foreign_update *one)
{
	struct buf bytes;
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
	n = buf_len(&bytes);
	buf_fini(&bytes);
	return n;
}

/* Of each message the newest update counts. */
static enum foreign_step
read_updates(int fd, struct foreign_file *f, struct foreign_updates *u,
    struct foreign_keywords *k, int *work)
{
	for (; u->at < u->n && u->bytes < UPDATES_BYTES; u->at++) {
		size_t i = u->at;

		if (*work <= 0)
			return FOREIGN_MORE;
		if (i + 1 < u->n && slice_eq(u->v[i].base, u->v[i + 1].base))
			continue;
		u->bytes += read_update(fd, f, k, &u->v[i]);
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

/* Open the directory of keywords; -1 with errno. */
static int
open_keywords(int root_fd, const char *dir, struct dir_reader *r)
{
	struct buf path;
	int rc;

	buf_init(&path, 2048);
	put_keywords(&path, dir);
	rc = dir_reader_open(r, root_fd, buf_cstr(&path));
	buf_fini(&path);
	return rc;
}

/* Whether the file of a name is the one of the update: 1, 0, or -1. */
static int
is_file_of(int fd, const char *name, const struct foreign_keyword_set *s)
{
	struct stat st;

	if (fsx_stat(fd, name, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	return st.st_ino == s->ino && mtime_of(&st) == s->mtime_ns;
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

void
courier_keywords_merged(
    int root_fd, const char *dir, int64_t wall_s, struct foreign_keywords *k)
{
	struct dir_reader r;
	struct buf from, to;
	bool ok = true;

	if (open_keywords(root_fd, dir, &r) < 0)
		return;
	buf_init(&from, 1024);
	buf_init(&to, 1024);
	for (size_t i = 0; i < k->n && ok; i++) {
		if (k->v[i].state != UPDATE_TAKEN)
			continue;
		buf_reset(&from);
		buf_reset(&to);
		buf_put(&from, k->v[i].base);
		buf_putf(&to, ".%lld.", (long long)(wall_s / PERIOD_S + 1));
		buf_put(&to, k->v[i].base);
		ok = rename_update(dir_reader_fd(&r), &k->v[i], buf_cstr(&from),
		    buf_cstr(&to));
		if (ok)
			k->v[i].state = UPDATE_RENAMED;
	}
	buf_fini(&from);
	buf_fini(&to);
	dir_reader_close(&r);
}

void
courier_keywords_tidy(int root_fd, const char *dir, int64_t wall_s)
{
	struct dir_reader r;
	struct foreign_updates u = { 0 };
	struct foreign_file f = { .fd = -1 };
	int work = INT_MAX;

	if (open_keywords(root_fd, dir, &r) < 0)
		return;
	/* what can't be looked at stays */
	(void)!list_updates(&r, &f, &u, &work);
	for (size_t i = 0; i < u.n; i++) {
		if (u.v[i].period != UINT64_MAX ||
		    u.v[i].mtime_ns / 1000000000 + FOREIGN_PENDING_S < wall_s)
			(void)!fsx_unlink(dir_reader_fd(&r), u.v[i].name);
	}
	free_updates(&u);
	dir_reader_close(&r);
}

/* --- dovecot-keywords ----------------------------------------------------- */

void
dovecot_keywords_parse(
    struct slice bytes, struct slice names[DOVECOT_LETTERS], bool *too_many)
{
	struct slice line, word;
	uint32_t i;

	for (i = 0; i < DOVECOT_LETTERS; i++)
		names[i] = slice_of(NULL, 0);
	*too_many = false;
	while (foreign_line(&bytes, &line)) {
		if (!slice_split(&line, ' ', &word) || !num_u32(word, &i) ||
		    line.n == 0 || line.n > FOREIGN_KEYWORD_BYTES)
			continue;
		if (i < DOVECOT_LETTERS)
			names[i] = line;
		else
			*too_many = true;
	}
	/* Dovecot 2.3 doesn't list those without a letter. */
	for (i = 0; i < DOVECOT_LETTERS && names[i].n != 0; i++)
		;
	*too_many = *too_many || i == DOVECOT_LETTERS;
}

static void
read_letters(struct foreign_keywords *k, struct slice name,
    const uint16_t letters[DOVECOT_LETTERS])
{
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct file_name f;

	file_name_parse(name, false, &f);
	if (!foreign_base(f.base, &set.base))
		return;
	for (unsigned i = 0; i < DOVECOT_LETTERS; i++)
		if (f.place & place_letter((uint8_t)('a' + i)) &&
		    letters[i] != UINT16_MAX)
			foreign_keyword_member(k, letters[i]);
	set.n = k->n_indexes - set.at;
	if (set.n == 0)
		return;
	set.base = arena_dup(&k->arena, set.base);
	foreign_keywords_add(k, &set);
}

static void
name_letters(struct foreign_keywords_reader *r)
{
	struct slice names[DOVECOT_LETTERS];

	dovecot_keywords_parse(r->file.rest, names, &r->k.too_many);
	for (unsigned i = 0; i < DOVECOT_LETTERS; i++)
		if (names[i].n == 0 ||
		    !foreign_keyword_name(&r->k, names[i], &r->letters[i]))
			r->letters[i] = UINT16_MAX;
}

/* --- reading -------------------------------------------------------------- */

enum {
	READ_LIST, /* ":list" or dovecot-keywords */
	TAKE_LIST,
	LIST_NAMES, /* of the directory: updates, or messages */
	READ_UPDATES,
	ALL_READ,
};

static bool
open_dovecot(struct foreign_keywords_reader *r, int root_fd, const char *dir)
{
	struct buf path;

	if (!foreign_file_open(&r->file, root_fd, dir, "dovecot-keywords",
		FOREIGN_KEYWORD_FILE_BYTES))
		return false;
	buf_init(&path, 2048);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/cur" : "cur");
	if (dir_reader_open(&r->dir, root_fd, buf_cstr(&path)) < 0) {
		foreign_file_note(&r->file, errno);
		r->dir.d = NULL;
	}
	buf_fini(&path);
	return r->file.error == 0;
}

bool
foreign_keywords_open(struct foreign_keywords_reader *r, int root_fd,
    const char *dir, bool dovecot)
{
	*r = (struct foreign_keywords_reader){ .dovecot = dovecot,
		.file.fd = -1 };
	foreign_keywords_init(&r->k);
	if (dovecot)
		return open_dovecot(r, root_fd, dir);
	if (open_keywords(root_fd, dir, &r->dir) < 0) {
		foreign_file_note(&r->file, errno);
		return false;
	}
	/* The list first: an update that is merged meanwhile is still there
	 * under its other name. */
	if (!foreign_file_open(&r->file, dir_reader_fd(&r->dir), "", ":list",
		FOREIGN_KEYWORD_FILE_BYTES))
		r->phase = LIST_NAMES;
	return r->file.error == 0;
}

static enum foreign_step
read_list(struct foreign_keywords_reader *r, int *work)
{
	enum foreign_step step = foreign_file_step(&r->file, work);

	if (step == FOREIGN_MORE ||
	    (step == FOREIGN_NONE && (r->dovecot || r->file.error != 0)))
		return step;
	r->phase = r->dovecot || step == FOREIGN_NONE ? LIST_NAMES : TAKE_LIST;
	if (r->dovecot)
		name_letters(r);
	else if (step == FOREIGN_DONE)
		parse_names(r);
	return FOREIGN_DONE;
}

/* False: there may be more. */
static bool
take_list(struct foreign_keywords_reader *r, int *work)
{
	struct slice line;

	while (foreign_file_line(&r->file, work, &line))
		parse_set(r, line);
	return *work > 0;
}

static enum foreign_step
list_messages(struct foreign_keywords_reader *r, int *work)
{
	struct slice name;

	while (r->dir.d != NULL) {
		if (*work <= 0)
			return FOREIGN_MORE;
		(*work)--;
		if (!dir_reader_next(&r->dir, &name))
			break;
		read_letters(&r->k, name, r->letters);
	}
	if (r->dir.failed)
		foreign_file_note(&r->file, EIO);
	return r->file.error != 0 ? FOREIGN_NONE : FOREIGN_DONE;
}

enum foreign_step
foreign_keywords_step(struct foreign_keywords_reader *r, int *work)
{
	enum foreign_step step;

	if (r->phase == READ_LIST &&
	    (step = read_list(r, work)) != FOREIGN_DONE)
		return step;
	if (r->phase == TAKE_LIST) {
		if (!take_list(r, work))
			return FOREIGN_MORE;
		r->phase = LIST_NAMES;
	}
	if (r->phase == LIST_NAMES) {
		step = r->dovecot
		    ? list_messages(r, work)
		    : list_updates(&r->dir, &r->file, &r->updates, work);
		if (step != FOREIGN_DONE)
			return step;
		r->phase = READ_UPDATES;
	}
	if (r->phase == READ_UPDATES) {
		step =
		    read_updates(r->dir.d != NULL ? dir_reader_fd(&r->dir) : -1,
			&r->file, &r->updates, &r->k, work);
		if (step != FOREIGN_DONE)
			return step;
		r->phase = ALL_READ;
	}
	return FOREIGN_DONE;
}

void
foreign_keywords_close(struct foreign_keywords_reader *r)
{
	if (r->dir.d != NULL)
		dir_reader_close(&r->dir);
	r->dir.d = NULL;
	foreign_file_close(&r->file);
	free_updates(&r->updates);
	free(r->map);
	r->map = NULL;
	foreign_keywords_fini(&r->k);
}

static int
order_sets(const void *a, const void *b)
{
	const struct foreign_keyword_set *x = a, *y = b;

	return slice_cmp(x->base, y->base);
}

int
courier_keywords_read(
    int root_fd, const char *dir, struct foreign_keywords *out, struct err *e)
{
	struct foreign_keywords_reader r;
	int work = INT_MAX, rc;
	bool ok = foreign_keywords_open(&r, root_fd, dir, false) &&
	    foreign_keywords_step(&r, &work) == FOREIGN_DONE;

	if (ok) {
		*out = r.k;
		out->bytes = r.file.bytes;
		r.k = (struct foreign_keywords){ 0 };
		buf_init(&r.file.bytes, 0);
		name_table_fini(&out->sets); /* they move */
		if (out->n != 0)
			qsort(out->v, out->n, sizeof(*out->v), order_sets);
	}
	rc = ok ? 1 : foreign_file_failed(&r.file, e);
	foreign_keywords_close(&r);
	return rc;
}
