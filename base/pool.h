/*
 * pool: small things that stay for as long as a session does.
 *
 * Layer:  base, uses mem.
 * A heap in which ten thousand small structs lie between buffers that came
 * and went keeps a page for each of them: malloc can only give whole pages
 * back.  What is taken from the pool lies side by side instead, by size.
 *
 * One pool for the process, used by one thread.  Without a pool (no address
 * space for it, or a sanitizer that wants to see each piece) malloc does the
 * work.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

#include "base/defs.h"

/* n bytes, uninitialised; released by pool_free() only.  Never NULL. */
void *pool_take(size_t n) __attribute__((malloc, returns_nonnull)) MUST_USE;
/* The same, zeroed. */
void *pool_alloc(size_t n) __attribute__((returns_nonnull)) MUST_USE;
char *pool_strdup(const char *s) __attribute__((returns_nonnull)) MUST_USE;
/* As realloc(): p may be NULL, and what is new isn't zeroed. */
void *pool_realloc(void *p, size_t n) __attribute__((returns_nonnull)) MUST_USE;
/* NULL is fine. */
void pool_free(void *p);

/* A zeroed struct of the type. */
#define POOL_NEW(type) ((type *)pool_alloc(sizeof(type)))

/* Bytes of slabs that hold something, for tests. */
size_t pool_size(void);

#endif
