/* The file of a cache, and what goes between it and memory. */
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/cache_impl.h"

enum { OPEN_TRIES = 5 };

void
cache_forget_hole(struct account *a)
{
	a->cache_hole_first = 0;
	a->cache_hole_last = -1;
}

void
cache_close(struct account *a)
{
	cache_pool_drop(a, INT64_MIN, INT64_MAX);
	cache_forget_hole(a);
	if (a->cache.h != NULL)
		db_close(&a->cache);
}

void
cache_begin_anew(struct account *a)
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

	cache_begin_anew(a);
	return was;
}

/*
 * What was computed for another database, or otherwise (CACHE_REVISION), is of
 * no use any more.  Its file isn't emptied, which would take as long as it is
 * large, but left to whoever has it open: a server of another version, say.
 * Whatever such a one writes into a file that is open here, no sum of ours fits
 * it (cache_salt()), nor one of theirs what is written here.
 */
static int
check_identity(struct account *a, struct err *e)
{
	int64_t mine = (int64_t)cache_identity(a), identity;
	int rc = db_cache_schema(&a->cache, e);

	if (rc != 0 ||
	    (rc = db_meta_get(&a->cache, "identity", &identity, e)) < 0)
		return rc;
	if (rc == 0)
		return db_meta_set(&a->cache, "identity", mine, e);
	return identity == mine
	    ? 0
	    : err_set(e, ERR_DAMAGED, "cache: not of this database");
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

bool
cache_is_open(struct account *a)
{
	struct err e = { 0 };
	int rc;

	if (a->cache.h != NULL)
		return true;
	if (a->cache_failed || (a->db.h == NULL && account_open(a, &e) != 0))
		return false;
	rc = open_cache(a, &e);
	/* a server of another version may do the same just now: whoever has his
	 * file open keeps it, so that both have one in the end */
	for (int i = 0; i < OPEN_TRIES && rc == ERR_DAMAGED; i++) {
		cache_begin_anew(a);
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

size_t
cache_read_groups(struct cache_group *const *g, size_t n)
{
	struct account *a = g[0]->account;
	size_t k = 0;
	int rc = 1;

	if (!cache_is_open(a) ||
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
		cache_begin_anew(a);
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

void
cache_flush(struct account *a)
{
	struct buf row;
	int rc = 0;

	if (!a->cache_dirty)
		return;
	a->cache_dirty = false;
	cache_forget_hole(a);
	if (cache_is_open(a) && (rc = db_begin(&a->cache, NULL)) == 0) {
		buf_init(&row, CACHE_ROW_PACKED_MAX);
		rc = write_dirty(a, &row);
		buf_fini(&row);
		if (rc == 0)
			rc = db_commit(&a->cache, NULL);
		else
			db_rollback(&a->cache);
	}
	cache_pool_mark_clean(a);
	/* ERR_SPACE: it has grown to its limit, or the disk is full */
	if (rc == ERR_DAMAGED || rc == ERR_SPACE)
		cache_begin_anew(a);
}
