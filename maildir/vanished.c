/*
 * Which UIDs were expunged, and when (RFC 7162 3.2.3).
 *
 * The table has a row for each range of UIDs that went in one change.  It
 * would grow for ever, so of more than VANISHED_MAX rows the older half is
 * forgotten; from then on nothing is known of expunges up to the
 * mod-sequence vanished_from, and who asks for those is told that.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/edit.h"

enum { VANISHED_MAX = 8192 };

int
vanished_put(
    struct mailbox *m, uint64_t modseq, struct uid_range r, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_VANISHED_PUT);

	db_bind_i64(s, 1, m->id);
	db_bind_u64(s, 2, modseq);
	db_bind_i64(s, 3, r.first);
	db_bind_i64(s, 4, r.last);
	if (m->n_vanished != UINT32_MAX)
		m->n_vanished++;
	return db_run(db, s, e);
}

/* A number that a statement gives for the mailbox; 1: *v, 0: none. */
static int
number(struct mailbox *m, enum db_sql which, int64_t arg, uint64_t *v,
    struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, which);
	int rc;

	db_bind_i64(s, 1, m->id);
	if (which == DB_VANISHED_NTH)
		db_bind_i64(s, 2, arg);
	if ((rc = db_step(db, s, e)) == 1) {
		*v = db_column_u64(s, 0);
		(void)sqlite3_reset(s);
	}
	return rc;
}

static int
forget(struct mailbox *m, uint64_t modseq, struct err *e)
{
	static const enum db_sql both[] = { DB_VANISHED_FORGET,
		DB_VANISHED_FROM };
	struct db *db = &m->account->db;
	int rc = 0;

	for (size_t i = 0; i < NELEMS(both) && rc == 0; i++) {
		sqlite3_stmt *s = db_stmt(db, both[i]);

		db_bind_i64(s, 1, m->id);
		db_bind_u64(s, 2, modseq);
		rc = db_run(db, s, e);
	}
	return rc;
}

int
vanished_limit(struct mailbox *m, struct err *e)
{
	uint64_t n = m->n_vanished, modseq = 0;
	int rc;

	if (m->n_vanished == UINT32_MAX) {
		if ((rc = number(m, DB_VANISHED_COUNT, 0, &n, e)) < 0)
			return rc;
		m->n_vanished = (uint32_t)n;
	}
	if (n <= VANISHED_MAX)
		return 0;
	m->n_vanished = UINT32_MAX;
	rc = number(m, DB_VANISHED_NTH, VANISHED_MAX / 2, &modseq, e);
	return rc == 1 ? forget(m, modseq, e) : rc;
}

static int
order_ranges(const void *a, const void *b)
{
	const struct uid_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Sort, and join what touches. */
static size_t
join(struct uid_range *v, size_t n)
{
	size_t last = 0;

	if (n == 0)
		return 0;
	qsort(v, n, sizeof(*v), order_ranges);
	for (size_t i = 1; i < n; i++) {
		if (v[i].first > v[last].last && v[i].first - v[last].last > 1)
			v[++last] = v[i];
		else if (v[i].last > v[last].last)
			v[last].last = v[i].last;
	}
	return last + 1;
}

int
mailbox_vanished(struct mailbox *m, uint64_t since, struct uid_range **v,
    size_t *n, bool *complete, struct err *e)
{
	struct db *db = &m->account->db;
	struct uid_range *list = NULL;
	size_t count = 0, cap = 0;
	uint64_t from = UINT64_MAX;
	sqlite3_stmt *s;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if ((rc = account_open(m->account, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	/* One statement is one transaction: another process may be forgetting
	 * right now what the list would lack. */
	s = db_stmt(db, DB_VANISHED_LIST);
	db_bind_i64(s, 1, m->id);
	db_bind_u64(s, 2, since);
	while ((rc = db_step(db, s, e)) == 1) {
		/* no UID is 0: the row of the mailbox */
		if (db_column_u32(s, 1) == 0) {
			from = db_column_u64(s, 0);
			continue;
		}
		if (count == cap) {
			cap = cap * 2 + 16;
			list = mem_realloc(list, cap, sizeof(*list));
		}
		list[count++] = (struct uid_range){ db_column_u32(s, 0),
			db_column_u32(s, 1) };
	}
	if (rc != 0) {
		free(list);
		return account_db_failed(m->account, rc);
	}
	if (from == UINT64_MAX) {
		free(list);
		return err_set(e, ERR_STALE, "mailbox is gone");
	}
	*n = join(list, count);
	*v = list;
	*complete = since >= from;
	return 0;
}
