/*
 * base64: the strict form of RFC 4648 section 4.
 *
 * Layer:  base, uses buf, slice.
 * Memory: output is appended to the caller's buf.
 *
 * For SASL and other protocol tokens, where every deviation is an error.
 * The forgiving decoder for mail bodies is protocols/mime/transfer.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

/* The 64 characters in order of value; not NUL-terminated. */
extern const uint8_t base64_alphabet[64];

/* The value 0-63 of a character of the alphabet, or -1. */
int base64_value(uint8_t c);

/* Bytes that base64_encode makes of n bytes; SIZE_MAX if that's too large. */
size_t base64_encoded_len(size_t n);

/*
 * Append the encoding of in: with padding, without line breaks.  Beyond the
 * maximum of out its error is set and nothing is appended.
 */
void base64_encode(struct slice in, struct buf *out);

/*
 * Append what in encodes.  RFC 4648 3.2-3.5: padding is required, characters
 * outside of the alphabet are refused, unused bits must be zero.  The empty
 * string decodes to nothing.
 *
 * Returns false, with nothing appended, when in isn't exactly one encoding,
 * or when out has no room for it (then out's error is set too).
 */
bool base64_decode(struct slice in, struct buf *out) MUST_USE;

#endif
