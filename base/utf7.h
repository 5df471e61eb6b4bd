/*
 * utf7: mailbox names between UTF-8 and modified UTF-7 (RFC 3501 5.1.3).
 *
 * Layer:  base, uses buf, slice, base64.
 * Memory: output is appended to the caller's buf.
 *
 * Both directions are strict, so that each name has exactly one form in
 * either: what one of them makes the other one takes back to the same bytes.
 */
#ifndef BASE_UTF7_H
#define BASE_UTF7_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

/* Whether s is UTF-8: no overlong forms, surrogates, or beyond U+10FFFF
 * (RFC 3629 section 3).  The empty slice is. */
bool utf8_valid(struct slice s) MUST_USE;

/*
 * Append the UTF-8 of a name in modified UTF-7.
 *
 * Returns false, with nothing appended, when in isn't the one correct form
 * of a name (8-bit or control bytes, an unended or superfluous shift,
 * unpaired surrogates, encoded characters that stand for themselves), or
 * when out has no room.
 */
bool utf7_to_utf8(struct slice in, struct buf *out) MUST_USE;

/* Append the modified UTF-7 of a name in UTF-8.  False, with nothing
 * appended: not UTF-8, or no room. */
bool utf8_to_utf7(struct slice in, struct buf *out) MUST_USE;

#endif
