/*
 * A mailbox read from the database: what others have changed of an open one, or
 * all, piece by piece.
 *
 * A piece is a transaction of its own, and others may write between two of
 * them.  So the last one, unless it is the first, compares the list of all
 * chunks with those that were read, by the number of the change that wrote
 * each, and reads anew what differs: what the mailbox gets is what the database
 * had at one moment.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/edit.h"
#include "maildir/import.h"
#include "maildir/index.h"
#include "maildir/keywords.h"
#include "maildir/young.h"

#define KEY_UIDS UINT32_MAX

/* The chunk of a row of DB_CHUNK_LOAD; NULL: it is damaged. */
static struct chunk *
take_chunk(struct mailbox *m, sqlite3_stmt *s, struct err *e)
{
	struct chunk *c =
	    chunk_decode_nameless((uint32_t)sqlite3_column_int64(s, 0),
		db_column_blob(s, 3), db_column_blob(s, 2));

	if (c == NULL) {
		(void)err_set(e, ERR_DAMAGED, "a chunk is damaged");
		return NULL;
	}
	c->change = db_column_u64(s, 1);
	chunk_set_modseq_floor(c, m->modseq_floor);
	chunk_set_save_floor(c, m->save_floor);
	return c;
}

static struct chunk *
load_chunk(struct mailbox *m, int64_t key, struct err *e, int *rc)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_LOAD);
	struct chunk *c;

	db_bind_i64(s, 1, key);
	db_bind_i64(s, 2, key);
	if ((*rc = db_step(db, s, e)) != 1) {
		if (*rc == 0)
			*rc = err_set(e, ERR_DAMAGED, "a chunk is missing");
		return NULL;
	}
	c = take_chunk(m, s, e);
	(void)sqlite3_reset(s);
	*rc = c == NULL ? ERR_DAMAGED : 0;
	if (c != NULL && m->named && (*rc = names_load(m, c, e)) != 0)
		chunk_unref(&c);
	return c;
}

/* The chunk in memory if it is the one that the database has. */
static struct chunk *
known_chunk(const struct mailbox *m, uint32_t first, uint64_t change)
{
	struct chunk *c;

	if (m->head == NULL || m->head->n_chunks == 0)
		return NULL;
	c = m->head->v[chunks_find(m->head->v, m->head->n_chunks, first)];
	return c->first == first && c->change == change ? chunk_ref(c) : NULL;
}

struct chunk_list {
	struct chunk **v;
	size_t n, cap;
};

static void
chunk_list_fini(struct chunk_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		chunk_unref(&l->v[i]);
	free(l->v);
}

static void
chunk_list_add(struct chunk_list *l, struct chunk *c)
{
	if (l->n == l->cap) {
		l->cap = l->cap * 2 + 16;
		l->v = mem_realloc(l->v, l->cap, sizeof(struct chunk *));
	}
	l->v[l->n++] = c;
}

static int
load_chunks(struct mailbox *m, struct chunk_list *l, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_LIST);
	int rc;

	db_bind_i64(s, 1, chunk_key(m, 0));
	db_bind_i64(s, 2, chunk_key(m, KEY_UIDS));
	while ((rc = db_step(db, s, e)) == 1) {
		int64_t key = sqlite3_column_int64(s, 0);
		uint64_t change = db_column_u64(s, 1);
		struct chunk *c = known_chunk(m, (uint32_t)key, change);

		if (c == NULL && (c = load_chunk(m, key, e, &rc)) == NULL)
			break;
		chunk_list_add(l, c);
	}
	(void)sqlite3_reset(s);
	return rc;
}

static int
check_chunks(const struct mailbox *m, const struct chunk_list *l, struct err *e)
{
	uint32_t last = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (chunk_uid(l->v[i], 0) <= last)
			return err_set(e, ERR_DAMAGED, "chunks overlap");
		last = chunk_uid(l->v[i], l->v[i]->n - 1);
	}
	return last < m->uidnext
	    ? 0
	    : err_set(e, ERR_DAMAGED, "a UID is beyond UIDNEXT");
}

static void
count_new(struct mailbox *m)
{
	m->n_new = 0;
	for (size_t k = 0; k < m->head->n_chunks; k++)
		m->n_new += chunk_count_new(m->head->v[k]);
}

static void
take_row(struct mailbox *m, sqlite3_stmt *s)
{
	bool first = !m->known;

	m->uidvalidity = db_column_u32(s, 0);
	m->uidnext = db_column_u32(s, 1);
	m->modseq = db_column_u64(s, 2);
	m->modseq_bound = db_column_u64(s, 3);
	m->change = db_column_u64(s, 4);
	m->recent_uid = db_column_u32(s, 5);
	m->pop3_next = db_column_u32(s, 12);
	m->pop3_uidvalidity = db_column_u32(s, 13);
	m->object_id = db_column_u64(s, 15);
	m->modseq_floor = db_column_u64(s, 16);
	m->save_floor = sqlite3_column_int64(s, 17);
	m->known = true;
	if (!first)
		return;
	m->durable_uidnext = m->uidnext;
	/* A row that nobody has changed yet may be a moment old. */
	if (m->change == 1)
		mailbox_set_unsynced(m);
	for (int d = 0; d < 2; d++) {
		m->dirs[d].ino = db_column_u64(s, 8 + 2 * d);
		m->dirs[d].mtime_ns = sqlite3_column_int64(s, 9 + 2 * d);
		m->dirs[d].clean = m->dirs[d].mtime_ns != 0;
	}
}

/* read: all chunks, if this transaction has read them already. */
static int
reload_messages(struct mailbox *m, struct chunk_list *read, struct err *e)
{
	struct chunk_list l = { 0 };
	int rc = 0;

	if (read != NULL) {
		l = *read;
		*read = (struct chunk_list){ 0 };
	} else {
		rc = load_chunks(m, &l, e);
	}
	if (rc == 0)
		rc = check_chunks(m, &l, e);
	if (rc != 0) {
		chunk_list_fini(&l);
		return rc;
	}
	view_unref(&m->head);
	m->head = view_new(l.v, l.n, m->uidnext, m->modseq);
	if (m->index != NULL && !index_is_whole(m->index))
		m->index_lost = true;
	index_free(&m->index);
	count_new(m);
	return 0;
}

/* The numbers of sets of keywords must be those that memory has. */
static int
check_numbers(struct mailbox *m, struct err *e)
{
	uint64_t numbered = 0;
	int rc =
	    import_mark_get(m->account, m->id, MARK_NUMBERED, &numbered, e);

	if (rc < 0)
		return rc;
	if (m->n_sets != 0 && numbered != m->numbered) {
		mailbox_set_gone(m);
		return err_set(e, ERR_STALE, "keywords have other numbers");
	}
	m->numbered = numbered;
	return 0;
}

/* 1: *s is at the mailbox's row; 0: there is none; ERR_*. */
static int
find_row(const struct mailbox *m, sqlite3_stmt **s, struct err *e)
{
	struct db *db = &m->account->db;
	int rc;

	*s = db_stmt(db, DB_MAILBOX_GET);
	db_bind_blob(*s, 1, slice_str(m->dir));
	if ((rc = db_step(db, *s, e)) != 1)
		return rc;
	/* another one of that name */
	if (sqlite3_column_int64(*s, 14) != m->id) {
		(void)sqlite3_reset(*s);
		return 0;
	}
	return 1;
}

static int
reload(struct mailbox *m, struct chunk_list *read, struct err *e)
{
	sqlite3_stmt *s;
	uint64_t n_keywords, n_sets;
	uint32_t validity = m->uidvalidity;
	uint32_t from = m->known && m->change != 0 ? m->uidnext : 0;
	int rc;

	if ((rc = find_row(m, &s, e)) < 0)
		return rc;
	if (rc == 0 || (m->known && db_column_u32(s, 0) != validity)) {
		(void)sqlite3_reset(s);
		mailbox_set_gone(m);
		return err_set(e, ERR_STALE, "mailbox is gone");
	}
	if (m->head != NULL && db_column_u64(s, 4) == m->change) {
		(void)sqlite3_reset(s);
		return 0;
	}
	take_row(m, s);
	n_keywords = db_column_u64(s, 6);
	n_sets = db_column_u64(s, 7);
	(void)sqlite3_reset(s);
	if ((rc = check_numbers(m, e)) != 0 ||
	    (rc = keywords_load(m, (size_t)n_keywords, (size_t)n_sets, e)) !=
		0 ||
	    (rc = reload_messages(m, read, e)) != 0 ||
	    (rc = young_look_for(m, from, e)) != 0)
		m->change = 0; /* what memory has fits nothing any more */
	return rc;
}

int
mailbox_reload(struct mailbox *m, struct err *e)
{
	return reload(m, NULL, e);
}

/* --- piece by piece ------------------------------------------------------- */

/* The row that the chunks are read for; other ones may be another's. */
struct loading_row {
	uint32_t uidvalidity;
	uint64_t object_id, modseq_floor;
	int64_t save_floor;
};

struct loading {
	struct chunk_list chunks; /* all up to next */
	uint64_t next;		  /* the first UID of the next chunk */
	bool at_once;		  /* by this transaction alone */
	struct loading_row row;
	uint64_t tick; /* of the store, when it went on */
};

static bool
same_row(const struct loading_row *a, const struct loading_row *b)
{
	return a->uidvalidity == b->uidvalidity &&
	    a->object_id == b->object_id &&
	    a->modseq_floor == b->modseq_floor &&
	    a->save_floor == b->save_floor;
}

/* 1: the row; 0: it is gone, which mailbox_reload() tells. */
static int
read_row(struct mailbox *m, struct loading_row *out, struct err *e)
{
	sqlite3_stmt *s;
	int rc = find_row(m, &s, e);

	if (rc != 1)
		return rc;
	*out = (struct loading_row){ db_column_u32(s, 0), db_column_u64(s, 15),
		db_column_u64(s, 16), sqlite3_column_int64(s, 17) };
	(void)sqlite3_reset(s);
	return 1;
}

/* 1: there is more; 0: all chunks are there, or the row is gone. */
static int
load_piece(struct mailbox *m, struct loading *l, int *work, struct err *e)
{
	struct db *db = &m->account->db;
	struct loading_row row;
	sqlite3_stmt *s;
	int rc = read_row(m, &row, e);

	if (rc != 1)
		return rc;
	if (!same_row(&l->row, &row)) {
		chunk_list_fini(&l->chunks);
		*l = (struct loading){ .row = row, .tick = l->tick };
	}
	l->at_once = l->chunks.n == 0;
	m->modseq_floor = row.modseq_floor;
	m->save_floor = row.save_floor;
	s = db_stmt(db, DB_CHUNK_LOAD);
	db_bind_i64(s, 1, chunk_key(m, (uint32_t)l->next));
	db_bind_i64(s, 2, chunk_key(m, KEY_UIDS));
	while (*work > 0 && (rc = db_step(db, s, e)) == 1) {
		struct chunk *c = take_chunk(m, s, e);

		if (c == NULL) {
			rc = ERR_DAMAGED;
			break;
		}
		chunk_list_add(&l->chunks, c);
		l->next = (uint64_t)c->first + 1;
		*work -= (int)c->n;
	}
	(void)sqlite3_reset(s);
	return rc;
}

void
mailbox_load_stop(struct mailbox *m)
{
	if (m->loading == NULL)
		return;
	chunk_list_fini(&m->loading->chunks);
	free(m->loading);
	m->loading = NULL;
}

bool
mailbox_load_left(const struct mailbox *m, uint64_t tick)
{
	return m->loading != NULL && m->loading->tick + LEFT_TICKS < tick;
}

/* All chunks are there: what has changed meanwhile, and the row. */
static int
load_end(struct mailbox *m, struct loading *l, struct err *e)
{
	int rc;

	if (!l->at_once) {
		m->head = view_new(l->chunks.v, l->chunks.n, 0, 0);
		l->chunks = (struct chunk_list){ 0 };
	}
	m->change = 0;
	rc = reload(m, l->at_once ? &l->chunks : NULL, e);
	/* names may be what was damaged when the database was given up */
	if (rc == 0 && m->account->damaged != 0)
		rc = mailbox_need_names(m, NULL, e);
	if (rc != 0)
		view_unref(&m->head);
	return rc;
}

int
mailbox_load(struct mailbox *m, int *work, struct err *e)
{
	struct db *db = &m->account->db;
	struct loading *l = m->loading;
	int64_t version;
	int rc;

	assert(m->head == NULL);
	if (l == NULL)
		l = m->loading = MEM_NEW(struct loading);
	m->named = false;
	l->tick = m->account->store->tick;
	if ((rc = db_begin_read(db, e)) != 0)
		return rc;
	/* before what it is the version of */
	if ((rc = account_version(m->account, &version, e)) == 0 &&
	    (rc = load_piece(m, l, work, e)) == 0 &&
	    (rc = load_end(m, l, e)) == 0)
		m->version = version;
	db_rollback(db);
	if (rc == 1)
		return err_set(e, ERR_MORE, "there is more to read");
	mailbox_load_stop(m);
	return rc;
}
