/*
 * postern.cache: what was computed from messages.
 *
 * Nothing in it is needed, nothing is synced, and all of it may be thrown
 * away.  Each entry carries a sum, since after a power loss pages of it may be
 * from different times; and the whole belongs to one postern.db, by a random
 * number, since mailbox ids begin anew in another one.
 *
 * Entries wait in memory and are written many at a time.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/edit.h"

enum {
	QUEUE_MAX = 128,
	QUEUE_BYTES = 256 * 1024,
	ENTRY_MAX = 1024 * 1024,
	SUM = 8,
};

static uint64_t
sum_of(uint64_t key, enum cache_kind kind, struct slice bytes)
{
	return blob_sum(bytes) ^ (key * 0x9e3779b97f4a7c15u) ^
	    (uint64_t)kind << 56;
}

static void
drop_queue(struct account *a)
{
	a->n_cache_queue = 0;
	buf_reset(&a->cache_bytes);
}

void
cache_close(struct account *a)
{
	drop_queue(a);
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
	if ((rc = db_exec(&a->cache, "DELETE FROM cache", e)) != 0)
		return rc;
	return db_meta_set(&a->cache, "identity", (int64_t)a->identity, e);
}

static int
open_cache(struct account *a, struct err *e)
{
	char *dir = realpath(a->path, NULL);
	char *path = mem_printf("%s/" CACHE_NAME, dir != NULL ? dir : a->path);
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
	if (a->cache_failed || a->db.h == NULL)
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

static const struct cache_entry *
find_queued(const struct account *a, uint64_t key, enum cache_kind kind)
{
	for (size_t i = a->n_cache_queue; i-- > 0;)
		if (a->cache_queue[i].key == key &&
		    a->cache_queue[i].kind == kind)
			return &a->cache_queue[i];
	return NULL;
}

static bool
get_stored(
    struct account *a, uint64_t key, enum cache_kind kind, struct buf *out)
{
	sqlite3_stmt *s = db_stmt(&a->cache, DB_CACHE_GET);
	struct slice blob;
	bool found = false;
	int rc;

	db_bind_u64(s, 1, key);
	db_bind_i64(s, 2, kind);
	rc = db_step(&a->cache, s, NULL);
	if (rc == 1) {
		blob = db_column_blob(s, 0);
		if (blob.n >= SUM) {
			blob.n -= SUM;
			found = le_get(blob.p + blob.n, SUM) ==
			    sum_of(key, kind, blob);
		}
		if (found)
			buf_put(out, blob);
		(void)sqlite3_reset(s);
	} else if (rc == ERR_DAMAGED) {
		discard(a);
	}
	return found && buf_ok(out);
}

bool
mailbox_cache_get(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct buf *out)
{
	struct account *a = m->account;
	uint64_t key = (uint64_t)chunk_key(m, uid);
	const struct cache_entry *q;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone)
		return false;
	if ((q = find_queued(a, key, kind)) != NULL) {
		buf_put(
		    out, slice_of(buf_slice(&a->cache_bytes).p + q->at, q->n));
		return buf_ok(out);
	}
	return is_open(a) && get_stored(a, key, kind, out);
}

void
mailbox_cache_put(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice bytes)
{
	struct account *a = m->account;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->gone || bytes.n > ENTRY_MAX)
		return;
	if (a->n_cache_queue == QUEUE_MAX ||
	    buf_len(&a->cache_bytes) + bytes.n > QUEUE_BYTES)
		cache_flush(a);
	if (a->cache_queue == NULL)
		a->cache_queue = mem_alloc(QUEUE_MAX * sizeof(*a->cache_queue));
	a->cache_queue[a->n_cache_queue++] =
	    (struct cache_entry){ (uint64_t)chunk_key(m, uid), kind,
		    buf_len(&a->cache_bytes), bytes.n };
	buf_put(&a->cache_bytes, bytes);
}

static int
put_stored(struct account *a, const struct cache_entry *q, struct buf *b)
{
	sqlite3_stmt *s = db_stmt(&a->cache, DB_CACHE_PUT);
	struct slice bytes =
	    slice_of(buf_slice(&a->cache_bytes).p + q->at, q->n);

	buf_reset(b);
	buf_put(b, bytes);
	le_put(b, sum_of(q->key, q->kind, bytes), SUM);
	db_bind_u64(s, 1, q->key);
	db_bind_i64(s, 2, q->kind);
	db_bind_blob(s, 3, buf_slice(b));
	return db_run(&a->cache, s, NULL);
}

void
cache_flush(struct account *a)
{
	struct buf b;
	int rc = 0;

	if (a->n_cache_queue == 0)
		return;
	if (!is_open(a) || (rc = db_begin(&a->cache, NULL)) != 0)
		goto out;
	buf_init(&b, ENTRY_MAX + SUM);
	for (size_t i = 0; i < a->n_cache_queue && rc == 0; i++)
		rc = put_stored(a, &a->cache_queue[i], &b);
	buf_fini(&b);
	if (rc == 0)
		rc = db_commit(&a->cache, NULL);
	else
		db_rollback(&a->cache);
out:
	drop_queue(a);
	if (rc == ERR_DAMAGED)
		discard(a);
}

void
cache_forget(struct mailbox *m, uint32_t first, uint32_t last)
{
	struct account *a = m->account;
	sqlite3_stmt *s;

	if (a->n_cache_queue != 0)
		cache_flush(a);
	if (!is_open(a))
		return;
	s = db_stmt(&a->cache, DB_CACHE_DEL);
	db_bind_i64(s, 1, chunk_key(m, first));
	db_bind_i64(s, 2, chunk_key(m, last));
	/* What stays by a failure is never asked for again. */
	if (db_run(&a->cache, s, NULL) == ERR_DAMAGED)
		discard(a);
}
