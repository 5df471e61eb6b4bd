#include "maildir/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/cache.h"
#include "maildir/keywords.h"

/*
 * A chunk is written whole for each message that is added to it, and what is
 * added is mostly one message at a time: so the last chunk stays small, and
 * goes into the one before it when it is full.  With as many messages as this,
 * each of its blobs has room in a page; what is larger takes pages of its own,
 * and one of the database's free list for each that is left.
 */
enum { TAIL_MAX = 32 };

int64_t
chunk_key(const struct mailbox *m, uint32_t first)
{
	return (int64_t)((uint64_t)m->id << 32 | first);
}

static struct db *
db_of(const struct edit *ed)
{
	return &ed->m->account->db;
}

int
edit_join(struct edit *ed, struct mailbox *m, struct err *e)
{
	int rc;

	assert(!m->asleep && m->account->db.in_txn);
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = mailbox_reload(m, e)) != 0 ||
	    (rc = mailbox_need_names(m, NULL, e)) != 0)
		return rc;
	*ed = (struct edit){ .m = m,
		.old_uidnext = m->uidnext,
		.old_modseq = m->modseq,
		.old_modseq_bound = m->modseq_bound,
		.old_change = m->change,
		.old_unsynced = m->unsynced,
		.old_unsynced_told = m->unsynced_told,
		.old_unsynced_change = m->unsynced_change,
		.old_change_noted = m->change_noted };
	ed->n = m->head->n_chunks;
	ed->cap = ed->n + 8;
	ed->v = mem_alloc(ed->cap * sizeof(struct chunk *));
	for (size_t i = 0; i < ed->n; i++)
		ed->v[i] = chunk_ref(m->head->v[i]);
	ed->uidnext = m->uidnext;
	ed->modseq = m->modseq + 1;
	ed->n_keywords = m->n_keywords;
	ed->n_sets = m->n_sets;
	return 0;
}

int
edit_begin(struct edit *ed, struct mailbox *m, struct err *e)
{
	struct account *a = m->account;
	int rc;

	*ed = (struct edit){ .m = m };
	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = db_begin(&a->db, e)) != 0)
		return account_db_failed(a, rc);
	if ((rc = edit_join(ed, m, e)) != 0) {
		db_rollback(&a->db);
		return account_db_failed(a, rc);
	}
	return 0;
}

int
edit_begin_some(struct edit *ed, struct mailbox *m, struct err *e)
{
	int work = PIECE_WORK, rc = mailbox_need_names(m, &work, e);

	*ed = (struct edit){ .m = m };
	return rc != 0 ? rc : edit_begin(ed, m, e);
}

bool
edit_find(const struct edit *ed, uint32_t uid, size_t *at, uint32_t *i)
{
	const struct chunk *c;
	uint32_t low = 0, high;

	if (ed->n == 0 || uid == 0)
		return false;
	*at = chunks_find(ed->v, ed->n, uid);
	c = ed->v[*at];
	high = c->n;
	if (c->n_removed != 0) {
		/* the removed have uid 0: no order to search by */
		for (*i = 0; *i < c->n; (*i)++)
			if (chunk_uid(c, *i) == uid)
				return true;
		return false;
	}
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (chunk_uid(c, mid) < uid)
			low = mid + 1;
		else
			high = mid;
	}
	*i = low;
	return low < c->n && chunk_uid(c, low) == uid;
}

/* The chunk, made this edit's own. */
static struct chunk *
own(struct edit *ed, size_t at)
{
	struct chunk *c = ed->v[at];

	if (!c->own) {
		ed->v[at] = chunk_clone(c);
		chunk_unref(&c);
	}
	ed->changed = true;
	return ed->v[at];
}

void
edit_set(struct edit *ed, size_t at, uint32_t i, uint64_t place,
    struct slice odd, uint32_t keywords)
{
	struct chunk *c = ed->v[at];
	uint32_t flags = place_flags(place);

	if (chunk_place(c, i) == place &&
	    chunk_message(c, i)->keywords == keywords && !(place & PLACE_ODD))
		return;
	c = own(ed, at);
	ed->more = true;
	ed->n_new +=
	    ((place & PLACE_NEW) != 0) - ((chunk_place(c, i) & PLACE_NEW) != 0);
	if (chunk_message(c, i)->flags != flags ||
	    chunk_message(c, i)->keywords != keywords) {
		chunk_message(c, i)->flags = flags;
		chunk_message(c, i)->keywords = keywords;
		chunk_message(c, i)->modseq = ed->modseq;
		ed->modseq_used = true;
	}
	chunk_set_place(c, i, place, odd);
}

void
edit_remove(struct edit *ed, size_t at, uint32_t i)
{
	struct edit_gone *g;
	struct chunk *c = own(ed, at);
	struct slice base = chunk_base(c, i);

	ed->more = true;
	if (ed->n_gone == ed->cap_gone) {
		ed->cap_gone = ed->cap_gone * 2 + 16;
		ed->gone = mem_realloc(ed->gone, ed->cap_gone, sizeof(*g));
	}
	g = &ed->gone[ed->n_gone++];
	*g = (struct edit_gone){ chunk_uid(c, i), slice_dup(base), base.n };
	ed->n_new -= (chunk_place(c, i) & PLACE_NEW) != 0;
	chunk_message(c, i)->uid = 0;
	c->n_removed++;
	ed->modseq_used = true;
}

/* The last chunk is full: have its messages in the one before, if they fit. */
static void
merge_tail(struct edit *ed)
{
	struct chunk *c = ed->v[ed->n - 1], *to;

	if (ed->n < 2 || ed->v[ed->n - 2]->n + c->n > CHUNK_MAX)
		return;
	to = own(ed, ed->n - 2);
	chunk_compact(to);
	for (uint32_t i = 0; i < c->n; i++)
		chunk_append(to, chunk_message(c, i), chunk_place(c, i),
		    chunk_base(c, i), chunk_odd(c, i), chunk_fixed(c, i));
	ed->merged = c->first;
	ed->n--;
	chunk_unref(&c);
}

/* The chunk that takes the next new message. */
static struct chunk *
last_chunk(struct edit *ed)
{
	struct chunk *c = ed->n != 0 ? ed->v[ed->n - 1] : NULL;

	/* one that is written anyway may as well grow */
	if (c != NULL && (c->own || c->n < TAIL_MAX)) {
		c = own(ed, ed->n - 1);
		if (c->n_removed < c->n)
			chunk_compact(c);
		if (c->n_removed == 0 && c->n < CHUNK_MAX)
			return c;
	} else if (c != NULL) {
		merge_tail(ed);
	}
	if (ed->n == ed->cap) {
		ed->cap = ed->cap * 2 + 8;
		ed->v = mem_realloc(ed->v, ed->cap, sizeof(struct chunk *));
	}
	ed->changed = true;
	return ed->v[ed->n++] = chunk_new(ed->uidnext);
}

int
edit_append(struct edit *ed, const struct file_name *name, uint32_t keywords,
    const struct fixed *fixed, uint32_t *uid, struct err *e)
{
	struct message m = { .uid = ed->uidnext,
		.flags = place_flags(name->place),
		.keywords = keywords,
		.modseq = ed->modseq };

	if (ed->uidnext == UINT32_MAX)
		return err_set(e, ERR_LIMIT, "no UID is left");
	chunk_append(
	    last_chunk(ed), &m, name->place, name->base, name->odd, fixed);
	ed->uidnext++;
	if (ed->added_from == 0)
		ed->added_from = m.uid;
	ed->modseq_used = true;
	ed->n_new += (name->place & PLACE_NEW) != 0;
	*uid = m.uid;
	return 0;
}

int
edit_append_as(struct edit *ed, const struct file_name *name,
    const struct fixed *fixed, uint32_t uid, struct err *e)
{
	uint32_t next = ed->uidnext;
	int rc;

	ed->uidnext = uid;
	rc = edit_append(ed, name, 0, fixed, &uid, e);
	if (ed->uidnext < next)
		ed->uidnext = next;
	return rc;
}

uint32_t
edit_last_uid(const struct edit *ed)
{
	const struct chunk *c = ed->n != 0 ? ed->v[ed->n - 1] : NULL;

	return c != NULL ? chunk_uid(c, c->n - 1) : 0;
}

/* --- writing -------------------------------------------------------------- */

typedef void encoder(const struct chunk *, struct buf *);

static int
put_blob(struct mailbox *m, enum db_sql which, const struct chunk *c,
    encoder *encode, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, which);
	struct buf b;
	int at = 2, rc;

	buf_init(&b, CHUNK_BLOB_MAX);
	encode(c, &b);
	db_bind_i64(s, 1, chunk_key(m, c->first));
	if (which == DB_CHUNK_PUT_STATE)
		db_bind_u64(s, at++, c->change);
	db_bind_blob(s, at, buf_slice(&b));
	rc = db_run(db, s, e);
	buf_fini(&b);
	return rc;
}

int
chunk_write_fixed(struct mailbox *m, struct chunk *c, struct err *e)
{
	return put_blob(m, DB_CHUNK_PUT_FIXED, c, chunk_encode_fixed, e);
}

int
chunk_write(struct mailbox *m, struct chunk *c, struct err *e)
{
	int rc = 0;

	if (c->dirty_body) {
		rc = chunk_write_fixed(m, c, e);
		if (rc == 0)
			rc = put_blob(
			    m, DB_CHUNK_PUT_NAMES, c, chunk_encode_names, e);
	}
	if (rc == 0)
		rc = put_blob(m, DB_CHUNK_PUT_STATE, c, chunk_encode_state, e);
	return rc;
}

static int
delete_chunk(struct edit *ed, uint32_t first, struct err *e)
{
	static const enum db_sql all[] = { DB_CHUNK_DEL_FIXED,
		DB_CHUNK_DEL_NAMES, DB_CHUNK_DEL_STATE };
	int64_t key = chunk_key(ed->m, first);

	for (size_t i = 0; i < NELEMS(all); i++) {
		sqlite3_stmt *s = db_stmt(db_of(ed), all[i]);
		int rc;

		db_bind_i64(s, 1, key);
		db_bind_i64(s, 2, key);
		if ((rc = db_run(db_of(ed), s, e)) != 0)
			return rc;
	}
	return 0;
}

static int
write_chunks(struct edit *ed, struct err *e)
{
	size_t n = 0;
	int rc = ed->merged != 0 ? delete_chunk(ed, ed->merged, e) : 0;

	for (size_t k = 0; k < ed->n && rc == 0; k++) {
		struct chunk *c = ed->v[k];

		if (c->own && c->n_removed == c->n) {
			rc = delete_chunk(ed, c->first, e);
			continue;
		}
		if (c->own) {
			chunk_compact(c);
			c->change = ed->m->change + 1;
			rc = chunk_write(ed->m, c, e);
		}
	}
	if (rc != 0)
		return rc;
	for (size_t k = 0; k < ed->n; k++) {
		if (ed->v[k]->own && ed->v[k]->n_removed == ed->v[k]->n)
			chunk_unref(&ed->v[k]);
		else
			ed->v[n++] = ed->v[k];
	}
	ed->n = n;
	return 0;
}

static int
order_gone(const void *a, const void *b)
{
	const struct edit_gone *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

/* Call fn for each range of removed UIDs. */
static int
each_range(struct edit *ed,
    int (*fn)(struct edit *, struct uid_range, struct err *), struct err *e)
{
	struct uid_range r = { 0, 0 };
	int rc = 0;

	for (size_t k = 0; k < ed->n_gone && rc == 0; k++) {
		uint32_t uid = ed->gone[k].uid;

		if (k != 0 && uid == r.last + 1) {
			r.last = uid;
			continue;
		}
		if (k != 0)
			rc = fn(ed, r, e);
		r = (struct uid_range){ uid, uid };
	}
	return rc == 0 && ed->n_gone != 0 ? fn(ed, r, e) : rc;
}

static int
put_vanished(struct edit *ed, struct uid_range r, struct err *e)
{
	return vanished_put(ed->m, ed->modseq, r, e);
}

static int
forget_cached(struct edit *ed, struct uid_range r, struct err *e)
{
	(void)e;
	cache_forget(ed->m, r.first, r.last);
	return 0;
}

int
mailbox_row_write(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_MAILBOX_UPDATE);
	int at = 1;

	db_bind_i64(s, at++, m->id);
	db_bind_i64(s, at++, m->uidvalidity);
	db_bind_i64(s, at++, m->uidnext);
	db_bind_u64(s, at++, m->modseq);
	db_bind_u64(s, at++, m->modseq_bound);
	db_bind_u64(s, at++, m->change);
	db_bind_i64(s, at++, m->recent_uid);
	db_bind_u64(s, at++, m->n_keywords);
	db_bind_u64(s, at++, m->n_sets);
	for (int d = 0; d < 2; d++) {
		const struct watched_dir *w = &m->dirs[d];

		db_bind_u64(s, at++, w->ino);
		/* 0: not to be trusted by who reads it, nor if only memory
		 * knows of twins */
		db_bind_i64(
		    s, at++, w->clean && m->n_twins == 0 ? w->mtime_ns : 0);
	}
	db_bind_i64(s, at++, m->pop3_next);
	db_bind_i64(s, at++, m->pop3_uidvalidity);
	return db_run(db, s, e);
}

/* Another mailbox or process may have noted it, but not have synced it yet:
 * the first change of each is synced. */
static int
note_change(struct mailbox *m, struct err *e)
{
	bool noted;
	int rc = account_note_change(m->account, &noted, e);

	if (rc == 0 && (!noted || !m->change_noted)) {
		mailbox_set_unsynced(m);
		m->change_noted = true;
	}
	return rc;
}

static bool
is_empty(const struct edit *ed)
{
	return !ed->changed && ed->m->n_keywords == ed->n_keywords &&
	    ed->m->n_sets == ed->n_sets;
}

int
edit_write(struct edit *ed, struct err *e)
{
	struct mailbox *m = ed->m;
	bool was_told = m->unsynced && m->unsynced_told;
	int rc;

	if (is_empty(ed))
		return 0;
	ed->written = true;
	if (ed->n_gone != 0)
		qsort(ed->gone, ed->n_gone, sizeof(*ed->gone), order_gone);
	if ((rc = write_chunks(ed, e)) != 0 ||
	    (rc = each_range(ed, put_vanished, e)) != 0 ||
	    (ed->n_gone != 0 && (rc = vanished_limit(m, e)) != 0))
		return rc;
	m->uidnext = ed->uidnext;
	m->change++;
	if (ed->modseq_used)
		m->modseq = ed->modseq;
	/* Flag commits aren't synced, so a crash may take them back; what
	 * follows starts above this bound, which must be durable itself. */
	if (m->modseq >= m->modseq_bound) {
		m->modseq_bound = m->modseq + MODSEQ_BLOCK;
		mailbox_set_unsynced(m);
	}
	if (ed->modseq_used && (rc = note_change(m, e)) != 0)
		return rc;
	m->unsynced_told = m->unsynced && (was_told || ed->more);
	return mailbox_row_write(m, e);
}

static void
edit_free(struct edit *ed)
{
	for (size_t k = 0; k < ed->n; k++)
		chunk_unref(&ed->v[k]);
	for (size_t k = 0; k < ed->n_gone; k++)
		free(ed->gone[k].base);
	free(ed->v);
	free(ed->gone);
	*ed = (struct edit){ 0 };
}

void
edit_cancel(struct edit *ed)
{
	struct mailbox *m = ed->m;

	if (ed->written) {
		m->uidnext = ed->old_uidnext;
		m->modseq = ed->old_modseq;
		m->modseq_bound = ed->old_modseq_bound;
		m->change = ed->old_change;
		m->unsynced = ed->old_unsynced;
		m->unsynced_told = ed->old_unsynced_told;
		m->unsynced_change = ed->old_unsynced_change;
		m->change_noted = ed->old_change_noted;
	}
	keywords_truncate(m, ed->n_keywords, ed->n_sets);
	edit_free(ed);
}

void
edit_abort(struct edit *ed)
{
	if (ed->m == NULL)
		return;
	db_rollback(db_of(ed));
	edit_cancel(ed);
}

/* Bring the index of names up to the new state. */
static void
update_index(struct edit *ed)
{
	struct mailbox *m = ed->m;

	if (m->index == NULL)
		return;
	for (size_t k = 0; k < ed->n_gone; k++)
		index_remove(m->index,
		    slice_of(ed->gone[k].base, ed->gone[k].n), ed->gone[k].uid);
	for (size_t k = m->head->n_chunks; k-- > 0 && ed->added_from != 0;) {
		const struct chunk *c = m->head->v[k];

		for (uint32_t i = c->n; i-- > 0;) {
			if (chunk_uid(c, i) < ed->added_from)
				return;
			index_add(m->index, chunk_base(c, i), chunk_uid(c, i));
		}
	}
}

void
edit_adopt(struct edit *ed)
{
	struct mailbox *m = ed->m;

	if (!ed->written) {
		edit_free(ed);
		return;
	}
	m->meta_dirty = false;
	for (size_t k = 0; k < ed->n; k++)
		if (ed->v[k]->own)
			ed->v[k]->own = ed->v[k]->dirty_body = false;
	view_unref(&m->head);
	m->head = view_new(ed->v, ed->n, m->uidnext, m->modseq);
	ed->v = NULL;
	ed->n = 0;
	if (m->n_new != UINT32_MAX)
		m->n_new = (uint32_t)((int64_t)m->n_new + ed->n_new);
	update_index(ed);
	(void)each_range(ed, forget_cached, NULL);
	edit_free(ed);
}

int
edit_commit(struct edit *ed, struct err *e)
{
	struct account *a = ed->m->account;
	int rc;

	if (is_empty(ed)) {
		edit_abort(ed);
		return 0;
	}
	rc = edit_write(ed, e);
	if (rc == 0)
		rc = db_commit(db_of(ed), e);
	if (rc != 0) {
		edit_abort(ed);
		return account_db_failed(a, rc);
	}
	edit_adopt(ed);
	account_log_grown(a);
	return 0;
}
