/*
 * num: integers from the wire, with their range checked.
 *
 * Layer:  base.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

/*
 * The whole of s as an unsigned decimal number: one or more ASCII digits, no
 * sign, no blanks.  False, with *v untouched, when it isn't one or is too
 * large for the type.
 */
MUST_USE bool num_u32(struct slice s, uint32_t *v);
MUST_USE bool num_u64(struct slice s, uint64_t *v);
/* The same with an optional sign. */
MUST_USE bool num_i64(struct slice s, int64_t *v);
/* The whole of s as hex digits of either case (at most 16). */
MUST_USE bool num_hex64(struct slice s, uint64_t *v);

#endif
