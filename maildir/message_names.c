/*
 * The names of a mailbox's messages, read from the database when they are
 * first needed.
 *
 * They are most of what it has of a message, and a SELECT of a mailbox whose
 * directories haven't changed, STATUS, and FETCH of flags ask for none.  So a
 * mailbox is loaded without.  Whoever is about to look at names has all of them
 * read first (mailbox_need_names()), which can fail; from then on what is read
 * anew comes with its names, and chunk_base() and its like have no error.
 * A file that is opened needs its own name only: those of its chunk are read
 * (mailbox_find_named()).
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

/* Those of one message's chunk. */
static int
load_one(struct mailbox *m, uint32_t uid, struct err *e)
{
	struct chunk *c;
	uint32_t i;
	int rc = mailbox_reload(m, e);

	return rc == 0 && mailbox_find(m, uid, &c, &i) && !chunk_has_names(c)
	    ? names_load(m, c, e)
	    : rc;
}

/* uid 0: all of them, a piece of so much work. */
static int
load(struct mailbox *m, uint32_t uid, int *work, struct err *e)
{
	return uid != 0 ? load_one(m, uid, e) : load_some(m, work, e);
}

/* The same, in a transaction if there is none. */
static int
read_names(struct mailbox *m, uint32_t uid, int *work, struct err *e)
{
	struct account *a = m->account;
	int rc;

	assert(!m->asleep && m->head != NULL);
	if (a->db.h != NULL && a->db.in_txn)
		return load(m, uid, work, e);
	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = db_begin_read(&a->db, e)) == 0) {
		rc = load(m, uid, work, e);
		db_rollback(&a->db);
	}
	return account_db_failed(a, rc);
}

int
mailbox_need_names(struct mailbox *m, int *work, struct err *e)
{
	int all = INT_MAX;

	return m->named ? 0 : read_names(m, 0, work != NULL ? work : &all, e);
}

int
mailbox_find_named(
    struct mailbox *m, uint32_t uid, struct chunk **c, uint32_t *i)
{
	int rc;

	if (!mailbox_find(m, uid, c, i))
		return ERR_NOT_FOUND;
	if (chunk_has_names(*c))
		return 0;
	rc = read_names(m, uid, NULL, NULL);
	if (rc == ERR_STALE || (rc == 0 && !mailbox_find(m, uid, c, i)))
		return ERR_NOT_FOUND;
	return rc == ERR_BUSY ? ERR_TEMPORARY : rc;
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
