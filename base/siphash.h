/*
 * siphash: a keyed hash of 64 bits, cheap with short text.
 *
 * Layer:  base.  No allocation.
 *
 * SipHash-2-4 of Aumasson and Bernstein ("SipHash: a fast short-input PRF",
 * 2012).  Who doesn't know the key can neither aim at a value nor tell the
 * text from it; but as 64 bits may meet by chance, two texts of one value need
 * not be the same.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

enum { SIPHASH_KEY_LEN = 16 };

uint64_t siphash(
    const uint8_t key[SIPHASH_KEY_LEN], struct slice text) MUST_USE;

#endif
