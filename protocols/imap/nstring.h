/*
 * nstring: bytes of any kind as an IMAP string.
 * RFC 3501 section 4.3 and 9 (string, nstring).
 *
 * Layer:  protocols/imap, uses base.
 *
 * The one writer of strings whose content comes from mail: whatever goes in,
 * what comes out is one string token and can't end the line or the list that
 * it stands in.
 */
#ifndef IMAP_NSTRING_H
#define IMAP_NSTRING_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

enum { IMAP_QUOTED_MAX = 1000 }; /* bytes; what's longer goes as literal */

/*
 * Append s as a quoted string if it's short and 7-bit and has no CR or LF,
 * else as a literal.  NUL, which neither may hold (RFC 3501 9: CHAR8 is
 * %x01-ff), is left out.
 */
void imap_put_string(struct buf *out, struct slice s);
/* The same for s in UTF-8, which may stand in a quoted string, too: to clients
 * that enabled UTF8=ACCEPT (RFC 6855 3). */
void imap_put_utf8(struct buf *out, struct slice s);
/* Append s as a string, or NIL if there's none (s.p NULL). */
void imap_put_nstring(struct buf *out, struct slice s);
/* Append NIL. */
void imap_put_nil(struct buf *out);

#endif
