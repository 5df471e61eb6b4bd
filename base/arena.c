#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK_SIZE = 4000 };

struct arena_block {
	struct arena_block *next;
	size_t n, cap;
	alignas(max_align_t) unsigned char p[];
};

void
arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void
arena_fini(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->head; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	arena_init(a, a->max);
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b, *next, *keep = NULL;

	for (b = a->head; b != NULL; b = next) {
		next = b->next;
		if (keep == NULL && b->cap == BLOCK_SIZE)
			keep = b;
		else
			free(b);
	}
	if (keep != NULL) {
		keep->next = NULL;
		keep->n = 0;
	}
	a->head = keep;
	a->used = 0;
}

struct arena_mark
arena_mark(const struct arena *a)
{
	return (struct arena_mark){ .head = a->head,
		.n = a->head != NULL ? a->head->n : 0,
		.used = a->used };
}

void
arena_rewind(struct arena *a, struct arena_mark mark)
{
	while (a->head != mark.head) {
		struct arena_block *b = a->head;

		assert(b != NULL);
		a->head = b->next;
		free(b);
	}
	if (a->head != NULL)
		a->head->n = mark.n;
	a->used = mark.used;
}

void
arena_trim(struct arena *a)
{
	if (a->used == 0)
		arena_fini(a);
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->head;
	size_t align = alignof(max_align_t), cap;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + align - 1) / align * align;
	if (a->max != 0 && (n > a->max || a->used > a->max - n))
		return NULL;
	if (b == NULL || b->cap - b->n < n) {
		cap = n > BLOCK_SIZE ? n : BLOCK_SIZE;
		b = mem_alloc(sizeof(*b) + cap);
		b->next = a->head;
		b->n = 0;
		b->cap = cap;
		a->head = b;
	}
	b->n += n;
	a->used += n;
	return b->p + b->n - n;
}

void *
arena_zalloc(struct arena *a, size_t count, size_t size)
{
	size_t n;
	void *p;

	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	if ((p = arena_alloc(a, n)) != NULL)
		memset(p, 0, n);
	return p;
}

struct slice
arena_dup(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.n + 1);

	if (p == NULL)
		return slice_of(NULL, 0);
	if (s.n != 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return slice_of(p, s.n);
}
