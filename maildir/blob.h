/*
 * blob: sums over what is kept in the database.
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

/* Not against those who mean it. */
uint64_t blob_sum(struct slice s);
/* Append the sum of all that b holds; check and cut it off. */
void blob_seal(struct buf *b);
bool blob_open(struct slice *s) MUST_USE;

#endif
