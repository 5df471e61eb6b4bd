/*
 * A round of mending, as a sync thread does it: it looks for the files of some
 * rows, and writes what is to take their places; later, when those have their
 * names, it syncs the directories.
 *
 * A loss of power may leave the index and the directories of different minds:
 * a RENAME or a DELETE is in the one, and not in the others.  What the index
 * has in one mailbox then lies in another, or in one that it doesn't have; so a
 * file that isn't where it should be is looked for everywhere, lest half of it
 * be taken for new mail.  A mailbox that has no directory gets one, should a
 * message be in its row alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/dir.h"
#include "maildir/young_impl.h"

enum { CLOCKS_DIFFER_S = 300 };

static void
dir_close(struct young_dir *d)
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
		dir_close(&rd->dir[i]);
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

static void
dir_open(struct young_round *rd, struct young_dir *d)
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

/* --- where a RENAME that a loss of power cut short has put it ------------- */

/* Whether something was put into the directory since about then. */
static bool
changed_since(int root_fd, const char *dir, int64_t seconds)
{
	char *cur = mem_printf("%s%scur", dir, dir[0] != '\0' ? "/" : "");
	struct stat st;
	bool changed = fsx_stat(root_fd, cur, &st) == 0 &&
	    st.st_mtim.tv_sec >= seconds - CLOCKS_DIFFER_S;

	free(cur);
	return changed;
}

/* Rows that have their files there are of that directory then. */
static int
search_dir(struct young_round *rd, struct young_dir *d, size_t at, bool *any)
{
	struct dir_reader r;
	struct slice name;

	if (d->cur_fd < 0 || dir_reader_open(&r, d->cur_fd, ".") < 0)
		return d->gone ? 0 : ERR_SYS;
	while (dir_reader_next(&r, &name))
		for (size_t i = 0; i < rd->n; i++) {
			struct young_row *row = &rd->row[i];

			if (!row->lost || !young_row_is(row, name))
				continue;
			row->lost = false;
			row->is_there = *any = true;
			row->at = at;
			buf_reset(&row->found);
			buf_put(&row->found, name);
		}
	dir_reader_close(&r);
	return r.failed ? ERR_SYS : 0;
}

static int
search_path(struct young_round *rd, const char *path)
{
	struct young_dir *d = &rd->dir[rd->n_dirs];
	bool any = false;
	size_t at = 0;
	int rc;

	while (at < rd->n_dirs && strcmp(rd->dir[at].path, path) != 0)
		at++;
	if (at < rd->n_dirs)
		return search_dir(rd, &rd->dir[at], at, &any);
	*d = (struct young_dir){ mem_strdup(path), -1, -1, false, 0 };
	dir_open(rd, d);
	rc = search_dir(rd, d, at, &any);
	if (any)
		rd->n_dirs++;
	else
		dir_close(d);
	return rc;
}

/*
 * The index and the directories may have gone different ways: what it has in
 * one mailbox may lie in another.  No more than a file of the last seconds can:
 * so it is in a directory that was changed since it was written.
 */
static int
search(struct young_round *rd)
{
	struct dir_reader r;
	struct slice name;
	int64_t since = INT64_MAX;
	int rc = 0;

	for (size_t i = 0; i < rd->n; i++)
		if (rd->row[i].lost && rd->row[i].written_s < since)
			since = rd->row[i].written_s;
	if (since == INT64_MAX)
		return 0;
	if (changed_since(rd->root_fd, "", since))
		rc = search_path(rd, "");
	if (dir_reader_open(&r, rd->root_fd, ".") < 0)
		return err_of_errno(errno);
	while (rc == 0 && dir_reader_next(&r, &name))
		if (name.p[0] == '.' &&
		    changed_since(rd->root_fd, (const char *)name.p, since))
			rc = search_path(rd, (const char *)name.p);
	if (r.failed)
		rc = ERR_SYS;
	dir_reader_close(&r);
	return rc;
}

/* The directory has neither its old name nor its new one. */
static void
dir_make(struct young_round *rd, struct young_dir *d)
{
	if (d->path[0] == '\0' ||
	    (fsx_mkdir(rd->root_fd, d->path, 0700) < 0 && errno != EEXIST)) {
		d->rc = err_of_errno(errno);
		return;
	}
	d->rc = create_fill(rd->root_fd, d->path, NULL);
	if (d->rc == 0 && fsx_fsync(rd->root_fd) < 0)
		d->rc = err_of_errno(errno);
	if (d->rc == 0)
		dir_open(rd, d);
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
	r->lost = r->rc == 0 && r->rebooted && !r->is_there;
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
	if (d != NULL && d->gone && d->rc == 0 && r->rebooted && r->known)
		dir_make(rd, d);
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
	for (size_t i = 0; i < rd->n_dirs; i++)
		if (rd->dir[i].rc == 0 && rd->dir[i].cur_fd >= 0 &&
		    fsx_fsync(rd->dir[i].cur_fd) < 0)
			rd->dir[i].rc = err_of_errno(errno);
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
		dir_open(rd, &rd->dir[i]);
	for (size_t i = 0; i < rd->n; i++)
		find(rd, &rd->row[i]);
	rc = search(rd);
	for (size_t i = 0; i < rd->n; i++) {
		if (rc != 0 && rd->row[i].lost)
			rd->row[i].rc = rc;
		write_anew(rd, &rd->row[i]);
	}
	return 0;
}
