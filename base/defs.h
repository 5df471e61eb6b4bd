/*
 * defs: the few macros that every file may use.
 *
 * Layer:  base.
 */
#ifndef BASE_DEFS_H
#define BASE_DEFS_H

#include <assert.h>
#include <stddef.h>

#define MUST_USE	  __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN	  __attribute__((noreturn))
#define NELEMS(a)	  (sizeof(a) / sizeof((a)[0]))

/* The struct of which `p` is the member `m`. */
#define CONTAINER_OF(p, type, m)                                               \
 ((type *)(void *)((char *)(p)-offsetof(type, m)))

/*
 * Long-lived objects carry a magic word as their first checked field: it is
 * tested at entry of every function that takes one and wiped at free, so a
 * stale pointer ends the process instead of corrupting somebody's mail.
 */
#define MAGIC_CHECK(p, word) assert((p) != NULL && (p)->magic == (word))

#endif
