#include "maildir/twins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/scan.h"

enum { READ_SLICE = 2000 }; /* names in a piece */

struct twin {
	struct slice base; /* of the copy */
	uint32_t uid;
	char *copy;
};

struct twin_file {
	char *name;
	uint32_t uid;
	int which;
};

bool
twins_known(const struct mailbox *m, uint32_t uid)
{
	return scan_has_uid(m->twins, m->n_twins, uid);
}

void
twins_add(struct twins *t, uint32_t uid, struct slice base)
{
	char *copy;

	assert(!t->found && !t->reading);
	if (t->n == t->cap) {
		t->cap = t->cap * 2 + 16;
		t->v = mem_realloc(t->v, t->cap, sizeof(*t->v));
	}
	copy = slice_dup(base);
	t->v[t->n++] = (struct twin){ slice_of(copy, base.n), uid, copy };
}

uint32_t *
twins_uids(const struct twins *t)
{
	uint32_t *uids = mem_alloc((t->n + 1) * sizeof(*uids));

	for (size_t i = 0; i < t->n; i++)
		uids[i] = t->v[i].uid;
	return uids;
}

/* --- looking for them ----------------------------------------------------- */

static int
order_bases(const void *a, const void *b)
{
	const struct twin *x = a, *y = b;

	return slice_cmp(x->base, y->base);
}

static int
order_files(const void *a, const void *b)
{
	const struct twin_file *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static void
on_name(struct twins *t, struct slice name)
{
	struct twin *found;
	struct file_name f;

	file_name_parse(name, t->which == DIR_NEW, &f);
	found = bsearch(&(struct twin){ f.base, 0, NULL }, t->v, t->n,
	    sizeof(*t->v), order_bases);
	if (found == NULL)
		return;
	if (t->n_files == t->cap_files) {
		t->cap_files = t->cap_files * 2 + 16;
		t->files =
		    mem_realloc(t->files, t->cap_files, sizeof(*t->files));
	}
	t->files[t->n_files++] =
	    (struct twin_file){ slice_dup(name), found->uid, t->which };
}

static int
begin_dir(struct twins *t, struct mailbox *m)
{
	int fd = mailbox_dir_fd(m, t->which);

	if (fd < 0 || dir_reader_open(&t->r, fd, ".") < 0)
		return err_of_errno(errno);
	t->reading = true;
	return 0;
}

/* new/ before cur/, since that is the way messages go. */
int
twins_find(struct twins *t, struct mailbox *m)
{
	struct slice name;
	int rc = 0, n = 0;

	if (t->which == DIR_NEW && !t->reading)
		qsort(t->v, t->n, sizeof(*t->v), order_bases);
	if (!t->reading && (rc = begin_dir(t, m)) != 0)
		return rc;
	while (n++ < READ_SLICE && dir_reader_next(&t->r, &name))
		on_name(t, name);
	if (n > READ_SLICE)
		return ERR_MORE;
	t->reading = false;
	dir_reader_close(&t->r);
	if (t->r.failed)
		return ERR_SYS;
	if (++t->which <= DIR_CUR)
		return ERR_MORE;
	if (t->n_files != 0)
		qsort(t->files, t->n_files, sizeof(*t->files), order_files);
	t->found = true;
	return 0;
}

/* --- removing them -------------------------------------------------------- */

/* The first file of a message, or of one behind it. */
static size_t
first_of(const struct twins *t, uint32_t uid)
{
	size_t low = 0, high = t->n_files;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->files[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int
twins_unlink(const struct twins *t, struct mailbox *m, uint32_t uid, int which,
    const char *but, size_t *n)
{
	*n = 0;
	for (size_t i = first_of(t, uid);
	     i < t->n_files && t->files[i].uid == uid; i++) {
		const struct twin_file *f = &t->files[i];
		int fd = mailbox_dir_fd(m, f->which);

		if (f->which == which && strcmp(f->name, but) == 0)
			continue;
		if (fd >= 0 && fsx_unlink(fd, f->name) == 0) {
			watch_own(
			    &m->dirs[f->which], slice_str(f->name), false);
			++*n;
		} else if (fd < 0 || errno != ENOENT) {
			return -1;
		}
	}
	return 0;
}

void
twins_fini(struct twins *t)
{
	if (t->reading)
		dir_reader_close(&t->r);
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].copy);
	for (size_t i = 0; i < t->n_files; i++)
		free(t->files[i].name);
	free(t->v);
	free(t->files);
	*t = (struct twins){ 0 };
}
