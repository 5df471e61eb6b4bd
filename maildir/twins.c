#include "maildir/twins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/scan.h"

enum {
	READ_SLICE = 2000, /* names in a piece */
	READINGS_MAX = 3,  /* if names come and go all the time */
	ROUNDS_MAX = 5,
};

struct twin {
	struct slice base; /* of the copy */
	uint32_t uid;
	bool again;
	char *copy;
};

struct twin_file {
	char *name;
	uint32_t uid;
	int which;
	bool removed;
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
	t->v[t->n++] = (struct twin){
		.base = slice_of(copy, base.n), .uid = uid, .copy = copy
	};
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

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return x->which != y->which ? x->which - y->which
				    : strcmp(x->name, y->name);
}

/* Put them in order, each once, whatever reading showed it. */
static void
tidy_files(struct twins *t)
{
	size_t kept = 0;

	if (t->n_files == 0)
		return;
	qsort(t->files, t->n_files, sizeof(*t->files), order_files);
	for (size_t i = 0; i < t->n_files; i++)
		if (kept != 0 &&
		    order_files(&t->files[kept - 1], &t->files[i]) == 0)
			free(t->files[i].name);
		else
			t->files[kept++] = t->files[i];
	t->n_files = kept;
}

static void
on_name(struct twins *t, struct slice name)
{
	struct twin *found;
	struct file_name f;

	file_name_parse(name, t->which == DIR_NEW, &f);
	found = bsearch(&(struct twin){ .base = f.base }, t->v, t->n,
	    sizeof(*t->v), order_bases);
	if (found == NULL)
		return;
	if (t->n_files == t->cap_files) {
		t->cap_files = t->cap_files * 2 + 16;
		t->files =
		    mem_realloc(t->files, t->cap_files, sizeof(*t->files));
	}
	t->files[t->n_files++] = (struct twin_file){
		.name = slice_dup(name), .uid = found->uid, .which = t->which
	};
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

	if (t->which == DIR_NEW && !t->reading) {
		qsort(t->v, t->n, sizeof(*t->v), order_bases);
		scan_note_still(m, store_wall(m->account->store), t->mtime_ns);
	}
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
	t->which = DIR_NEW;
	if (++t->readings < READINGS_MAX && !scan_is_still(m, t->mtime_ns))
		return ERR_MORE;
	tidy_files(t);
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

static void
note_renamed(struct twins *t, uint32_t uid)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].uid != uid || t->v[i].again)
			continue;
		t->v[i].again = true;
		t->n_again++;
	}
}

int
twins_unlink(struct twins *t, struct mailbox *m, uint32_t uid, int which,
    const char *but, size_t *n)
{
	bool renamed = false;

	*n = 0;
	for (size_t i = first_of(t, uid);
	     i < t->n_files && t->files[i].uid == uid; i++) {
		struct twin_file *f = &t->files[i];
		int fd = mailbox_dir_fd(m, f->which);

		if (f->removed ||
		    (f->which == which && strcmp(f->name, but) == 0))
			continue;
		if (fd >= 0 && fsx_unlink(fd, f->name) == 0) {
			watch_own(
			    &m->dirs[f->which], slice_str(f->name), false);
			++*n;
			f->removed = true;
		} else if (fd < 0 || errno != ENOENT) {
			return -1;
		} else {
			renamed = true;
		}
	}
	if (renamed)
		note_renamed(t, uid);
	return renamed;
}

static void
drop_files(struct twins *t)
{
	for (size_t i = 0; i < t->n_files; i++)
		free(t->files[i].name);
	t->n_files = 0;
}

bool
twins_again(struct twins *t)
{
	size_t kept = 0;

	if (t->n_again == 0 || ++t->rounds == ROUNDS_MAX)
		return false;
	for (size_t i = 0; i < t->n; i++) {
		if (!t->v[i].again) {
			free(t->v[i].copy);
			continue;
		}
		t->v[i].again = false;
		t->v[kept++] = t->v[i];
	}
	t->n = kept;
	t->n_again = 0;
	drop_files(t);
	t->readings = 0;
	t->found = false;
	return true;
}

void
twins_fini(struct twins *t)
{
	if (t->reading)
		dir_reader_close(&t->r);
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].copy);
	drop_files(t);
	free(t->v);
	free(t->files);
	*t = (struct twins){ 0 };
}
