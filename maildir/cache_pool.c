/* The groups of the caches that are in memory, for all accounts of a store. */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/cache_impl.h"

enum { POOL_BYTES = 4 * 1024 * 1024 };

uint64_t
cache_identity(const struct account *a)
{
	return a->identity ^ CACHE_REVISION * UINT64_C(0xd6e8feb86659fd93);
}

uint64_t
cache_salt(const struct mailbox *m, int64_t key)
{
	return ((uint64_t)key ^ cache_identity(m->account)) *
	    0x9e3779b97f4a7c15u ^
	    m->uidvalidity;
}

struct cache_group *
cache_group_new(const struct mailbox *m, int64_t key)
{
	struct cache_group *g = MEM_NEW(struct cache_group);

	g->account = m->account;
	g->key = key;
	g->salt = cache_salt(m, key);
	cache_row_init(&g->row);
	return g;
}

void
cache_group_free(struct cache_group *g)
{
	cache_row_fini(&g->row);
	free(g);
}

size_t
cache_group_cost(const struct cache_group *g)
{
	return sizeof(*g) + g->row.bytes.cap;
}

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

/* Drop the group that *at points to. */
static void
drop(struct cache_pool *p, struct cache_group **at)
{
	struct cache_group *g = *at;

	*at = g->next;
	TAILQ_REMOVE(&p->by_use, g, use);
	p->bytes -= cache_group_cost(g);
	if (g->dirty)
		p->dirty -= g->row.live;
	if (p->last[kind_of(g)] == g)
		p->last[kind_of(g)] = NULL;
	cache_group_free(g);
}

void
cache_pool_drop(struct account *a, int64_t first, int64_t last)
{
	struct cache_pool *p = a->store->cache_pool;

	for (size_t i = 0; i < POOL_BUCKETS; i++) {
		struct cache_group **at = &p->buckets[i];

		while (*at != NULL) {
			struct cache_group *g = *at;

			if (g->account == a && g->key >= first &&
			    g->key <= last)
				drop(p, at);
			else
				at = &g->next;
		}
	}
}

void
cache_pool_mark_clean(struct account *a)
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
		drop(p, at);
	}
}

struct cache_group *
cache_pool_find(struct cache_pool *p, const struct account *a, int64_t key)
{
	struct cache_group *g = p->last[key & ((1 << KIND_BITS) - 1)];

	if (g != NULL && g->key == key && g->account == a)
		return g;
	for (g = p->buckets[bucket_of(a, key)]; g != NULL; g = g->next)
		if (g->key == key && g->account == a)
			return g;
	return NULL;
}

void
cache_pool_insert(struct cache_pool *p, struct cache_group *g)
{
	struct cache_group **bucket =
	    &p->buckets[bucket_of(g->account, g->key)];

	make_room(p, cache_group_cost(g));
	p->bytes += cache_group_cost(g);
	g->next = *bucket;
	*bucket = g;
	TAILQ_INSERT_TAIL(&p->by_use, g, use);
}
