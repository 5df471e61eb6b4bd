#include "maildir/index.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/chunk.h"

enum { CAP_MIN = 64 };

struct slot {
	uint32_t hash, uid; /* uid 0: free */
};

struct index {
	struct slot *v;
	size_t cap, n; /* cap: a power of two */
	uint32_t next; /* all with lower UIDs are there */
	bool whole;
};

static uint32_t
hash_of(struct slice base)
{
	uint64_t h = blob_sum(base);

	return (uint32_t)(h ^ h >> 32);
}

static void
insert(struct index *x, uint32_t hash, uint32_t uid)
{
	size_t at = hash & (x->cap - 1);

	while (x->v[at].uid != 0)
		at = (at + 1) & (x->cap - 1);
	x->v[at] = (struct slot){ hash, uid };
	x->n++;
}

static void
grow(struct index *x, size_t cap)
{
	struct slot *old = x->v;
	size_t n = x->cap;

	x->v = mem_zalloc(cap, sizeof(*x->v));
	x->cap = cap;
	x->n = 0;
	for (size_t i = 0; i < n; i++)
		if (old[i].uid != 0)
			insert(x, old[i].hash, old[i].uid);
	free(old);
}

static void
make_room(struct index *x, size_t n)
{
	size_t cap = x->cap;

	while (cap * 3 / 4 <= x->n + n)
		cap *= 2;
	if (cap != x->cap)
		grow(x, cap);
}

/* From message `from' on.  Slots lie in the order of hashes, which is none:
 * they are fetched for all of the chunk before the first is written. */
static void
add_chunk(struct index *x, const struct chunk *c, uint32_t from)
{
	uint32_t hashes[CHUNK_MAX];

	make_room(x, c->n - from);
	for (; from < c->n; from += CHUNK_MAX) {
		uint32_t n = c->n - from < CHUNK_MAX ? c->n - from : CHUNK_MAX;

		for (uint32_t i = 0; i < n; i++) {
			hashes[i] = hash_of(chunk_base(c, from + i));
			__builtin_prefetch(&x->v[hashes[i] & (x->cap - 1)], 1);
		}
		for (uint32_t i = 0; i < n; i++)
			insert(x, hashes[i], chunk_uid(c, from + i));
	}
}

struct index *
index_new(const struct view *v)
{
	struct index *x = MEM_NEW(struct index);

	grow(x, CAP_MIN);
	make_room(x, (size_t)v->count + 1);
	return x;
}

bool
index_extend(struct index *x, const struct view *v, int *work)
{
	uint32_t seq, i;

	if (x->whole)
		return true;
	seq = view_lower_bound(v, x->next);
	while (seq <= v->count && *work > 0) {
		const struct chunk *c = view_at(v, seq, &i);

		add_chunk(x, c, i);
		seq += c->n - i;
		*work -= (int)(c->n - i);
		x->next = chunk_uid(c, c->n - 1) + 1;
	}
	return x->whole = seq > v->count;
}

bool
index_is_whole(const struct index *x)
{
	return x->whole;
}

void
index_free(struct index **x)
{
	if (*x != NULL)
		free((*x)->v);
	free(*x);
	*x = NULL;
}

void
index_add(struct index *x, struct slice base, uint32_t uid)
{
	if (!x->whole)
		return;
	make_room(x, 1);
	insert(x, hash_of(base), uid);
}

void
index_remove(struct index *x, struct slice base, uint32_t uid)
{
	uint32_t hash = hash_of(base);
	size_t mask = x->cap - 1, at = hash & mask, next;

	while (x->v[at].uid != uid) {
		if (x->v[at].uid == 0)
			return;
		at = (at + 1) & mask;
	}
	/* Move back what the gap would hide from its place of first choice. */
	for (next = (at + 1) & mask; x->v[next].uid != 0;
	     next = (next + 1) & mask) {
		size_t home = x->v[next].hash & mask;

		if (((next - home) & mask) >= ((next - at) & mask)) {
			x->v[at] = x->v[next];
			at = next;
		}
	}
	x->v[at].uid = 0;
	x->n--;
}

uint32_t
index_find(const struct index *x, const struct view *v, struct slice base)
{
	uint32_t hash = hash_of(base), i, seq;
	size_t at = hash & (x->cap - 1);
	const struct chunk *c;

	for (; x->v[at].uid != 0; at = (at + 1) & (x->cap - 1)) {
		if (x->v[at].hash != hash ||
		    (seq = view_find(v, x->v[at].uid)) == 0)
			continue;
		c = view_at(v, seq, &i);
		if (slice_eq(chunk_base(c, i), base))
			return x->v[at].uid;
	}
	return 0;
}
