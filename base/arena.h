/*
 * arena: memory with the lifetime of one command.
 *
 * Layer:  base, uses mem.
 * Memory: everything taken from an arena ends at its next arena_reset(); the
 *         first block is kept for the next command.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/defs.h"
#include "base/slice.h"

struct arena_block;
struct arena {
	struct arena_block *head; /* the block being filled */
	size_t used;		  /* bytes handed out since the last reset */
	size_t max;		  /* 0: no limit */
};

/* max: the most bytes between two resets (0: whatever the caller caps). */
void arena_init(struct arena *a, size_t max);
/* Release everything. */
void arena_fini(struct arena *a);
/* End the life of all that was taken; keeps one ordinary block. */
void arena_reset(struct arena *a);
/* Release that block as well, unless something in it is in use. */
void arena_trim(struct arena *a);

/*
 * A place to go back to: what is taken after arena_mark() ends at
 * arena_rewind() to it (which the arena must not have been reset since).
 */
struct arena_mark {
	const struct arena_block *head;
	size_t n, used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);

/* n bytes aligned for anything, uninitialised; NULL only beyond max. */
void *arena_alloc(struct arena *a, size_t n) MUST_USE;
/* count * size bytes, zeroed; NULL beyond max or on overflow. */
void *arena_zalloc(struct arena *a, size_t count, size_t size) MUST_USE;
/* A copy of s; its p is NULL, with n 0, only beyond max. */
struct slice arena_dup(struct arena *a, struct slice s);

#endif
