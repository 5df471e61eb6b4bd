/*
 * postern.cache: what was computed from messages.
 *
 * Nothing in it is needed, nothing is synced, and all of it may be thrown
 * away.  So it is written without a journal that would outlive a crash, and
 * each row carries a sum instead; the sum also says which postern.db,
 * which UIDVALIDITY and which way of computing (CACHE_REVISION) the row belongs
 * to.
 *
 * A row holds one kind of thing for the messages of GROUP neighbouring UIDs:
 * a search through a column of 100 000 messages reads 1563 rows.  Of the rows
 * used last some are kept unpacked in memory, for all accounts of the store
 * together and never more than POOL_BYTES: what a session costs does not
 * depend on what it asks for.  New entries go into these groups, and groups
 * are written many at a time.
 *
 * Two processes that fill the same group at once lose entries to each other;
 * they will be computed again.
 */
#include "base/le.h"
#include "maildir/blob.h"
#include "maildir/cache_impl.h"

enum {
	AHEAD = 8,		       /* rows read together */
	DIRTY_BYTES = 2 * 1024 * 1024, /* then they are written */
	SUM_BYTES = 8,
};

static int64_t
key_of(int64_t mailbox, uint32_t uid, enum cache_kind kind)
{
	uint64_t key = (uint64_t)mailbox << (32 - GROUP_BITS + KIND_BITS);

	key |= (uint64_t)(uid >> GROUP_BITS) << KIND_BITS;
	return (int64_t)(key | (uint64_t)kind);
}

/*
 * Make a group that isn't in memory, with what the file has of it.  Whoever
 * has just used the group before it will want those behind it, too.
 */
static struct cache_group *
load_group(struct mailbox *m, int64_t key, enum cache_kind kind)
{
	struct cache_pool *p = m->account->store->cache_pool;
	const struct cache_group *before = p->last[kind];
	bool in_turn = before != NULL && before->account == m->account &&
	    before->key == key - NEXT_KEY;
	struct cache_group *g[AHEAD];
	int64_t last = key_of(m->id, m->uidnext, kind);
	size_t n = 0, kept;

	do {
		g[n] = cache_group_new(m, key);
		n++;
		key += NEXT_KEY;
	} while (in_turn && n < AHEAD && key <= last &&
	    cache_pool_find(p, m->account, key) == NULL);
	kept = cache_read_groups(g, n);
	while (n > kept)
		cache_group_free(g[--n]);
	/* the one that is wanted at last, so that no other drives it out */
	while (n > 0)
		cache_pool_insert(p, g[--n]);
	return g[0];
}

/* The group of a message, from memory or the file; made if it isn't there. */
static struct cache_group *
get_group(struct mailbox *m, uint32_t uid, enum cache_kind kind)
{
	struct account *a = m->account;
	struct cache_pool *p = a->store->cache_pool;
	int64_t key = key_of(m->id, uid, kind);
	struct cache_group *g = cache_pool_find(p, a, key);

	if (g != NULL && g->salt != cache_salt(m, key)) {
		cache_pool_drop(a, key, key); /* the UIDs were given anew */
		g = NULL;
	}
	if (g == NULL) {
		g = load_group(m, key, kind);
	} else if (p->last[kind] != g) {
		TAILQ_REMOVE(&p->by_use, g, use);
		TAILQ_INSERT_TAIL(&p->by_use, g, use);
	}
	p->last[kind] = g;
	return g;
}

bool
mailbox_cache_get(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice *out)
{
	const struct cache_group *g;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone)
		return false;
	g = get_group(m, uid, kind);
	return cache_row_get(&g->row, uid % GROUP, out);
}

void
mailbox_cache_put(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice bytes)
{
	struct account *a = m->account;
	struct cache_pool *p = a->store->cache_pool;
	struct cache_group *g;
	size_t cost, live;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone)
		return;
	g = get_group(m, uid, kind);
	cost = cache_group_cost(g);
	live = g->dirty ? g->row.live : 0;
	if (!cache_row_put(&g->row, uid % GROUP, bytes))
		return;
	p->bytes += cache_group_cost(g) - cost;
	p->dirty += g->row.live - live;
	g->dirty = a->cache_dirty = true;
	if (p->dirty > DIRTY_BYTES)
		cache_flush(a);
}

/* --- one value for a mailbox ---------------------------------------------- */

/*
 * They stand where the rows of the lowest UIDs do, and may go with them.  They
 * are not kept in memory.
 */
bool
mailbox_cache_get_whole(
    struct mailbox *m, enum cache_kind kind, struct buf *out)
{
	struct account *a = m->account;
	int64_t key = key_of(m->id, 0, kind);
	sqlite3_stmt *s;
	struct slice v;
	bool ok = false;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone || !cache_is_open(a))
		return false;
	s = db_stmt(&a->cache, DB_CACHE_GET);
	db_bind_i64(s, 1, key);
	rc = db_step(&a->cache, s, NULL);
	if (rc == 1) {
		v = db_column_blob(s, 0);
		ok = v.n >= SUM_BYTES &&
		    (blob_sum(slice_first(v, v.n - SUM_BYTES)) ^
			cache_salt(m, key)) ==
			le_get(v.p + v.n - SUM_BYTES, SUM_BYTES);
		if (ok)
			buf_put(out, slice_first(v, v.n - SUM_BYTES));
		(void)sqlite3_reset(s);
	} else if (rc == ERR_DAMAGED) {
		cache_begin_anew(a);
	}
	return ok && buf_ok(out);
}

void
mailbox_cache_put_whole(
    struct mailbox *m, enum cache_kind kind, struct slice bytes)
{
	struct account *a = m->account;
	int64_t key = key_of(m->id, 0, kind);
	sqlite3_stmt *s;
	struct buf v;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone || !cache_is_open(a))
		return;
	buf_init(&v, bytes.n + SUM_BYTES);
	buf_put(&v, bytes);
	le_put(&v, blob_sum(bytes) ^ cache_salt(m, key), SUM_BYTES);
	cache_forget_hole(a);
	s = db_stmt(&a->cache, DB_CACHE_PUT);
	db_bind_i64(s, 1, key);
	db_bind_blob(s, 2, buf_slice(&v));
	rc = db_run(&a->cache, s, NULL);
	buf_fini(&v);
	if (rc == ERR_DAMAGED || rc == ERR_SPACE)
		cache_begin_anew(a);
}

/* --- forgetting ----------------------------------------------------------- */

static void
forget_rows(struct account *a, int64_t first, int64_t last)
{
	sqlite3_stmt *s;

	cache_pool_drop(a, first, last);
	if (!cache_is_open(a))
		return;
	s = db_stmt(&a->cache, DB_CACHE_DEL);
	db_bind_i64(s, 1, first);
	db_bind_i64(s, 2, last);
	/* What stays by a failure is never asked for again. */
	if (db_run(&a->cache, s, NULL) == ERR_DAMAGED)
		cache_begin_anew(a);
}

/* Whether a message is left among the UIDs of a group. */
static bool
in_use(const struct mailbox *m, uint32_t uid)
{
	uint32_t first = uid & ~(uint32_t)(GROUP - 1), seq;

	if (m->head == NULL)
		return false;
	seq = view_lower_bound(m->head, first);
	return seq <= view_count(m->head) &&
	    view_get(m->head, seq)->uid - first < GROUP;
}

/*
 * Rows without a message go.  A row that others still need keeps what it has
 * of those that went: their UIDs are never asked for again.
 */
void
cache_forget(struct mailbox *m, uint32_t first, uint32_t last)
{
	if (in_use(m, first)) {
		if (first >> GROUP_BITS == last >> GROUP_BITS)
			return;
		first = (first | (GROUP - 1)) + 1;
	}
	if (in_use(m, last)) {
		last &= ~(uint32_t)(GROUP - 1);
		if (last-- <= first)
			return;
	}
	forget_rows(m->account, key_of(m->id, first, 0),
	    key_of(m->id, last, (enum cache_kind)((1 << KIND_BITS) - 1)));
}

static int64_t
last_key_of(int64_t id)
{
	return key_of(id, UINT32_MAX, (enum cache_kind)((1 << KIND_BITS) - 1));
}

void
cache_forget_mailbox(struct account *a, int64_t id)
{
	cache_pool_drop(a, key_of(id, 0, 0), last_key_of(id));
}

unsigned
cache_sweep(struct account *a, int64_t id, unsigned n)
{
	sqlite3_stmt *s;
	int rc;

	if (!cache_is_open(a))
		return 0;
	s = db_stmt(&a->cache, DB_CACHE_SWEEP);
	db_bind_i64(s, 1, key_of(id, 0, 0));
	db_bind_i64(s, 2, last_key_of(id));
	db_bind_i64(s, 3, n);
	rc = db_run(&a->cache, s, NULL);
	if (rc == ERR_DAMAGED)
		cache_begin_anew(a);
	/* What stays by a failure is never asked for again. */
	return rc == 0 ? (unsigned)sqlite3_changes(a->cache.h) : 0;
}
