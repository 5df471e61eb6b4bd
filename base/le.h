/*
 * le: little-endian integers in bytes.
 *
 * Layer:  base.
 */
#ifndef BASE_LE_H
#define BASE_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

/* Of four and of eight bytes: a load each. */
static inline uint32_t
le_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t
le_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Of n bytes, at most eight. */
static inline uint64_t
le_get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline void
le_put(struct buf *b, uint64_t v, unsigned n)
{
	v = htole64(v);
	buf_put(b, slice_of(&v, n));
}

#endif
