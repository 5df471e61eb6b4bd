/*
 * cache_impl: the groups of a cache in memory, and their rows in the file.
 *
 * Layer:  maildir.  Not for anybody outside of cache.c, cache_file.c and
 * cache_pool.c.
 * Memory: a group is its maker's until it is put into the pool of the store,
 *         which drops those used longest ago.
 */
#ifndef MAILDIR_CACHE_IMPL_H
#define MAILDIR_CACHE_IMPL_H

#include <sys/queue.h>

#include "maildir/cache.h"
#include "maildir/cache_row.h"
#include "maildir/internal.h"

enum {
	GROUP_BITS = 6, /* UIDs of a row */
	GROUP = CACHE_ROW_ENTRIES,
	KIND_BITS = 5,
	NEXT_KEY = 1 << KIND_BITS, /* to the row of the next UIDs */
	POOL_BUCKETS = 256,
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

/* --- cache_pool.c --------------------------------------------------------- */

/* What all of an account's cache belongs to: a postern.db, a CACHE_REVISION. */
uint64_t cache_identity(const struct account *a);
uint64_t cache_salt(const struct mailbox *m, int64_t key);
/* An empty one, not in the pool. */
struct cache_group *cache_group_new(
    const struct mailbox *m, int64_t key) MUST_USE;
/* One that isn't in the pool. */
void cache_group_free(struct cache_group *g);
size_t cache_group_cost(const struct cache_group *g);

/* The group with the key, or NULL. */
struct cache_group *cache_pool_find(
    struct cache_pool *p, const struct account *a, int64_t key);
/* Room is made for it; what is dirty of the others is written for that. */
void cache_pool_insert(struct cache_pool *p, struct cache_group *g);
/* Drop an account's groups with keys from first to last. */
void cache_pool_drop(struct account *a, int64_t first, int64_t last);
/* What could not be written is not tried again. */
void cache_pool_mark_clean(struct account *a);

/* --- cache_file.c --------------------------------------------------------- */

/* Whether the file can be used now; it is opened for that. */
bool cache_is_open(struct account *a);
/* Throw it away; the next use makes a new one. */
void cache_begin_anew(struct account *a);
/* No key is known to be missing. */
void cache_forget_hole(struct account *a);
/*
 * Read groups of one account, with the locks of the file taken once; how many
 * are to be kept: the first one, and those behind it that are there.
 */
size_t cache_read_groups(struct cache_group *const *g, size_t n);

#endif
