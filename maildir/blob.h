/*
 * blob: numbers in bytes, and sums over what is kept in the database.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_BLOB_H
#define MAILDIR_BLOB_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

enum { BLOB_SUM_BYTES = 8 };

/* Little-endian integers of up to eight bytes. */
void le_put(struct buf *b, uint64_t v, unsigned n_bytes);
uint64_t le_get(const uint8_t *p, unsigned n_bytes);

/* Not against those who mean it. */
uint64_t blob_sum(struct slice s);
/* Append the sum of all that b holds; check and cut it off. */
void blob_seal(struct buf *b);
bool blob_open(struct slice *s) MUST_USE;

#endif
