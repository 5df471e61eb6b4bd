/*
 * mem: small allocations that don't fail.
 *
 * Layer:  base.
 * A process that has no memory for something small ends with a log line and
 * is started again by the master; whatever a peer may make large is capped
 * before it is allocated, and fails with ERR_LIMIT instead.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/defs.h"

/* n bytes, uninitialised.  Never NULL; free() releases. */
void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull)) MUST_USE;
/* count * size bytes, zeroed. */
void *mem_zalloc(size_t count, size_t size)
    __attribute__((malloc, returns_nonnull)) MUST_USE;
/* Like reallocarray(), never NULL. */
void *mem_realloc(void *p, size_t count, size_t size)
    __attribute__((returns_nonnull)) MUST_USE;
/* A copy of the string s. */
char *mem_strdup(const char *s) __attribute__((returns_nonnull)) MUST_USE;
/* A formatted string; the caller frees. */
char *mem_printf(const char *fmt, ...) __attribute__((returns_nonnull))
PRINTF_LIKE(1, 2) MUST_USE;

/* A zeroed struct of the type. */
#define MEM_NEW(type) ((type *)mem_zalloc(1, sizeof(type)))

#endif
