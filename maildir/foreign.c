/*
 * What the parsers of Courier's and of Dovecot's files have in common.
 */
#include "maildir/foreign.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/file_name.h"
#include "maildir/foreign_impl.h"

enum { READ_BYTES = 65536, READ_WORK = 64, BASE_MAX = 255 };

bool
foreign_is_absence(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ELOOP ||
	    error == ENAMETOOLONG || error == EISDIR || error == ENXIO ||
	    error == EINVAL;
}

void
foreign_file_note(struct foreign_file *f, int error)
{
	if (!foreign_is_absence(error))
		f->error = error;
}

bool
foreign_file_open(struct foreign_file *f, int root_fd, const char *dir,
    const char *name, size_t max)
{
	struct buf path;
	struct stat st;

	*f = (struct foreign_file){ .fd = -1 };
	buf_init(&path, 2048);
	buf_puts(&path, dir);
	if (dir[0] != '\0')
		buf_putc(&path, '/');
	buf_puts(&path, name);
	if (buf_ok(&path))
		f->fd = fsx_open_read(root_fd, buf_cstr(&path), &st);
	if (f->fd < 0 && buf_ok(&path))
		foreign_file_note(f, errno);
	buf_fini(&path);
	buf_init(&f->bytes, max);
	return f->fd >= 0;
}

int
foreign_file_failed(const struct foreign_file *f, struct err *e)
{
	if (f->error == 0)
		return 0;
	errno = f->error;
	return err_sys(e, "open or read another server's list");
}

void
foreign_file_of(struct foreign_file *f, struct slice bytes)
{
	*f = (struct foreign_file){ .fd = -1, .rest = bytes };
	buf_init(&f->bytes, 0);
}

enum foreign_step
foreign_file_step(struct foreign_file *f, int *work)
{
	while (f->fd >= 0) {
		uint8_t *to = buf_reserve(&f->bytes, READ_BYTES);
		ssize_t n = to != NULL ? fsx_pread(f->fd, to, READ_BYTES,
					     (off_t)buf_len(&f->bytes))
				       : -1; /* too large */

		if (n <= 0) {
			if (n < 0 && to != NULL)
				f->error = errno;
			(void)close(f->fd);
			f->fd = -1;
			f->rest = buf_slice(&f->bytes);
			if (n < 0 || !buf_ok(&f->bytes))
				return FOREIGN_NONE;
			break;
		}
		buf_advance(&f->bytes, (size_t)n);
		*work -= READ_WORK;
		if (*work <= 0)
			return FOREIGN_MORE;
	}
	return FOREIGN_DONE;
}

bool
foreign_file_line(struct foreign_file *f, int *work, struct slice *line)
{
	if (*work <= 0 || !foreign_line(&f->rest, line))
		return false;
	(*work)--;
	return true;
}

void
foreign_file_close(struct foreign_file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	buf_fini(&f->bytes);
	f->fd = -1;
}

int
foreign_file_read(
    int root_fd, const char *dir, const char *name, struct buf *out)
{
	struct foreign_file f;
	enum foreign_step step = FOREIGN_MORE;

	if (!foreign_file_open(&f, root_fd, dir, name, out->max))
		step = FOREIGN_NONE;
	while (step == FOREIGN_MORE) {
		int work = READ_WORK;

		step = foreign_file_step(&f, &work);
	}
	buf_put(out, buf_slice(&f.bytes));
	foreign_file_close(&f);
	if (f.error != 0) {
		errno = f.error;
		return -1;
	}
	return step == FOREIGN_DONE && buf_ok(out);
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
foreign_u32(struct slice *rest, uint32_t *v)
{
	struct slice word;

	return slice_split(rest, ' ', &word) && num_u32(word, v);
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

static struct slice
set_name(const void *array, size_t i)
{
	return ((const struct foreign_keyword_set *)array)[i].base;
}

void
foreign_keywords_add(
    struct foreign_keywords *k, const struct foreign_keyword_set *s)
{
	size_t i = name_table_find(&k->sets, s->base, set_name, k->v);

	if (i != SIZE_MAX) {
		k->v[i] = *s;
		return;
	}
	if (k->n == k->cap) {
		k->cap = k->cap * 2 + 64;
		k->v = mem_realloc(k->v, k->cap, sizeof(*k->v));
	}
	name_table_add(&k->sets, s->base, k->n);
	k->v[k->n++] = *s;
}

struct foreign_keyword_set *
foreign_keywords_find(const struct foreign_keywords *k, struct slice base)
{
	size_t i = name_table_find(&k->sets, base, set_name, k->v);

	return i != SIZE_MAX ? &k->v[i] : NULL;
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

	name_table_fini(&k->sets);
	for (size_t i = 0; i < k->n; i++)
		if (k->v[i].state != UPDATE_NONE) {
			name_table_add(&k->sets, k->v[i].base, n);
			k->v[n++] = k->v[i];
		}
	k->n = n;
}

void
foreign_keywords_fini(struct foreign_keywords *k)
{
	free(k->names);
	free(k->indexes);
	free(k->v);
	name_table_fini(&k->sets);
	buf_fini(&k->bytes);
	arena_fini(&k->arena);
	*k = (struct foreign_keywords){ 0 };
}
