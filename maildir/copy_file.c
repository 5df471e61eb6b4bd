/*
 * Which files must be synced before a copy can be promised?
 *
 * A link shares the source's bytes, so the question is whether those have
 * reached the disk.  The kernel writes what is dirty within some 35 s (half a
 * minute, and five seconds until it looks again), and the syncs of the target's
 * directory and of the log, which come after, have the disk empty its cache.
 * So it is a question of when the last byte may have been written: what was
 * written more than a minute ago needs no sync, nor does what was synced here
 * since.  There are these bounds:
 *
 *   ctime   Each write sets it, and no program can set it to anything but now.
 *           But so does each link, rename and chmod: it says "old" rightly, and
 *           "young" of whatever was copied or flagged a moment ago.
 *   the time at which the message came into the index (SAVEDATE)
 *           In a Maildir nothing is written to a file that has its name in new/
 *           or cur/.  That holds for the file that was there then, which
 *           another may have replaced since, or somebody written to:
 *   birth   is that of the inode, and can't be set.  If it is later than
 *           SAVEDATE, that is another file.
 *   mtime   is set by each write, but programs that keep dates set it to what
 *           they like: "old" means nothing by itself, only "later than
 *           SAVEDATE" does.
 *
 * mtime and birth alone would not do: a file that takes long to arrive is born
 * early, written late, and may be given an old mtime at its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/copy_impl.h"

enum {
	YOUNG_MS = 60 * 1000,
	/* how far the clock handed in may be behind that of files */
	GRAIN_MS = 2000,
};

/* --- looking -------------------------------------------------------------- */

static int64_t
ms_of(const struct timespec *t)
{
	return t->tv_sec * INT64_C(1000) + t->tv_nsec / 1000000;
}

static bool
is_young(const struct copy_item *it, struct mailbox *from,
    const struct stat *st, const struct message_info *info, int64_t wall_ms)
{
	int64_t birth, last;

	if (ms_of(&st->st_ctim) <= wall_ms - YOUNG_MS)
		return false;
	if (!info->synced && info->save_ms > wall_ms - YOUNG_MS)
		return true;
	if (mailbox_message_birth(from, it->from, &birth) != 0)
		return true;
	last = ms_of(&st->st_mtim) > birth ? ms_of(&st->st_mtim) : birth;
	return last > info->save_ms + GRAIN_MS;
}

void
copy_item_name(struct copy_item *it, const struct stat *st)
{
	struct buf name;

	buf_init(&name, 1024);
	file_name_final(
	    &name, &it->unique, st->st_dev, st->st_ino, (uint64_t)st->st_size);
	free(it->base);
	it->base = slice_dup(buf_slice(&name));
	buf_fini(&name);
}

int
copy_item_look(struct copy_item *it, struct mailbox *from, struct mailbox *to,
    bool search, int64_t wall_ms)
{
	struct message_info info;
	struct chunk *ch;
	struct stat st;
	uint32_t i;
	int rc;

	if ((rc = mailbox_message_stat(from, it->from, search, &st)) != 0 ||
	    (rc = mailbox_message_info(from, it->from, &info)) != 0 ||
	    (rc = mailbox_find_named(from, it->from, &ch, &i)) != 0)
		return rc;
	it->place = chunk_place(ch, i);
	it->keywords = chunk_message(ch, i)->keywords;
	if (!S_ISREG(st.st_mode))
		return ERR_DENIED;
	it->fixed = (struct fixed){ .internal_ms = info.internal_ms,
		.save_ms = wall_ms,
		.file_size = (uint64_t)st.st_size,
		.wire_size = info.wire_size,
		.email_id = chunk_email_id(ch, i),
		.synced = true };
	it->unique = store_unique(to->account->store, wall_ms);
	it->dev = st.st_dev;
	it->ino = st.st_ino;
	it->young = is_young(it, from, &st, &info, wall_ms);
	copy_item_name(it, &st);
	return 0;
}

/* --- into place ----------------------------------------------------------- */

static int
link_or_rename(struct copy_item *it, struct mailbox *from, int cur, int tmp_fd,
    const char *name, int *error)
{
	if (it->tmp == NULL)
		return mailbox_message_link(from, it->from, cur, name, error);
	if (fsx_rename_new(tmp_fd, it->tmp, cur, name) == 0)
		return 0;
	return err_of_errno(errno);
}

int
copy_item_place(struct copy_item *it, struct mailbox *from, struct mailbox *to,
    int tmp_fd, bool *bytes, bool *all)
{
	int cur = mailbox_dir_fd(to, DIR_CUR), rc, error = 0;
	struct buf file;

	*bytes = *all = false;
	if (cur < 0)
		return err_of_errno(errno);
	buf_init(&file, 1024);
	file_name_put(&file, slice_str(it->base), it->place, slice_of(NULL, 0));
	rc = link_or_rename(it, from, cur, tmp_fd, buf_cstr(&file), &error);
	if (rc == 0) {
		it->committed = slice_dup(buf_slice(&file));
	} else if (rc == ERR_NOT_FOUND && it->tmp == NULL && error == 0) {
		/* else it is the target that isn't there */
		it->gone = true;
		rc = 0;
	} else {
		*all = error == EXDEV || error == EPERM || error == EOPNOTSUPP;
		*bytes = *all || error == EMLINK;
	}
	buf_fini(&file);
	return rc;
}

/* --- the ends ------------------------------------------------------------- */

void
copy_item_undo(struct copy_item *it, struct mailbox *to, int tmp_fd)
{
	int cur = mailbox_dir_fd(to, DIR_CUR), rc = 0;

	if (it->committed != NULL)
		rc = cur < 0 ? -1 : fsx_unlink(cur, it->committed);
	else if (it->tmp != NULL)
		rc = fsx_unlink(tmp_fd, it->tmp);
	if (rc < 0 && errno != ENOENT)
		scan_distrust(to);
	free(it->committed);
	free(it->tmp);
	it->committed = it->tmp = NULL;
}

void
copy_item_fini(struct copy_item *it)
{
	free(it->tmp);
	free(it->base);
	free(it->committed);
}

/* --- what to sync --------------------------------------------------------- */

struct inode {
	uint64_t dev, ino;
	size_t at;
};

static int
order_inodes(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

size_t *
copy_items_young(const struct copy_item *v, size_t n_items, size_t *n)
{
	struct inode *inodes = mem_alloc((n_items + 1) * sizeof(*inodes));
	size_t *at = mem_alloc((n_items + 1) * sizeof(*at)), n_young = 0;

	for (size_t i = 0; i < n_items; i++)
		if (v[i].young && !v[i].gone)
			inodes[n_young++] =
			    (struct inode){ v[i].dev, v[i].ino, i };
	if (n_young != 0)
		qsort(inodes, n_young, sizeof(*inodes), order_inodes);
	*n = 0;
	for (size_t i = 0; i < n_young; i++)
		if (i == 0 || order_inodes(&inodes[i - 1], &inodes[i]) != 0)
			at[(*n)++] = inodes[i].at;
	free(inodes);
	return at;
}
