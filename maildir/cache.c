/*
 * postern.cache: what was computed from messages.
 *
 * Nothing in it is needed, nothing is synced, and all of it may be thrown
 * away.  So it is written without a journal that would outlive a crash, and
 * each row carries a sum instead; the sum also says which postern.db and
 * which UIDVALIDITY the row belongs to.
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
#include <sys/queue.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/cache_row.h"
#include "maildir/edit.h"

enum {
	GROUP_BITS = 6, /* UIDs of a row */
	GROUP = CACHE_ROW_ENTRIES,
	KIND_BITS = 5,
	NEXT_KEY = 1 << KIND_BITS, /* to the row of the next UIDs */
	AHEAD = 8,		   /* rows read together */
	POOL_BYTES = 4 * 1024 * 1024,
	DIRTY_BYTES = 2 * 1024 * 1024, /* then they are written */
	POOL_BUCKETS = 256,
	SUM_BYTES = 8,
};

_Static_assert(CACHE_N_KINDS <= 1 << KIND_BITS, "kinds have their bits");
_Static_assert(GROUP == 1 << GROUP_BITS, "a row is so many UIDs");

struct cache_group {
	struct cache_group *next; /* of the bucket */
	struct account *account;
	int64_t key;
	uint64_t salt; /* of the sum: where the row belongs */
	TAILQ_ENTRY(cache_group) use;
	bool dirty;
	struct cache_row row;
};

struct cache_pool {
	struct cache_group *buckets[POOL_BUCKETS];
	struct cache_group *last[CACHE_N_KINDS]; /* used last */
	TAILQ_HEAD(, cache_group) by_use;	 /* longest ago first */
	size_t bytes, dirty;
};

struct cache_pool *
cache_pool_new(void)
{
	struct cache_pool *p = MEM_NEW(struct cache_pool);

	TAILQ_INIT(&p->by_use);
	return p;
}

void
cache_pool_free(struct cache_pool **p)
{
	free(*p);
	*p = NULL;
}

/* --- keys ----------------------------------------------------------------- */

static int64_t
key_of(int64_t mailbox, uint32_t uid, enum cache_kind kind)
{
	uint64_t key = (uint64_t)mailbox << (32 - GROUP_BITS + KIND_BITS);

	key |= (uint64_t)(uid >> GROUP_BITS) << KIND_BITS;
	return (int64_t)(key | (uint64_t)kind);
}

static size_t
kind_of(const struct cache_group *g)
{
	return (size_t)g->key & ((1U << KIND_BITS) - 1);
}

static size_t
bucket_of(const struct account *a, int64_t key)
{
	uint64_t h = (uint64_t)key ^ (uint64_t)(uintptr_t)a >> 4;

	return (size_t)(h * 0x9e3779b97f4a7c15u >> 32) % POOL_BUCKETS;
}

/* --- groups in memory ----------------------------------------------------- */

static size_t
cost_of(const struct cache_group *g)
{
	return sizeof(*g) + g->row.bytes.cap;
}

/* Drop the group that *at points to. */
static void
drop_group(struct cache_pool *p, struct cache_group **at)
{
	struct cache_group *g = *at;

	*at = g->next;
	TAILQ_REMOVE(&p->by_use, g, use);
	p->bytes -= cost_of(g);
	if (g->dirty)
		p->dirty -= g->row.live;
	if (p->last[kind_of(g)] == g)
		p->last[kind_of(g)] = NULL;
	cache_row_fini(&g->row);
	free(g);
}

/* Drop an account's groups with keys from first to last. */
static void
drop_groups(struct account *a, int64_t first, int64_t last)
{
	struct cache_pool *p = a->store->cache_pool;

	for (size_t i = 0; i < POOL_BUCKETS; i++) {
		struct cache_group **at = &p->buckets[i];

		while (*at != NULL) {
			struct cache_group *g = *at;

			if (g->account == a && g->key >= first &&
			    g->key <= last)
				drop_group(p, at);
			else
				at = &g->next;
		}
	}
}

/* No key is known to be missing. */
static void
forget_hole(struct account *a)
{
	a->cache_hole_first = 0;
	a->cache_hole_last = -1;
}

void
cache_close(struct account *a)
{
	drop_groups(a, INT64_MIN, INT64_MAX);
	forget_hole(a);
	if (a->cache.h != NULL)
		db_close(&a->cache);
}

/* Throw it away; the next use makes a new one. */
static void
discard(struct account *a)
{
	static const char *const files[] = { CACHE_NAME, CACHE_NAME "-wal",
		CACHE_NAME "-shm", CACHE_NAME "-journal" };

	cache_close(a);
	for (size_t i = 0; i < NELEMS(files); i++)
		if (fsx_unlink(a->root_fd, files[i]) < 0)
			continue;
}

bool
cache_discard(struct account *a)
{
	struct stat st;
	bool was = fsx_stat(a->root_fd, CACHE_NAME, &st) == 0;

	discard(a);
	return was;
}

/* --- the file ------------------------------------------------------------- */

static int
check_identity(struct account *a, struct err *e)
{
	int64_t identity = 0;
	int rc = db_cache_schema(&a->cache, e);

	if (rc != 0 ||
	    (rc = db_meta_get(&a->cache, "identity", &identity, e)) < 0)
		return rc;
	if (rc == 1 && identity == (int64_t)a->identity)
		return 0;
	if ((rc = db_exec(&a->cache, "DELETE FROM cached", e)) != 0)
		return rc;
	return db_meta_set(&a->cache, "identity", (int64_t)a->identity, e);
}

static int
open_cache(struct account *a, struct err *e)
{
	char *dir = fsx_real_path(a->path);
	char *path = mem_printf("%s/" CACHE_NAME, dir);
	int rc = db_open(&a->cache, path, a->remote, true, e);

	free(dir);
	free(path);
	if (rc == 0 && (rc = check_identity(a, e)) != 0)
		db_close(&a->cache);
	return rc;
}

/* Whether the cache can be used now. */
static bool
is_open(struct account *a)
{
	struct err e = { 0 };
	int rc;

	if (a->cache.h != NULL)
		return true;
	if (a->cache_failed || (a->db.h == NULL && account_open(a, &e) != 0))
		return false;
	rc = open_cache(a, &e);
	if (rc == ERR_DAMAGED) {
		discard(a);
		rc = open_cache(a, &e);
	}
	if (rc == 0)
		return true;
	if (rc != ERR_BUSY) {
		log_warn("maildir: no cache path=%s: %s", a->path, e.text);
		a->cache_failed = true;
	}
	return false;
}

/*
 * A row isn't there.  When messages are read for the first time none is up to
 * the next mailbox, and asking for each would cost more than computing some
 * that another process writes meanwhile.
 */
static void
note_hole(struct account *a, int64_t key)
{
	sqlite3_stmt *s = db_stmt(&a->cache, DB_CACHE_NEXT);
	int rc;

	db_bind_i64(s, 1, key);
	rc = db_step(&a->cache, s, NULL);
	if (rc < 0)
		return;
	a->cache_hole_first = key;
	a->cache_hole_last = INT64_MAX;
	if (rc == 1) {
		a->cache_hole_last = sqlite3_column_int64(s, 0) - 1;
		(void)sqlite3_reset(s);
	}
}

/* 1: it is there; 0, ERR_*: not. */
static int
read_row(struct cache_group *g)
{
	struct account *a = g->account;
	sqlite3_stmt *s = db_stmt(&a->cache, DB_CACHE_GET);
	int rc;

	db_bind_i64(s, 1, g->key);
	rc = db_step(&a->cache, s, NULL);
	if (rc == 1) {
		cache_row_unpack(&g->row, db_column_blob(s, 0), g->salt);
		(void)sqlite3_reset(s);
	}
	return rc;
}

/*
 * Read groups of one account, with the locks of the file taken once; how many
 * are to be kept: the first one, and those behind it that are there.
 */
static size_t
read_groups(struct cache_group *const *g, size_t n)
{
	struct account *a = g[0]->account;
	size_t k = 0;
	int rc = 1;

	if (!is_open(a) ||
	    (g[0]->key >= a->cache_hole_first &&
		g[0]->key <= a->cache_hole_last))
		return 1;
	if (n > 1 &&
	    (rc = db_run(&a->cache, db_stmt(&a->cache, DB_BEGIN_READ), NULL)) ==
		0) {
		a->cache.in_txn = true;
		rc = 1;
	}
	while (k < n && rc == 1)
		if ((rc = read_row(g[k])) == 1)
			k++;
	if (k == 0 && rc == 0)
		note_hole(a, g[0]->key);
	db_rollback(&a->cache);
	if (rc == ERR_DAMAGED) {
		/* they are not in the pool yet: this leaves them alone */
		discard(a);
	}
	return k != 0 ? k : 1;
}

static int
write_dirty(struct account *a, struct buf *row)
{
	struct cache_pool *p = a->store->cache_pool;
	int rc = 0;

	for (size_t i = 0; i < POOL_BUCKETS && rc == 0; i++)
		for (struct cache_group *g = p->buckets[i];
		     g != NULL && rc == 0; g = g->next) {
			sqlite3_stmt *s;

			if (g->account != a || !g->dirty)
				continue;
			cache_row_pack(&g->row, g->salt, row);
			s = db_stmt(&a->cache, DB_CACHE_PUT);
			db_bind_i64(s, 1, g->key);
			db_bind_blob(s, 2, buf_slice(row));
			rc = db_run(&a->cache, s, NULL);
		}
	return rc;
}

/* What could not be written is not tried again. */
static void
mark_clean(struct account *a)
{
	struct cache_pool *p = a->store->cache_pool;

	for (size_t i = 0; i < POOL_BUCKETS; i++)
		for (struct cache_group *g = p->buckets[i]; g != NULL;
		     g = g->next)
			if (g->account == a && g->dirty) {
				p->dirty -= g->row.live;
				g->dirty = false;
			}
}

void
cache_flush(struct account *a)
{
	struct buf row;
	int rc = 0;

	if (!a->cache_dirty)
		return;
	a->cache_dirty = false;
	forget_hole(a);
	if (is_open(a) && (rc = db_begin(&a->cache, NULL)) == 0) {
		buf_init(&row, CACHE_ROW_PACKED_MAX);
		rc = write_dirty(a, &row);
		buf_fini(&row);
		if (rc == 0)
			rc = db_commit(&a->cache, NULL);
		else
			db_rollback(&a->cache);
	}
	mark_clean(a);
	/* ERR_SPACE: it has grown to its limit, or the disk is full */
	if (rc == ERR_DAMAGED || rc == ERR_SPACE)
		discard(a);
}

/* --- the pool ------------------------------------------------------------- */

/* Make room for so many bytes by dropping what was used longest ago. */
static void
make_room(struct cache_pool *p, size_t bytes)
{
	struct cache_group *oldest;

	while (p->bytes + bytes > POOL_BYTES &&
	    (oldest = TAILQ_FIRST(&p->by_use)) != NULL) {
		struct cache_group **at;

		if (oldest->dirty) {
			/* may drop groups: look again */
			cache_flush(oldest->account);
			continue;
		}
		at = &p->buckets[bucket_of(oldest->account, oldest->key)];
		while (*at != oldest)
			at = &(*at)->next;
		drop_group(p, at);
	}
}

static struct cache_group *
find_group(struct cache_pool *p, const struct account *a, int64_t key)
{
	struct cache_group *g = p->last[key & ((1 << KIND_BITS) - 1)];

	if (g != NULL && g->key == key && g->account == a)
		return g;
	for (g = p->buckets[bucket_of(a, key)]; g != NULL; g = g->next)
		if (g->key == key && g->account == a)
			return g;
	return NULL;
}

static uint64_t
salt_of(const struct mailbox *m, int64_t key)
{
	return ((uint64_t)key ^ m->account->identity) * 0x9e3779b97f4a7c15u ^
	    m->uidvalidity;
}

static struct cache_group *
group_new(const struct mailbox *m, int64_t key)
{
	struct cache_group *g = MEM_NEW(struct cache_group);

	g->account = m->account;
	g->key = key;
	g->salt = salt_of(m, key);
	cache_row_init(&g->row);
	return g;
}

static void
group_free(struct cache_group *g)
{
	cache_row_fini(&g->row);
	free(g);
}

static void
pool_insert(struct cache_pool *p, struct cache_group *g)
{
	struct cache_group **bucket =
	    &p->buckets[bucket_of(g->account, g->key)];

	make_room(p, cost_of(g));
	p->bytes += cost_of(g);
	g->next = *bucket;
	*bucket = g;
	TAILQ_INSERT_TAIL(&p->by_use, g, use);
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
		g[n] = group_new(m, key);
		n++;
		key += NEXT_KEY;
	} while (in_turn && n < AHEAD && key <= last &&
	    find_group(p, m->account, key) == NULL);
	kept = read_groups(g, n);
	while (n > kept)
		group_free(g[--n]);
	/* the one that is wanted at last, so that no other drives it out */
	while (n > 0)
		pool_insert(p, g[--n]);
	return g[0];
}

/* The group of a message, from memory or the file; made if it isn't there. */
static struct cache_group *
get_group(struct mailbox *m, uint32_t uid, enum cache_kind kind)
{
	struct account *a = m->account;
	struct cache_pool *p = a->store->cache_pool;
	int64_t key = key_of(m->id, uid, kind);
	struct cache_group *g = find_group(p, a, key);

	if (g != NULL && g->salt != salt_of(m, key)) {
		drop_groups(a, key, key); /* the UIDs were given anew */
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
	cost = cost_of(g);
	live = g->dirty ? g->row.live : 0;
	if (!cache_row_put(&g->row, uid % GROUP, bytes))
		return;
	p->bytes += cost_of(g) - cost;
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
	if (m->gone || !is_open(a))
		return false;
	s = db_stmt(&a->cache, DB_CACHE_GET);
	db_bind_i64(s, 1, key);
	rc = db_step(&a->cache, s, NULL);
	if (rc == 1) {
		v = db_column_blob(s, 0);
		ok = v.n >= SUM_BYTES &&
		    (blob_sum(slice_first(v, v.n - SUM_BYTES)) ^
			salt_of(m, key)) ==
			le_get(v.p + v.n - SUM_BYTES, SUM_BYTES);
		if (ok)
			buf_put(out, slice_first(v, v.n - SUM_BYTES));
		(void)sqlite3_reset(s);
	} else if (rc == ERR_DAMAGED) {
		discard(a);
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
	if (m->gone || !is_open(a))
		return;
	buf_init(&v, bytes.n + SUM_BYTES);
	buf_put(&v, bytes);
	le_put(&v, blob_sum(bytes) ^ salt_of(m, key), SUM_BYTES);
	forget_hole(a);
	s = db_stmt(&a->cache, DB_CACHE_PUT);
	db_bind_i64(s, 1, key);
	db_bind_blob(s, 2, buf_slice(&v));
	rc = db_run(&a->cache, s, NULL);
	buf_fini(&v);
	if (rc == ERR_DAMAGED || rc == ERR_SPACE)
		discard(a);
}

/* --- forgetting ----------------------------------------------------------- */

static void
forget_rows(struct account *a, int64_t first, int64_t last)
{
	sqlite3_stmt *s;

	drop_groups(a, first, last);
	if (!is_open(a))
		return;
	s = db_stmt(&a->cache, DB_CACHE_DEL);
	db_bind_i64(s, 1, first);
	db_bind_i64(s, 2, last);
	/* What stays by a failure is never asked for again. */
	if (db_run(&a->cache, s, NULL) == ERR_DAMAGED)
		discard(a);
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
	drop_groups(a, key_of(id, 0, 0), last_key_of(id));
}

unsigned
cache_sweep(struct account *a, int64_t id, unsigned n)
{
	sqlite3_stmt *s;
	int rc;

	if (!is_open(a))
		return 0;
	s = db_stmt(&a->cache, DB_CACHE_SWEEP);
	db_bind_i64(s, 1, key_of(id, 0, 0));
	db_bind_i64(s, 2, last_key_of(id));
	db_bind_i64(s, 3, n);
	rc = db_run(&a->cache, s, NULL);
	if (rc == ERR_DAMAGED)
		discard(a);
	/* What stays by a failure is never asked for again. */
	return rc == 0 ? (unsigned)sqlite3_changes(a->cache.h) : 0;
}
