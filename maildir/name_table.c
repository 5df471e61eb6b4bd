#include "maildir/name_table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/blob.h"

enum { CAP_MIN = 64 };

static uint32_t
hash_of(struct slice name)
{
	uint64_t h = blob_sum(name);

	return (uint32_t)(h ^ h >> 32);
}

/* The slot of the name, or NULL. */
static struct name_slot *
find(const struct name_table *t, uint32_t hash, struct slice name, name_of *of,
    const void *array)
{
	if (t->cap == 0)
		return NULL;
	for (size_t at = hash & (t->cap - 1); t->v[at].at != 0;
	     at = (at + 1) & (t->cap - 1))
		if (t->v[at].hash == hash &&
		    slice_eq(of(array, t->v[at].at - 1), name))
			return &t->v[at];
	return NULL;
}

size_t
name_table_find(const struct name_table *t, struct slice name, name_of *of,
    const void *array)
{
	const struct name_slot *s = find(t, hash_of(name), name, of, array);

	return s != NULL ? s->at - 1 : SIZE_MAX;
}

static void
insert(struct name_table *t, struct name_slot slot)
{
	size_t at = slot.hash & (t->cap - 1);

	while (t->v[at].at != 0)
		at = (at + 1) & (t->cap - 1);
	t->v[at] = slot;
}

static void
grow(struct name_table *t)
{
	struct name_slot *old = t->v;
	size_t n = t->cap;

	t->cap = n != 0 ? n * 2 : CAP_MIN;
	t->v = mem_zalloc(t->cap, sizeof(*t->v));
	for (size_t i = 0; i < n; i++)
		if (old[i].at != 0)
			insert(t, old[i]);
	free(old);
}

static void
add(struct name_table *t, uint32_t hash, size_t i)
{
	if (t->n >= t->cap / 2)
		grow(t);
	insert(t, (struct name_slot){ hash, (uint32_t)i + 1 });
	t->n++;
}

void
name_table_add(struct name_table *t, struct slice name, size_t i)
{
	add(t, hash_of(name), i);
}

size_t
name_table_put(struct name_table *t, struct slice name, name_of *of,
    const void *array, size_t i)
{
	uint32_t hash = hash_of(name);
	struct name_slot *s = find(t, hash, name, of, array);
	size_t before;

	if (s == NULL) {
		add(t, hash, i);
		return SIZE_MAX;
	}
	before = s->at - 1;
	s->at = (uint32_t)i + 1;
	return before;
}

void
name_table_remove(struct name_table *t, struct slice name, size_t i)
{
	size_t mask = t->cap - 1, hole, at;

	if (t->cap == 0)
		return;
	for (hole = hash_of(name) & mask; t->v[hole].at != i + 1;
	     hole = (hole + 1) & mask)
		if (t->v[hole].at == 0)
			return;
	/* Those behind it that would be there, had it been free, move up. */
	for (at = (hole + 1) & mask; t->v[at].at != 0; at = (at + 1) & mask) {
		size_t from_home = (at - t->v[at].hash) & mask;

		if (from_home < ((at - hole) & mask))
			continue;
		t->v[hole] = t->v[at];
		hole = at;
	}
	t->v[hole].at = 0;
	t->n--;
}

void
name_table_fini(struct name_table *t)
{
	free(t->v);
	*t = (struct name_table){ 0 };
}
