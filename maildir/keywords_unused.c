/*
 * Sets of keywords that no message has any more, and such keywords.
 *
 * Each set that messages ever had has a number, by which chunks name it, and
 * views in memory do, too.  So none can be given back while somebody has the
 * mailbox open; and over the years there may be very many.  When a mailbox has
 * just been read, and nobody has seen it yet, those that are in use are
 * numbered anew, if many aren't.
 *
 * Another process may have the mailbox open.  As long as it has the database
 * open as well the lock of that can't be had alone, and all is left for the
 * next time.  If it has closed the database, and has its views still, it finds
 * by a mark when it reads the mailbox's row again that its numbers are no
 * longer those of the database: that mailbox must be opened anew.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/account_lock.h"
#include "maildir/edit.h"
#include "maildir/import.h"
#include "maildir/keywords.h"

enum { UNUSED_MAX = 4096 }; /* sets that may be left */

struct renumbering {
	struct mailbox *m;
	bool *used; /* sets */
	size_t n_used;
	uint16_t *keyword; /* the new number of each; KEYWORD_NONE: unused */
	uint32_t *set;	   /* the same */
	struct mailbox to; /* only what keywords need */
	struct chunk **chunks;
	size_t n_chunks;
};

static void
renumbering_fini(struct renumbering *r)
{
	for (size_t k = 0; k < r->n_chunks; k++)
		chunk_unref(&r->chunks[k]);
	free(r->chunks);
	free(r->used);
	free(r->keyword);
	free(r->set);
	keywords_fini(&r->to);
}

/* Whether so many sets are unused that it is worth while. */
static bool
look_at_messages(struct renumbering *r)
{
	const struct mailbox *m = r->m;

	free(r->used);
	r->used = mem_zalloc(m->n_sets + 1, sizeof(*r->used));
	r->used[0] = true;
	r->n_used = 1;
	for (size_t k = 0; k < m->head->n_chunks; k++) {
		const struct chunk *c = m->head->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			uint32_t set = chunk_message(c, i)->keywords;

			if (set < m->n_sets && !r->used[set]) {
				r->used[set] = true;
				r->n_used++;
			}
		}
	}
	return m->n_sets - r->n_used > UNUSED_MAX;
}

static int
delete_rows(struct mailbox *m, struct err *e)
{
	static const enum db_sql all[] = { DB_GONE_KEYWORD, DB_GONE_SET };
	struct db *db = &m->account->db;
	int rc = 0;

	for (size_t k = 0; k < NELEMS(all) && rc == 0; k++) {
		sqlite3_stmt *s = db_stmt(db, all[k]);

		db_bind_i64(s, 1, chunk_key(m, 0));
		db_bind_i64(s, 3, INT64_MAX);
		rc = db_run(db, s, e);
	}
	return rc;
}

/* The order stays, so that members ascend as before. */
static int
put_keywords(struct renumbering *r, struct err *e)
{
	const struct mailbox *m = r->m;
	int rc = 0;

	r->keyword = mem_zalloc(m->n_keywords + 1, sizeof(*r->keyword));
	for (size_t s = 0; s < m->n_sets; s++)
		for (size_t i = 0; r->used[s] && i < m->sets[s].n; i++)
			if (m->sets[s].v[i] < m->n_keywords)
				r->keyword[m->sets[s].v[i]] = 1;
	for (size_t k = 0; k < m->n_keywords && rc == 0; k++)
		if (r->keyword[k] == 0)
			r->keyword[k] = KEYWORD_NONE;
		else
			rc = keyword_add(
			    &r->to, m->keywords[k], &r->keyword[k], e);
	return rc;
}

static int
put_set(struct renumbering *r, size_t set, struct err *e)
{
	const struct keyword_set *s = &r->m->sets[set];
	uint16_t *v = mem_alloc((s->n + 1) * sizeof(*v));
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i] < r->m->n_keywords)
			v[n++] = r->keyword[s->v[i]];
	if (n != 0)
		rc = keyword_set_add(&r->to, v, n, &r->set[set], e);
	free(v);
	return rc;
}

static int
put_sets(struct renumbering *r, struct err *e)
{
	int rc = 0;

	r->set = mem_zalloc(r->m->n_sets + 1, sizeof(*r->set));
	for (size_t set = 1; set < r->m->n_sets && rc == 0; set++)
		if (r->used[set])
			rc = put_set(r, set, e);
	return rc;
}

static uint32_t
new_set(const struct renumbering *r, uint32_t set)
{
	return set < r->m->n_sets ? r->set[set] : 0;
}

/* A chunk as it is to be: another one, which is written, if a number in it
 * changes. */
static int
put_chunk(struct renumbering *r, struct chunk *c, struct err *e)
{
	struct chunk *own;
	uint32_t i = 0;

	while (i < c->n &&
	    new_set(r, chunk_message(c, i)->keywords) ==
		chunk_message(c, i)->keywords)
		i++;
	own = i == c->n ? chunk_ref(c) : chunk_clone(c);
	r->chunks[r->n_chunks++] = own;
	if (own == c)
		return 0;
	for (; i < own->n; i++)
		chunk_message(own, i)->keywords =
		    new_set(r, chunk_message(own, i)->keywords);
	own->change = r->m->change + 1;
	own->own = false;
	return chunk_write(r->m, own, e);
}

static int
put_chunks(struct renumbering *r, struct err *e)
{
	const struct view *v = r->m->head;
	int rc = 0;

	r->chunks = mem_alloc((v->n_chunks + 1) * sizeof(struct chunk *));
	for (size_t k = 0; k < v->n_chunks && rc == 0; k++)
		rc = put_chunk(r, v->v[k], e);
	return rc;
}

/* What the mailbox has is that of the other, and the other way round. */
static void
exchange(struct mailbox *m, struct mailbox *to)
{
	struct mailbox was = { .keywords = m->keywords,
		.n_keywords = m->n_keywords,
		.sets = m->sets,
		.n_sets = m->n_sets,
		.set_numbers = m->set_numbers,
		.n_numbers = m->n_numbers,
		.numbered = m->numbered };

	m->keywords = to->keywords;
	m->n_keywords = to->n_keywords;
	m->sets = to->sets;
	m->n_sets = to->n_sets;
	m->set_numbers = to->set_numbers;
	m->n_numbers = to->n_numbers;
	m->numbered = to->numbered;
	to->keywords = was.keywords;
	to->n_keywords = was.n_keywords;
	to->sets = was.sets;
	to->n_sets = was.n_sets;
	to->set_numbers = was.set_numbers;
	to->n_numbers = was.n_numbers;
	to->numbered = was.numbered;
}

static int
commit(struct renumbering *r, struct err *e)
{
	struct mailbox *m = r->m;
	struct account *a = m->account;
	int rc;

	r->to.numbered = m->numbered + 1;
	exchange(m, &r->to);
	m->change++;
	rc = mailbox_row_write(m, e);
	if (rc == 0)
		rc = import_mark_set(a, m->id, MARK_NUMBERED, m->numbered, e);
	if (rc == 0)
		rc = db_commit(&a->db, e);
	if (rc != 0) {
		exchange(m, &r->to);
		m->change--;
		return rc;
	}
	view_unref(&m->head);
	m->head = view_new(r->chunks, r->n_chunks, m->uidnext, m->modseq);
	r->chunks = NULL;
	r->n_chunks = 0;
	return 0;
}

static int
put_all(struct renumbering *r, struct err *e)
{
	int rc = delete_rows(r->m, e);

	if (rc == 0)
		rc = keywords_load(&r->to, 0, 0, e);
	if (rc == 0)
		rc = put_keywords(r, e);
	if (rc == 0)
		rc = put_sets(r, e);
	if (rc == 0)
		rc = put_chunks(r, e);
	return rc == 0 ? commit(r, e) : rc;
}

/* All in one transaction, alone with the database.  If it can't be written all
 * is as before. */
static int
renumber(struct renumbering *r, struct err *e)
{
	struct mailbox *m = r->m;
	struct db *db = &m->account->db;
	struct err why = { 0 };
	size_t n = m->n_sets;
	int rc, written;

	if (db_begin(db, NULL) != 0)
		return 0;
	/* others may have changed it since it was read */
	rc = mailbox_reload(m, e);
	if (rc != 0 || !look_at_messages(r)) {
		db_rollback(db);
		return rc;
	}
	if ((written = put_all(r, &why)) != 0) {
		db_rollback(db);
		log_warn("maildir: sets of keywords stay path=%s mailbox=%s: "
			 "%s",
		    m->account->path, m->name,
		    why.text[0] != '\0' ? why.text : err_name(written));
		return 0;
	}
	account_log_grown(m->account);
	log_debug("maildir: sets of keywords given back path=%s mailbox=%s "
		  "n=%zu",
	    m->account->path, m->name, n - m->n_sets);
	return 0;
}

int
keywords_drop_unused(struct mailbox *m, struct err *e)
{
	struct account *a = m->account;
	struct renumbering r = { .m = m, .to = { .account = a, .id = m->id } };
	int rc = 0;

	assert(m->head != NULL && m->shown == NULL);
	if (m->n_sets <= UNUSED_MAX)
		return 0;
	if (look_at_messages(&r) &&
	    account_lock(a, ACCOUNT_LOCK_OPEN, F_WRLCK) == 0) {
		rc = renumber(&r, e);
		if (account_lock(a, ACCOUNT_LOCK_OPEN, F_RDLCK) < 0 && rc == 0)
			rc = err_sys(e, "lock the database");
	}
	renumbering_fini(&r);
	/* ERR_BUSY, or room made on a full disk: who opens it tries again, and
	 * reads it anew, as after a load that fails, which finds no head */
	if (rc != 0)
		view_unref(&m->head);
	return rc;
}
