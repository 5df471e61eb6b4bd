#include "maildir/row.h"

#include <stdlib.h>

#include "maildir/edit.h"

int
mailbox_row_fill(struct account *a, int64_t id, const struct foreign_uids *u,
    size_t from, size_t to, struct err *e)
{
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN,
		.save_ms = a->store->wall_ms,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
	struct mailbox m = { .account = a, .id = id };
	struct chunk *c = NULL;
	int rc = 0;

	for (size_t i = from; i < to && rc == 0; i++) {
		uint64_t place =
		    u->v[i].place != 0 ? u->v[i].place : PLACE_INFO;
		struct message msg = { .uid = u->v[i].uid,
			.flags = place_flags(place),
			.modseq = 1 };

		if (c == NULL)
			c = chunk_new(msg.uid);
		chunk_append(
		    c, &msg, place, u->v[i].base, slice_of(NULL, 0), &fixed);
		if (c->n < CHUNK_MAX && i + 1 < to)
			continue;
		c->change = 1;
		rc = chunk_write(&m, c, e);
		chunk_unref(&c);
	}
	chunk_unref(&c);
	return rc;
}

int
mailbox_row_insert(struct account *a, struct slice dir,
    const struct foreign_uids *u, int64_t *id, struct err *e)
{
	struct db *db = &a->db;
	sqlite3_stmt *s;
	uint32_t validity = 0;
	int at = 1, rc;

	rc = account_next_uidvalidity(a, u->uidvalidity, &validity, e);
	if (rc != 0)
		return rc;
	s = db_stmt(db, DB_MAILBOX_INSERT);
	db_bind_blob(s, at++, dir);
	db_bind_i64(s, at++, validity);
	db_bind_i64(s, at++, u->uidnext);
	db_bind_i64(s, at++, 1);	    /* modseq */
	db_bind_i64(s, at++, MODSEQ_BLOCK); /* modseq_bound */
	db_bind_i64(s, at++, u->uidnext);   /* none of them is recent */
	if ((rc = db_run(db, s, e)) != 0)
		return rc;
	*id = sqlite3_last_insert_rowid(db->h);
	return 0;
}

int
mailbox_row_raise(
    struct account *a, int64_t id, uint32_t uidnext, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_RAISE);

	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, uidnext);
	return db_run(&a->db, s, e);
}

int
mailbox_row_find(struct account *a, struct slice dir, int64_t *id,
    uint32_t *validity, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_GET);
	int rc;

	db_bind_blob(s, 1, dir);
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	*id = sqlite3_column_int64(s, 14);
	if (validity != NULL)
		*validity = db_column_u32(s, 0);
	(void)sqlite3_reset(s);
	return 1;
}

int
mailbox_row_note_used(
    struct account *a, struct slice dir, uint32_t validity, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_USED_SET);

	db_bind_blob(s, 1, dir);
	db_bind_i64(s, 2, validity);
	return db_run(&a->db, s, e);
}

int
mailbox_row_delete(struct account *a, int64_t id, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_DELETE);

	db_bind_i64(s, 1, id);
	a->rows_left = true;
	return db_run(&a->db, s, e);
}

int
mailbox_row(struct account *a, struct slice dir, int64_t *id, struct err *e)
{
	const struct foreign_uids none = { .uidnext = 1 };
	int rc = mailbox_row_find(a, dir, id, NULL, e);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	if ((rc = db_begin(&a->db, e)) != 0)
		return rc;
	/* another process may have made it meanwhile */
	if ((rc = mailbox_row_find(a, dir, id, NULL, e)) == 0)
		rc = mailbox_row_insert(a, dir, &none, id, e);
	if (rc >= 0)
		return db_commit(&a->db, e);
	db_rollback(&a->db);
	return rc;
}
