/*
 * secret: passwords and keys.  Wiped when released, compared in constant
 * time, without any function that prints one.
 *
 * Layer:  base, uses mem.
 * Memory: a secret owns its bytes.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct secret {
	uint8_t *p; /* followed by a NUL for C interfaces; NULL when unset */
	size_t n;
};

/* Replace *s (zeroed or set before) by a copy of the bytes. */
void secret_set(struct secret *s, struct slice bytes);
/* Wipe and release; *s is unset afterwards. */
void secret_fini(struct secret *s);
/* Wipe n bytes in a way the compiler keeps. */
void secret_wipe(void *p, size_t n);
/* Equality in a time that depends on b.n only, not on where they differ. */
bool secret_eq(struct slice a, struct slice b);

static inline struct slice
secret_slice(const struct secret *s)
{
	return slice_of(s->p, s->n);
}

/* The secret as a C string ("" when unset). */
static inline const char *
secret_cstr(const struct secret *s)
{
	return s->p != NULL ? (const char *)s->p : "";
}

#endif
