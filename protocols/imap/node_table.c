#include "protocols/imap/node_table.h"

#include <sys/random.h>

#include <string.h>

#include "base/mem.h"
#include "protocols/imap/shared.h"

/* Moved by a call: any from 3 on is done before the next table is full. */
enum { SIZE_MIN = 512, MOVED_A_CALL = 8 };

void
imap_node_table_init(
    struct imap_node_table *h, imap_node_key *key, const void *arg)
{
	uint64_t seed[3];

	*h = (struct imap_node_table){ .key = key, .arg = arg };
	if (getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed))
		memcpy(h->seed, seed, sizeof(seed));
}

void
imap_node_table_fini(struct imap_node_table *h)
{
	imap_shared_free(h->v, h->size, sizeof(*h->v));
	imap_shared_free(h->old, h->old_size, sizeof(*h->old));
	imap_node_table_init(h, h->key, h->arg);
}

/*
 * Where to begin to look for a key.  Ids come from mail, and anybody can write
 * such that their keys end alike: where they go must not be known before.
 */
static size_t
first_place(const struct imap_node_table *h, uint64_t key, size_t size)
{
	uint64_t x = (key ^ h->seed[0]) * (h->seed[1] | 1);

	x = (x ^ x >> 32) * (h->seed[2] | 1);
	return (size_t)(x ^ x >> 32) & (size - 1);
}

static uint32_t *
look(const struct imap_node_table *h, uint32_t *v, size_t size, uint64_t key)
{
	size_t at = first_place(h, key, size);

	while (v[at] != 0 && h->key(h->arg, v[at]) != key)
		at = (at + 1) & (size - 1);
	return &v[at];
}

/* An empty table for n nodes, at most half of it full; what was there becomes
 * the old one. */
static bool
begin(struct imap_node_table *h, size_t n)
{
	size_t size = h->size == 0 ? SIZE_MIN : h->size;

	assert(h->old == NULL);
	while (size < 2 * n)
		size *= 2;
	if (!imap_shared_take(size * sizeof(*h->v)))
		return false;
	h->old = h->v;
	h->old_size = h->size;
	h->moved = 0;
	/* zeroed as it is used, where it is large */
	h->v = mem_zalloc(size, sizeof(*h->v));
	h->size = size;
	return true;
}

/* The old table stays as it is until all is moved: it is still searched. */
static void
move_some(struct imap_node_table *h)
{
	if (h->old == NULL)
		return;
	for (int i = 0; i < MOVED_A_CALL && h->moved < h->old_size; i++) {
		uint32_t node = h->old[h->moved++];

		if (node != 0)
			*look(h, h->v, h->size, h->key(h->arg, node)) = node;
	}
	if (h->moved < h->old_size)
		return;
	imap_shared_free(h->old, h->old_size, sizeof(*h->old));
	h->old = NULL;
	h->old_size = 0;
}

bool
imap_node_table_expect(struct imap_node_table *h, size_t n)
{
	assert(h->used == 0);
	imap_node_table_fini(h);
	return begin(h, n);
}

uint32_t *
imap_node_table_place(struct imap_node_table *h, uint64_t key)
{
	uint32_t *place, *before;

	move_some(h);
	if (2 * (h->used + 1) > h->size && !begin(h, h->used + 1))
		return NULL;
	place = look(h, h->v, h->size, key);
	if (*place != 0 || h->old == NULL)
		return place;
	before = look(h, h->old, h->old_size, key);
	return *before != 0 ? before : place;
}

void
imap_node_table_added(struct imap_node_table *h)
{
	h->used++;
}
