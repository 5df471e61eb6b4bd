/*
 * A round of mending, as a sync thread does it: it looks for the files of some
 * rows, and writes what is to take their places; later, when those have their
 * names, it syncs the directories.
 *
 * A file that isn't where it should be is looked for (young_search.c).  A
 * mailbox that has no directory, under any name, gets one, should a message be
 * in its row alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/young_impl.h"

void
young_dir_close(struct young_dir *d)
{
	free(d->path);
	if (d->tmp_fd >= 0)
		(void)close(d->tmp_fd);
	if (d->cur_fd >= 0)
		(void)close(d->cur_fd);
}

void
young_round_free(struct young_round *rd)
{
	for (size_t i = 0; i < rd->n; i++)
		young_row_fini(&rd->row[i]);
	for (size_t i = 0; i < rd->n_dirs; i++)
		young_dir_close(&rd->dir[i]);
	if (rd->root_fd >= 0)
		(void)close(rd->root_fd);
	if (rd->log_fd >= 0)
		(void)close(rd->log_fd);
	free(rd);
}

void
young_round_drop(void *arg)
{
	struct young_round *rd = arg;

	for (size_t i = 0; i < rd->n; i++)
		if (rd->row[i].copied && !rd->names)
			(void)!fsx_unlink(
			    rd->dir[rd->row[i].at].tmp_fd, rd->row[i].copy);
	young_round_free(rd);
}

void
young_dir_open(const struct young_round *rd, struct young_dir *d)
{
	struct slice dir = slice_str(d->path);

	d->rc = 0;
	d->cur_fd = dir_open_sub(rd->root_fd, dir, "cur");
	d->gone = d->cur_fd < 0 &&
	    (errno == ENOENT || errno == ENOTDIR || errno == ELOOP);
	if (d->cur_fd < 0) {
		d->rc = d->gone ? 0 : err_of_errno(errno);
		return;
	}
	d->tmp_fd = dir_open_sub(rd->root_fd, dir, "tmp");
	if (d->tmp_fd < 0 && errno == ENOENT) {
		char *tmp = mem_printf("%s%stmp", d->path, dir.n ? "/" : "");

		if (fsx_mkdir(rd->root_fd, tmp, 0700) == 0)
			d->tmp_fd = fsx_open_dir(rd->root_fd, tmp);
		free(tmp);
	}
	if (d->tmp_fd < 0)
		d->rc = err_of_errno(errno);
}

/* --- a directory that is gone --------------------------------------------- */

/* It is made when it gets its first file (young_row_place()). */
static void
prepare(struct young_round *rd, struct young_dir *d)
{
	d->gone = false;
	d->to_make = true;
	d->tmp_fd = fsx_open_dir(rd->root_fd, "tmp");
	if (d->tmp_fd < 0)
		d->rc = err_of_errno(errno);
}

static int
sync_made(struct young_round *rd, struct young_dir *d)
{
	int fd = fsx_open_dir(rd->root_fd, d->path), rc = 0;

	if (fd < 0 || fsx_fsync(fd) < 0 || fsx_fsync(rd->root_fd) < 0)
		rc = err_of_errno(errno);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* --- the thread ----------------------------------------------------------- */

static void
find(struct young_round *rd, struct young_row *r)
{
	const struct young_dir *d =
	    r->at != ROW_NOWHERE ? &rd->dir[r->at] : NULL;

	if (d != NULL)
		r->rc = d->rc;
	if (r->rc == 0 && !r->rebooted && (rd->log_unsure || rd->log_failed))
		r->rc = ERR_SYS;
	if (r->rc == 0 && d != NULL && !d->gone)
		r->rc = young_row_find(r, d);
	/* nothing is to be done for one of this boot that was removed; but was
	 * it? */
	r->lost = r->rc == 0 && !r->is_there &&
	    (r->rebooted || (r->known && !r->has_tmp));
}

/* The mailbox has gone, but a loss of power may bring it back, and its files
 * may be no more whole than others. */
static int
sync_all(struct young_round *rd)
{
	if (!rd->synced_all && fsx_syncfs(rd->root_fd) < 0)
		return err_of_errno(errno);
	rd->synced_all = true;
	return 0;
}

static void
write_anew(struct young_round *rd, struct young_row *r)
{
	struct young_dir *d = r->at != ROW_NOWHERE ? &rd->dir[r->at] : NULL;

	if (r->rc != 0)
		return;
	if (d != NULL && d->gone && d->rc == 0 && d->path[0] != '\0' &&
	    r->rebooted && r->known)
		prepare(rd, d);
	if (d != NULL && d->rc != 0)
		r->rc = d->rc;
	else if (d != NULL && !d->gone)
		r->rc = young_row_write(r, d, rd->mode);
	else if (!r->rebooted)
		r->rc = sync_all(rd);
}

static void
sync_names(struct young_round *rd)
{
	for (size_t i = 0; i < rd->n_dirs; i++) {
		struct young_dir *d = &rd->dir[i];

		if (d->rc == 0 && d->cur_fd >= 0 && fsx_fsync(d->cur_fd) < 0)
			d->rc = err_of_errno(errno);
		if (d->rc == 0 && d->made)
			d->rc = sync_made(rd, d);
	}
}

int
young_round_run(void *arg)
{
	struct young_round *rd = arg;
	int rc;

	if (rd->names) {
		sync_names(rd);
		return 0;
	}
	/* a name in cur/ promises that the log has the bytes */
	rd->log_failed = rd->log_fd >= 0 && fsx_fdatasync(rd->log_fd) < 0;
	for (size_t i = 0; i < rd->n_dirs; i++)
		young_dir_open(rd, &rd->dir[i]);
	for (size_t i = 0; i < rd->n; i++)
		find(rd, &rd->row[i]);
	rc = young_search(rd);
	for (size_t i = 0; i < rd->n; i++) {
		if (rc != 0 && rd->row[i].lost)
			rd->row[i].rc = rc;
		write_anew(rd, &rd->row[i]);
	}
	return 0;
}
