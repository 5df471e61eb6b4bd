/*
 * Courier's files.
 *
 * courierimapuiddb: "1 UIDVALIDITY UIDNEXT\n", then "UID BASENAME\n" with
 * ascending UIDs.
 *
 * courierimapkeywords/: ":list" has the names of keywords, a line each; an
 * empty line; then "BASENAME:i j k" with indexes into the names.  A file
 * BASENAME is the whole new set of that message, a keyword a line, not yet
 * merged; ".N.BASENAME" is one that was, N being unix time / 300 + 1 of then,
 * kept for those who read an older list.
 *
 * courierpop3dsizelist: a header from version 1 on, "/V NEXT[ UIDVALIDITY]",
 * then a line for each message: "FILENAME SIZE[ n[:uidvalidity[:utf8]]]".
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/dir.h"
#include "maildir/foreign_impl.h"

#define KEYWORD_DIR "courierimapkeywords"

enum {
	PERIOD_S = 300,
	UPDATE_BYTES = 64 * 1024,
	UPDATES_BYTES = 16 * 1024 * 1024,
	UPDATES_MAX = 100000,
};

/* --- courierimapuiddb ----------------------------------------------------- */

static bool
take_u32(struct slice *rest, uint32_t *v)
{
	struct slice word;

	return slice_split(rest, ' ', &word) && num_u32(word, v);
}

bool
courier_uids_parse(struct slice bytes, struct foreign_uids *out)
{
	struct foreign_uids u = { 0 };
	struct slice line;
	size_t cap = 0;
	uint32_t version, last = 0;

	if (!foreign_line(&bytes, &line) || !take_u32(&line, &version) ||
	    version != 1 || !take_u32(&line, &u.uidvalidity) ||
	    !take_u32(&line, &u.uidnext) || u.uidvalidity == 0 ||
	    u.uidnext == 0)
		return false;
	while (foreign_line(&bytes, &line)) {
		struct foreign_uid one = { 0 };

		if (!take_u32(&line, &one.uid) || one.uid <= last ||
		    one.uid >= u.uidnext || !foreign_base(line, &one.base))
			continue;
		last = one.uid;
		foreign_uids_add(&u, &cap, &one);
	}
	foreign_uids_finish(&u);
	*out = u;
	return true;
}

bool
courier_uids_read(int root_fd, const char *dir, struct foreign_uids *out)
{
	struct buf bytes;

	buf_init(&bytes, FOREIGN_UIDS_BYTES);
	if (!foreign_file_read(root_fd, dir, "courierimapuiddb", &bytes) ||
	    !courier_uids_parse(buf_slice(&bytes), out)) {
		buf_fini(&bytes);
		return false;
	}
	out->bytes = bytes;
	return true;
}

/* --- courierimapkeywords -------------------------------------------------- */

/* "BASENAME:i j k"; the base name may have colons itself. */
static void
parse_set(struct foreign_keywords *k, struct slice line, const uint16_t *map,
    size_t n_map)
{
	size_t colon = slice_rfind(line, ':');
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct slice rest = slice_skip(line, colon + 1), word;

	if (colon == line.n ||
	    !foreign_base(slice_first(line, colon), &set.base))
		return;
	while (slice_split(&rest, ' ', &word)) {
		uint32_t i;

		if (num_u32(word, &i) && i < n_map)
			foreign_keyword_member(k, map[i]);
	}
	set.n = k->n_indexes - set.at;
	foreign_keywords_add(k, &set);
}

void
courier_keywords_parse(struct slice bytes, struct foreign_keywords *out)
{
	struct slice line;
	uint16_t *map = NULL;
	size_t n = 0, cap = 0;

	while (foreign_line(&bytes, &line) && line.n != 0) {
		if (n == FOREIGN_KEYWORDS_MAX)
			break;
		if (n == cap) {
			cap = cap * 2 + 32;
			map = mem_realloc(map, cap, sizeof(*map));
		}
		/* Each line has a number, but one name may stand twice. */
		if (!foreign_keyword_add(out, line, &map[n]))
			break;
		n++;
	}
	while (foreign_line(&bytes, &line))
		parse_set(out, line, map, n);
	free(map);
}

/* An update that waits, or that was merged of late. */
struct update {
	char *name; /* of the file */
	struct slice base;
	uint64_t period; /* of ".N.BASENAME"; UINT64_MAX: it waits */
	int64_t mtime_s;
};

struct updates {
	struct update *v;
	size_t n, cap;
};

/* Whether the file is an update, and of which message. */
static bool
parse_update(struct slice name, struct update *out)
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
	return foreign_base(rest, &out->base);
}

static int
order_updates(const void *a, const void *b)
{
	const struct update *x = a, *y = b;
	int rc = slice_cmp(x->base, y->base);

	return rc != 0		    ? rc
	    : x->period < y->period ? -1
				    : x->period > y->period;
}

static void
list_updates(struct dir_reader *r, struct updates *u)
{
	struct slice name;
	struct stat st;

	while (u->n < UPDATES_MAX && dir_reader_next(r, &name)) {
		struct update one = { 0 };

		if (!parse_update(name, &one) ||
		    fsx_stat(dir_reader_fd(r), (const char *)name.p, &st) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		one.mtime_s = st.st_mtim.tv_sec;
		one.name = slice_dup(name);
		(void)parse_update(slice_str(one.name), &one);
		if (u->n == u->cap) {
			u->cap = u->cap * 2 + 32;
			u->v = mem_realloc(u->v, u->cap, sizeof(*u->v));
		}
		u->v[u->n++] = one;
	}
	if (u->n != 0)
		qsort(u->v, u->n, sizeof(*u->v), order_updates);
}

/* Take one update's keywords; how many bytes it had. */
static size_t
read_update(int fd, struct foreign_keywords *k, const struct update *one)
{
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct slice rest, line;
	struct buf bytes;
	size_t n = 0;

	buf_init(&bytes, UPDATE_BYTES + 65536);
	if (foreign_file_read(fd, "", one->name, &bytes)) {
		uint16_t i;

		n = buf_len(&bytes);
		set.base = arena_dup(&k->arena, one->base);
		if (one->period == UINT64_MAX)
			set.mtime_s = one->mtime_s;
		rest = buf_slice(&bytes);
		while (slice_split(&rest, '\n', &line))
			if (foreign_keyword_name(k, line, &i))
				foreign_keyword_member(k, i);
		set.n = k->n_indexes - set.at;
		foreign_keywords_add(k, &set);
		k->n_pending += one->period == UINT64_MAX;
	}
	buf_fini(&bytes);
	return n;
}

/* Of each message the newest update counts. */
static void
read_updates(int fd, const struct updates *u, struct foreign_keywords *k)
{
	size_t bytes = 0;

	for (size_t i = 0; i < u->n && bytes < UPDATES_BYTES; i++)
		if (i + 1 == u->n || !slice_eq(u->v[i].base, u->v[i + 1].base))
			bytes += read_update(fd, k, &u->v[i]);
}

/* Open the directory of keywords; false: there is none. */
static bool
open_keywords(int root_fd, const char *dir, struct dir_reader *r)
{
	struct buf path;
	int rc;

	buf_init(&path, 2048);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/" KEYWORD_DIR : KEYWORD_DIR);
	rc = dir_reader_open(r, root_fd, buf_cstr(&path));
	buf_fini(&path);
	return rc == 0;
}

bool
courier_keywords_read(
    int root_fd, const char *dir, struct foreign_keywords *out)
{
	struct dir_reader r;
	struct updates u = { 0 };

	if (!open_keywords(root_fd, dir, &r))
		return false;
	foreign_keywords_init(out);
	/* The list first: an update that is merged meanwhile is still there
	 * under its other name. */
	if (foreign_file_read(dir_reader_fd(&r), "", ":list", &out->bytes))
		courier_keywords_parse(buf_slice(&out->bytes), out);
	list_updates(&r, &u);
	read_updates(dir_reader_fd(&r), &u, out);
	foreign_keywords_finish(out);
	for (size_t i = 0; i < u.n; i++)
		free(u.v[i].name);
	free(u.v);
	dir_reader_close(&r);
	return true;
}

void
courier_keywords_merged(int root_fd, const char *dir, int64_t wall_s,
    const struct foreign_keywords *k)
{
	struct dir_reader r;
	struct buf from, to;
	struct stat st;

	if (!open_keywords(root_fd, dir, &r))
		return;
	buf_init(&from, 1024);
	buf_init(&to, 1024);
	for (size_t i = 0; i < k->n; i++) {
		if (k->v[i].mtime_s == 0)
			continue;
		buf_reset(&from);
		buf_reset(&to);
		buf_put(&from, k->v[i].base);
		buf_putf(&to, ".%lld.", (long long)(wall_s / PERIOD_S + 1));
		buf_put(&to, k->v[i].base);
		/* one that came since is left for the next time */
		if (fsx_stat(dir_reader_fd(&r), buf_cstr(&from), &st) == 0 &&
		    st.st_mtim.tv_sec == k->v[i].mtime_s &&
		    fsx_rename(dir_reader_fd(&r), buf_cstr(&from),
			dir_reader_fd(&r), buf_cstr(&to)) < 0)
			break;
	}
	buf_fini(&from);
	buf_fini(&to);
	dir_reader_close(&r);
}

void
courier_keywords_tidy(int root_fd, const char *dir, int64_t wall_s)
{
	struct dir_reader r;
	struct updates u = { 0 };

	if (!open_keywords(root_fd, dir, &r))
		return;
	list_updates(&r, &u);
	for (size_t i = 0; i < u.n; i++) {
		if (u.v[i].period != UINT64_MAX ||
		    u.v[i].mtime_s + FOREIGN_PENDING_S < wall_s)
			(void)!fsx_unlink(dir_reader_fd(&r), u.v[i].name);
		free(u.v[i].name);
	}
	free(u.v);
	dir_reader_close(&r);
}

/* --- courierpop3dsizelist ------------------------------------------------- */

static bool
parse_header(struct slice line, struct foreign_sizelist *out)
{
	struct slice word;

	if (!slice_split(&line, ' ', &word) || word.n != 2 || word.p[1] < '1' ||
	    word.p[1] > '3' || !take_u32(&line, &out->next))
		return false;
	out->version = (unsigned)(word.p[1] - '0');
	return out->version == 1 || take_u32(&line, &out->uidvalidity);
}

/* Take the last word off a line. */
static bool
take_last(struct slice *line, struct slice *word)
{
	size_t at = slice_rfind(*line, ' ');

	if (at == line->n)
		return false;
	*word = slice_skip(*line, at + 1);
	*line = slice_first(*line, at);
	return true;
}

/* "n[:uidvalidity[:utf8]]" */
static bool
parse_id(struct slice word, unsigned version, struct foreign_pop3 *out)
{
	struct slice part;

	if (!slice_split(&word, ':', &part) || !num_u32(part, &out->n))
		return false;
	if (version > 1 &&
	    (!slice_split(&word, ':', &part) ||
		!num_u32(part, &out->uidvalidity)))
		return false;
	if (version > 2)
		out->utf8 = slice_eq(word, SLICE("0")) ? UTF8_NO
		    : slice_eq(word, SLICE("1"))       ? UTF8_YES
						       : UTF8_UNKNOWN;
	return true;
}

static bool
parse_entry(struct slice line, unsigned version, struct foreign_pop3 *out)
{
	struct slice word;

	*out = (struct foreign_pop3){ 0 };
	if (version > 0 &&
	    (!take_last(&line, &word) || !parse_id(word, version, out)))
		return false;
	if (!take_last(&line, &word) || !num_u64(word, &out->size))
		return false;
	return foreign_base(
	    slice_first(line, slice_find(line, ':')), &out->base);
}

bool
courier_sizelist_parse(struct slice bytes, struct foreign_sizelist *out)
{
	struct foreign_sizelist l = { 0 };
	struct slice line;
	size_t cap = 0;

	if (bytes.n == 0)
		return false;
	if (bytes.p[0] == '/' &&
	    (!foreign_line(&bytes, &line) || !parse_header(line, &l)))
		return false;
	while (foreign_line(&bytes, &line)) {
		struct foreign_pop3 one;

		if (!parse_entry(line, l.version, &one))
			continue;
		if (l.n == cap) {
			cap = cap * 2 + 64;
			l.v = mem_realloc(l.v, cap, sizeof(*l.v));
		}
		l.v[l.n++] = one;
	}
	*out = l;
	return true;
}

bool
courier_sizelist_read(int root_fd, struct foreign_sizelist *out)
{
	struct buf bytes;

	buf_init(&bytes, FOREIGN_SIZELIST_BYTES);
	if (!foreign_file_read(root_fd, "", "courierpop3dsizelist", &bytes) ||
	    !courier_sizelist_parse(buf_slice(&bytes), out)) {
		buf_fini(&bytes);
		return false;
	}
	out->bytes = bytes;
	return true;
}

void
foreign_sizelist_fini(struct foreign_sizelist *s)
{
	free(s->v);
	buf_fini(&s->bytes);
	*s = (struct foreign_sizelist){ 0 };
}

bool
courier_uidl_parse(struct slice uidl, uint32_t *n, uint32_t *uidvalidity)
{
	struct slice rest = slice_skip(uidl, 3), number;
	uint32_t a, b = 0;

	if (!slice_starts(uidl, SLICE("UID")) ||
	    !slice_split(&rest, '-', &number) || !num_u32(number, &a) ||
	    a == 0 || (number.n > 1 && number.p[0] == '0'))
		return false;
	if (rest.p != NULL &&
	    (!num_u32(rest, &b) || b == 0 || rest.p[0] == '0'))
		return false;
	*n = a;
	*uidvalidity = b;
	return true;
}
