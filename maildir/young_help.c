/*
 * What the table young has of messages that aren't this process's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/young_impl.h"

int
young_row_delete(struct account *a, int64_t first, int64_t last)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_DEL);

	db_bind_i64(s, 1, first);
	db_bind_i64(s, 2, last);
	return db_run(&a->db, s, NULL);
}

int
young_left(struct account *a, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_BOOTS);
	int rc;

	db_bind_i64(s, 1, account_boot_number());
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	if (sqlite3_column_type(s, 0) != SQLITE_NULL)
		rc = sqlite3_column_int(s, 0) != 0 ? 2 : 1;
	else
		rc = 0;
	(void)sqlite3_reset(s);
	return rc;
}

static void
note_unnamed(struct mailbox *m, uint32_t uid)
{
	m->unnamed =
	    mem_realloc(m->unnamed, m->n_unnamed + 1, sizeof(*m->unnamed));
	m->unnamed[m->n_unnamed++] = uid;
}

int
young_look_for(struct mailbox *m, uint32_t from, struct err *e)
{
	struct account *a = m->account;
	sqlite3_stmt *s;
	size_t n_before = m->n_unnamed;
	bool others = false;
	int rc;

	if (a->none_young && db_log_as_opened(&a->db))
		return 0;
	s = db_stmt(&a->db, DB_YOUNG_KEYS);
	db_bind_i64(s, 1, chunk_key(m, from));
	db_bind_i64(s, 2, chunk_key(m, UINT32_MAX));
	while ((rc = db_step(&a->db, s, e)) == 1) {
		int64_t key = sqlite3_column_int64(s, 0);

		if (young_is_own(a, key))
			continue;
		others = true;
		note_unnamed(m, (uint32_t)key);
	}
	/* all are asked for again */
	if (rc != 0)
		m->n_unnamed = n_before;
	else if (others)
		young_mend_later(a);
	return rc;
}

/* Of a call that failed: whether that says that there is no such file. */
static bool
is_absence(int error)
{
	return error == ENOENT || error == ENOTDIR;
}

/* False: it has no file.  *later: that isn't known, or it can't get its name
 * now. */
static bool
give_name_here(struct mailbox *m, uint32_t uid, const char *tmp, bool *later)
{
	struct buf name;
	struct chunk *c;
	uint32_t i;
	int tmp_fd, cur_fd;
	struct stat st;
	int error = 0;

	if (!mailbox_find(m, uid, &c, &i))
		return false;
	/* that says nothing of the file, not even if there is no cur/ */
	if ((cur_fd = mailbox_dir_fd(m, DIR_CUR)) < 0) {
		*later = true;
		return true;
	}
	buf_init(&name, NAME_BYTES_MAX);
	tmp_fd = dir_open_sub(m->account->root_fd, slice_str(m->dir), "tmp");
	if (tmp_fd < 0 ||
	    fsx_rename_new(tmp_fd, tmp, cur_fd, message_name(&name, c, i)) < 0)
		error = errno;
	/* another was faster */
	if (error != 0 && fsx_stat(cur_fd, message_name(&name, c, i), &st) == 0)
		error = 0;
	else if (is_absence(error))
		error = errno;
	if (tmp_fd >= 0)
		(void)close(tmp_fd);
	buf_fini(&name);
	*later = error != 0 && !is_absence(error);
	return !is_absence(error);
}

/* Whether its file has no name yet. */
static bool
tmp_is_there(struct mailbox *m, const char *tmp)
{
	int fd = dir_open_sub(m->account->root_fd, slice_str(m->dir), "tmp");
	struct stat st;
	bool there =
	    (fd >= 0 && fsx_stat(fd, tmp, &st) == 0) || !is_absence(errno);

	if (fd >= 0)
		(void)close(fd);
	return there;
}

int
young_help(struct mailbox *m, uint32_t uid, bool log_synced, struct err *e)
{
	struct account *a = m->account;
	int64_t key = chunk_key(m, uid);
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_GET);
	bool there = false, later = !log_synced, kept;
	char *tmp;
	int rc;

	if (young_placed(a, key))
		return 0;
	db_bind_i64(s, 1, key);
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	tmp = slice_dup(db_column_blob(s, 0));
	kept = sqlite3_column_int64(s, 1) != account_boot_number();
	(void)sqlite3_reset(s);
	/* what the log has must not be less than what the name promises */
	if (!kept && log_synced && strchr(tmp, '/') == NULL)
		there = give_name_here(m, uid, tmp, &later);
	else if (!kept)
		there = tmp_is_there(m, tmp);
	if (there && later)
		note_unnamed(m, uid);
	free(tmp);
	return kept || there;
}
