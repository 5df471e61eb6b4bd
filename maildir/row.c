/* The row that the database has for a mailbox's directory. */
#include <stdlib.h>

#include "maildir/edit.h"
#include "maildir/import.h"

/* Put imported UIDs into the chunk tables of a new row. */
static int
write_imported(struct account *a, int64_t id, const struct foreign_uids *u,
    int64_t wall_ms, struct err *e)
{
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN,
		.save_ms = wall_ms,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
	struct mailbox m = { .account = a, .id = id };
	struct chunk *c = NULL;
	int rc = 0;

	for (size_t i = 0; i < u->n && rc == 0; i++) {
		uint64_t place =
		    u->v[i].place != 0 ? u->v[i].place : PLACE_INFO;
		struct message msg = { .uid = u->v[i].uid,
			.flags = place_flags(place),
			.modseq = 1 };

		if (c == NULL)
			c = chunk_new(msg.uid);
		chunk_append(
		    c, &msg, place, u->v[i].base, slice_of(NULL, 0), &fixed);
		if (c->n < CHUNK_MAX && i + 1 < u->n)
			continue;
		c->change = 1;
		rc = chunk_write(&m, c, e);
		chunk_unref(&c);
	}
	chunk_unref(&c);
	return rc;
}

static int
insert_row(struct account *a, struct slice dir, const struct foreign_uids *u,
    int64_t *id, struct err *e)
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
	return write_imported(a, *id, u, a->store->wall_ms, e);
}

int
mailbox_row_find(struct account *a, struct slice dir, int64_t *id,
    uint32_t *validity, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_FIND);
	int rc;

	db_bind_blob(s, 1, dir);
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	*id = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	if (validity == NULL)
		return 1;
	s = db_stmt(&a->db, DB_MAILBOX_GET);
	db_bind_i64(s, 1, *id);
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc < 0 ? rc : ERR_DAMAGED;
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
	return db_run(&a->db, s, e);
}

int
mailbox_row(struct account *a, struct slice dir, int64_t *id, struct err *e)
{
	struct foreign_uids u;
	char *name;
	int rc = mailbox_row_find(a, dir, id, NULL, e);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	name = slice_dup(dir);
	/* UIDs given from memory are to be nobody else's */
	if (a->in_memory || !import_uids(a, name, &u))
		u = (struct foreign_uids){ .uidnext = 1 };
	free(name);
	if ((rc = db_begin(&a->db, e)) != 0)
		goto out;
	/* another process may have made it meanwhile */
	if ((rc = mailbox_row_find(a, dir, id, NULL, e)) == 0)
		rc = insert_row(a, dir, &u, id, e);
	if (rc < 0)
		db_rollback(&a->db);
	else
		rc = db_commit(&a->db, e);
out:
	foreign_uids_fini(&u);
	return rc;
}

int
mailbox_row_remake(
    struct mailbox *m, const struct foreign_uids *u, struct err *e)
{
	struct db *db = &m->account->db;
	int64_t id;
	int rc;

	if ((rc = db_begin(db, e)) != 0)
		return rc;
	rc = mailbox_row_note_used(
	    m->account, slice_str(m->dir), m->uidvalidity, e);
	if (rc == 0)
		rc = mailbox_row_delete(m->account, m->id, e);
	if (rc == 0)
		rc = insert_row(m->account, slice_str(m->dir), u, &id, e);
	if (rc == 0)
		return db_commit(db, e);
	db_rollback(db);
	return rc;
}
