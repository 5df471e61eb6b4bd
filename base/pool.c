/*
 * Slabs of 16 KiB, cut from one range of addresses that is reserved at the
 * first use; each holds pieces of one size.  So a piece's slab is found by its
 * address, and whether it is ours at all, too.  A slab that becomes empty is
 * given back to the system and may serve any size again.
 */
#include "base/pool.h"

#include <sys/mman.h>
#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
# define POOL_OFF true
#elif defined(__has_feature)
# if __has_feature(address_sanitizer)
#  define POOL_OFF true
# endif
#endif
#ifndef POOL_OFF
# define POOL_OFF false
#endif

enum {
	SLAB = 16 * 1024,
	FINE = 32, /* sizes up to FINE_MAX are multiples of it */
	FINE_MAX = 512,
	COARSE = 64, /* above, of this one */
	PIECE_MAX = 4032,
	N_FINE = FINE_MAX / FINE,
	N_CLASSES = N_FINE + (PIECE_MAX - FINE_MAX + COARSE - 1) / COARSE,
	N_SLABS = sizeof(void *) >= 8 ? 1 << 16 : 1 << 11,
};

struct piece {
	struct piece *next;
};

struct slab {
	LIST_ENTRY(slab) link; /* of its class, while there is room */
	unsigned class, n_used, n_cut, max;
	struct piece *free; /* were used before */
	_Alignas(max_align_t) unsigned char bytes[];
};

static struct {
	bool tried;
	unsigned char *from; /* NULL: there is no pool */
	size_t n_cut;	     /* slabs that were in use once */
	size_t n_used;
	LIST_HEAD(, slab) room[N_CLASSES];
	uint16_t *empty; /* numbers of slabs that aren't in use any more */
	size_t n_empty, cap_empty;
} pool;

static void
reserve(void)
{
	void *p;

	pool.tried = true;
	if (POOL_OFF)
		return;
	/* One slab more, as slabs are aligned by their size. */
	p = mmap(NULL, ((size_t)N_SLABS + 1) * SLAB, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return;
	pool.from = (unsigned char *)p + (SLAB - (uintptr_t)p % SLAB) % SLAB;
}

static bool
is_ours(const void *p)
{
	return pool.from != NULL &&
	    (uintptr_t)p - (uintptr_t)pool.from < (size_t)N_SLABS * SLAB;
}

static unsigned
class_of(size_t n)
{
	if (n <= FINE_MAX)
		return n == 0 ? 0 : (unsigned)((n - 1) / FINE);
	return N_FINE + (unsigned)((n - FINE_MAX - 1) / COARSE);
}

static size_t
class_size(unsigned class)
{
	if (class < N_FINE)
		return (class + (size_t)1) * FINE;
	return FINE_MAX + (class - N_FINE + (size_t)1) * COARSE;
}

static struct slab *
slab_of(void *p)
{
	size_t at = (size_t)((unsigned char *)p - pool.from);

	return (struct slab *)(void *)(pool.from + at / SLAB * SLAB);
}

/* NULL: all addresses are taken. */
static struct slab *
slab_new(unsigned class)
{
	struct slab *s;
	size_t number;

	if (pool.n_empty != 0)
		number = pool.empty[--pool.n_empty];
	else if (pool.n_cut < N_SLABS)
		number = pool.n_cut++;
	else
		return NULL;
	s = (struct slab *)(void *)(pool.from + number * SLAB);
	s->class = class;
	s->n_used = s->n_cut = 0;
	s->max = (unsigned)((SLAB - offsetof(struct slab, bytes)) /
	    class_size(class));
	s->free = NULL;
	LIST_INSERT_HEAD(&pool.room[class], s, link);
	pool.n_used++;
	return s;
}

static void
slab_empty(struct slab *s)
{
	size_t number = (size_t)((unsigned char *)s - pool.from) / SLAB;

	LIST_REMOVE(s, link);
	pool.n_used--;
	(void)madvise(s, SLAB, MADV_DONTNEED);
	if (pool.n_empty == pool.cap_empty) {
		pool.cap_empty = pool.cap_empty * 2 + 64;
		pool.empty = mem_realloc(
		    pool.empty, pool.cap_empty, sizeof(*pool.empty));
	}
	pool.empty[pool.n_empty++] = (uint16_t)number;
}

void *
pool_take(size_t n)
{
	unsigned class = class_of(n);
	struct slab *s;
	void *p;

	if (!pool.tried)
		reserve();
	if (pool.from == NULL || n > PIECE_MAX)
		return mem_alloc(n);
	s = LIST_FIRST(&pool.room[class]);
	if (s == NULL && (s = slab_new(class)) == NULL)
		return mem_alloc(n);
	if (s->free != NULL) {
		p = s->free;
		s->free = s->free->next;
	} else {
		p = s->bytes + s->n_cut++ * class_size(class);
	}
	if (++s->n_used == s->max)
		LIST_REMOVE(s, link);
	return p;
}

void *
pool_alloc(size_t n)
{
	return memset(pool_take(n), 0, n);
}

char *
pool_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(pool_take(n), s, n);
}

void *
pool_realloc(void *p, size_t n)
{
	size_t had;
	void *q;

	if (p == NULL)
		return pool_take(n);
	if (!is_ours(p))
		return mem_realloc(p, n, 1);
	had = class_size(slab_of(p)->class);
	if (n <= had && (n > FINE_MAX || had <= FINE_MAX))
		return p;
	q = memcpy(pool_take(n), p, had < n ? had : n);
	pool_free(p);
	return q;
}

void
pool_free(void *p)
{
	struct slab *s;
	struct piece *piece = p;

	if (p == NULL || !is_ours(p)) {
		free(p);
		return;
	}
	s = slab_of(p);
	assert(s->n_used > 0);
	if (s->n_used == s->max)
		LIST_INSERT_HEAD(&pool.room[s->class], s, link);
	piece->next = s->free;
	s->free = piece;
	/* the last one of a class stays, or it would come and go all the time
	 */
	if (--s->n_used == 0 &&
	    (LIST_FIRST(&pool.room[s->class]) != s ||
		LIST_NEXT(s, link) != NULL))
		slab_empty(s);
}

size_t
pool_size(void)
{
	return pool.n_used * SLAB;
}
