/*
 * The names of a mailbox's messages, read from the database when they are
 * first needed.
 *
 * They are most of what it has of a message, and a SELECT of a mailbox whose
 * directories haven't changed, STATUS, and FETCH of flags ask for none.  So a
 * mailbox is loaded without.  Whoever is about to look at names has all of them
 * read first (mailbox_need_names()), which can fail; from then on what is read
 * anew comes with its names, and chunk_base() and its like have no error.
 */
#include <limits.h>

#include "maildir/edit.h"

int
names_load(struct mailbox *m, struct chunk *c, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_NAMES);
	int rc;

	db_bind_i64(s, 1, chunk_key(m, c->first));
	if ((rc = db_step(db, s, e)) < 0)
		return rc;
	if (rc == 0)
		return err_set(e, ERR_DAMAGED, "names are missing");
	rc = chunk_set_names(c, db_column_blob(s, 0))
	    ? 0
	    : err_set(e, ERR_DAMAGED, "names are damaged");
	(void)sqlite3_reset(s);
	return rc;
}

/* Within a transaction: those of what is in memory, which is what the database
 * has. */
static int
load_some(struct mailbox *m, int *work, struct err *e)
{
	int rc = mailbox_reload(m, e);

	for (size_t k = 0; rc == 0 && k < m->head->n_chunks; k++) {
		struct chunk *c = m->head->v[k];

		if (chunk_has_names(c))
			continue;
		if (*work <= 0)
			return err_set(e, ERR_MORE, "there are more names");
		rc = names_load(m, c, e);
		*work -= (int)c->n;
	}
	m->named = rc == 0;
	return rc;
}

int
mailbox_need_names(struct mailbox *m, int *work, struct err *e)
{
	struct account *a = m->account;
	int all = INT_MAX, rc;

	if (m->named)
		return 0;
	assert(!m->asleep && m->head != NULL);
	if (work == NULL)
		work = &all;
	if (a->db.h != NULL && a->db.in_txn)
		return load_some(m, work, e);
	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = db_begin_read(&a->db, e)) == 0) {
		rc = load_some(m, work, e);
		db_rollback(&a->db);
	}
	return account_db_failed(a, rc);
}

int
mailbox_show_names(struct mailbox *m, int *work, struct err *e)
{
	int rc = mailbox_need_names(m, work, e);

	/* what was read anew in place of what is shown has them */
	if (rc == 0)
		mailbox_publish(m);
	return rc;
}
