/*
 * What the parsers of Courier's and of Dovecot's files have in common.
 */
#include "maildir/foreign.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/file_name.h"
#include "maildir/foreign_impl.h"

enum { READ_BYTES = 65536, BASE_MAX = 255 };

bool
foreign_file_read(
    int root_fd, const char *dir, const char *name, struct buf *out)
{
	struct buf path;
	struct stat st;
	ssize_t n = 0;
	int fd;

	buf_init(&path, 2048);
	buf_puts(&path, dir);
	if (dir[0] != '\0')
		buf_putc(&path, '/');
	buf_puts(&path, name);
	fd = buf_ok(&path) ? fsx_open_read(root_fd, buf_cstr(&path), &st) : -1;
	buf_fini(&path);
	if (fd < 0)
		return false;
	for (off_t at = 0;; at += n) {
		uint8_t *to = buf_reserve(out, READ_BYTES);

		if (to == NULL) /* too large */
			break;
		n = fsx_pread(fd, to, READ_BYTES, at);
		if (n <= 0)
			break;
		buf_advance(out, (size_t)n);
	}
	(void)close(fd);
	return n == 0 && buf_ok(out);
}

bool
foreign_line(struct slice *rest, struct slice *line)
{
	size_t n = slice_find(*rest, '\n');

	if (n == rest->n)
		return false;
	*line = slice_first(*rest, n);
	*rest = slice_skip(*rest, n + 1);
	return true;
}

bool
foreign_base(struct slice name, struct slice *base)
{
	struct file_name f;

	file_name_parse(name, false, &f);
	/* It becomes part of a path. */
	if (f.base.n == 0 || f.base.n > BASE_MAX || f.base.p[0] == '.' ||
	    slice_has(f.base, '/') || slice_has(f.base, '\0'))
		return false;
	*base = f.base;
	return true;
}

/* --- UIDs ----------------------------------------------------------------- */

void
foreign_uids_add(
    struct foreign_uids *u, size_t *cap, const struct foreign_uid *one)
{
	if (u->n == *cap) {
		*cap = *cap * 2 + 64;
		u->v = mem_realloc(u->v, *cap, sizeof(*u->v));
	}
	u->v[u->n++] = *one;
}

/* By name, the largest UID first. */
static int
order_bases(const void *a, const void *b)
{
	const struct foreign_uid *const *x = a, *const *y = b;
	int rc = slice_cmp((*x)->base, (*y)->base);

	return rc != 0		    ? rc
	    : (*x)->uid > (*y)->uid ? -1
				    : (*x)->uid < (*y)->uid;
}

void
foreign_uids_finish(struct foreign_uids *u)
{
	struct foreign_uid **by_base = mem_alloc((u->n + 1) * sizeof(*by_base));
	size_t n = 0;

	for (size_t i = 0; i < u->n; i++)
		by_base[i] = &u->v[i];
	if (u->n != 0)
		qsort(by_base, u->n, sizeof(*by_base), order_bases);
	/* A file that has two UIDs got the later one. */
	for (size_t i = 1; i < u->n; i++)
		if (slice_eq(by_base[i]->base, by_base[i - 1]->base))
			by_base[i]->uid = 0;
	free(by_base);
	for (size_t i = 0; i < u->n; i++)
		if (u->v[i].uid != 0)
			u->v[n++] = u->v[i];
	u->n = n;
}

void
foreign_uids_fini(struct foreign_uids *u)
{
	free(u->v);
	buf_fini(&u->bytes);
	*u = (struct foreign_uids){ 0 };
}

/* --- keywords ------------------------------------------------------------- */

bool
foreign_keyword_name(
    struct foreign_keywords *k, struct slice name, uint16_t *index)
{
	if (name.n == 0 || name.n > FOREIGN_KEYWORD_BYTES)
		return false;
	for (size_t i = 0; i < k->n_names; i++)
		if (slice_ieq(k->names[i], name)) {
			*index = (uint16_t)i;
			return true;
		}
	if (k->n_names >= FOREIGN_KEYWORDS_MAX)
		return false;
	return foreign_keyword_add(k, arena_dup(&k->arena, name), index);
}

bool
foreign_keyword_add(
    struct foreign_keywords *k, struct slice name, uint16_t *index)
{
	if (k->n_names >= FOREIGN_KEYWORDS_MAX)
		return false;
	if (k->n_names == k->cap_names) {
		k->cap_names = k->cap_names * 2 + 32;
		k->names =
		    mem_realloc(k->names, k->cap_names, sizeof(*k->names));
	}
	*index = (uint16_t)k->n_names;
	k->names[k->n_names++] = name;
	return true;
}

void
foreign_keyword_member(struct foreign_keywords *k, uint16_t index)
{
	if (k->n_indexes == k->cap_indexes) {
		k->cap_indexes = k->cap_indexes * 2 + 64;
		k->indexes = mem_realloc(
		    k->indexes, k->cap_indexes, sizeof(*k->indexes));
	}
	k->indexes[k->n_indexes++] = index;
}

void
foreign_keywords_add(
    struct foreign_keywords *k, const struct foreign_keyword_set *s)
{
	if (k->n == k->cap) {
		k->cap = k->cap * 2 + 64;
		k->v = mem_realloc(k->v, k->cap, sizeof(*k->v));
	}
	k->v[k->n++] = *s;
}

static int
order_sets(const void *a, const void *b)
{
	const struct foreign_keyword_set *x = a, *y = b;
	int rc = slice_cmp(x->base, y->base);

	return rc != 0 ? rc : x->at < y->at ? -1 : x->at > y->at;
}

void
foreign_keywords_finish(struct foreign_keywords *k)
{
	size_t n = 0;

	if (k->n != 0)
		qsort(k->v, k->n, sizeof(*k->v), order_sets);
	for (size_t i = 0; i < k->n; i++) {
		if (n != 0 && slice_eq(k->v[n - 1].base, k->v[i].base))
			n--;
		k->v[n++] = k->v[i];
	}
	k->n = n;
}

void
foreign_keywords_init(struct foreign_keywords *k)
{
	*k = (struct foreign_keywords){ 0 };
	buf_init(&k->bytes, FOREIGN_KEYWORD_FILE_BYTES);
	arena_init(&k->arena, 0);
}

void
foreign_keywords_keep_pending(struct foreign_keywords *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++)
		if (k->v[i].mtime_s != 0)
			k->v[n++] = k->v[i];
	k->n = n;
}

void
foreign_keywords_fini(struct foreign_keywords *k)
{
	free(k->names);
	free(k->indexes);
	free(k->v);
	buf_fini(&k->bytes);
	arena_fini(&k->arena);
	*k = (struct foreign_keywords){ 0 };
}
