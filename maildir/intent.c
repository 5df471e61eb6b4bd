#include "maildir/intent.h"

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/dir.h"

int
intent_put(struct mailbox *m, struct slice names, int64_t *id, struct err *e)
{
	struct account *a = m->account;
	sqlite3_stmt *s;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = db_begin(&a->db, e)) != 0)
		return account_db_failed(a, rc);
	s = db_stmt(&a->db, DB_INTENT_PUT);
	db_bind_i64(s, 1, m->id);
	db_bind_blob(s, 2, names);
	rc = db_run(&a->db, s, e);
	if (rc == 0)
		rc = db_commit(&a->db, e);
	else
		db_rollback(&a->db);
	if (rc != 0)
		return account_db_failed(a, rc);
	*id = sqlite3_last_insert_rowid(a->db.h);
	a->n_intents++;
	return 0;
}

void
intent_leave(struct account *a)
{
	assert(a->n_intents != 0);
	a->n_intents--;
}

void
intent_drop(struct account *a, int64_t id)
{
	sqlite3_stmt *s;

	intent_leave(a);
	/* One that stays is carried out once more, which changes nothing. */
	if (a->db.h == NULL || a->db.in_txn)
		return;
	s = db_stmt(&a->db, DB_INTENT_DEL);
	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, id);
	if (db_run(&a->db, s, NULL) != 0)
		log_debug("maildir: intent stays path=%s", a->path);
}

int
intent_pending(struct account *a, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_INTENT_LIST);
	int rc;

	db_bind_i64(s, 1, 0);
	rc = db_step(&a->db, s, e);
	if (rc == 1)
		(void)sqlite3_reset(s);
	return rc;
}

/* The next name, which is ended by a NUL; NULL: none is left. */
static const char *
take_name(struct slice *names)
{
	const char *name = (const char *)names->p;
	size_t n = slice_find(*names, '\0');

	/* a name alone: it can't lead anywhere else */
	if (n == names->n || n == 0 || slice_has(slice_first(*names, n), '/'))
		return NULL;
	*names = slice_skip(*names, n + 1);
	return name;
}

static int
redo_one(struct account *a, struct slice dir, struct slice names, struct err *e)
{
	int tmp = dir_open_sub(a->root_fd, dir, "tmp");
	int cur = dir_open_sub(a->root_fd, dir, "cur");
	const char *from, *to;
	int rc = 0;

	if (tmp < 0 || cur < 0)
		rc = errno == ENOENT ? 0 : err_sys(e, "open tmp, cur");
	while (tmp >= 0 && cur >= 0 && rc == 0 &&
	    (from = take_name(&names)) != NULL &&
	    (to = take_name(&names)) != NULL)
		if (fsx_rename_new(tmp, from, cur, to) < 0 && errno != ENOENT &&
		    errno != EEXIST)
			rc = err_sys(e, "rename %s", from);
	if (rc == 0 && cur >= 0 && fsx_fsync(cur) < 0)
		rc = err_sys(e, "sync cur");
	if (tmp >= 0)
		(void)close(tmp);
	if (cur >= 0)
		(void)close(cur);
	return rc;
}

int
intent_redo(struct account *a, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_INTENT_LIST);
	int64_t last = 0;
	int rc;

	db_bind_i64(s, 1, 0);
	while ((rc = db_step(&a->db, s, e)) == 1) {
		last = sqlite3_column_int64(s, 0);
		rc = redo_one(a, db_column_blob(s, 1), db_column_blob(s, 2), e);
		if (rc != 0)
			break;
	}
	(void)sqlite3_reset(s);
	if (rc != 0)
		return rc;
	log_warn("maildir: carried out an interrupted APPEND path=%s", a->path);
	s = db_stmt(&a->db, DB_INTENT_DEL);
	db_bind_i64(s, 1, 0);
	db_bind_i64(s, 2, last);
	return db_run(&a->db, s, e);
}
