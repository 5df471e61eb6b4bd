/*
 * pop3_surrogate: what a client that did not say UTF8 gets for a message whose
 * headers aren't ASCII (RFC 6856 2.1, RFC 6855 7): a multipart/mixed message
 * with an explanation, and the message itself as an attachment of a type that
 * the configuration names (MIME_UNICODE_MESSAGE_TYPE), as Courier does it.
 *
 * Layer:  protocols/pop3, uses base.  No I/O, no clock.
 *
 * Lines end with LF here, and become CRLF on their way (stuff.h).  How many
 * octets it adds depends on the type alone, so that LIST can tell the size of
 * a message without making it.
 */
#ifndef PROTOCOLS_POP3_SURROGATE_H
#define PROTOCOLS_POP3_SURROGATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { POP3_SURROGATE_MAX = 2048 }; /* bytes of each of the two, at most */

/*
 * What comes before the message.  type: of at most 100 bytes; date_ms: for the
 * Date field, ms since 1970; id: makes the boundary, and must be what a
 * sender can't know (mailbox_email_id()).
 */
void pop3_surrogate_head(
    struct buf *out, const char *type, int64_t date_ms, uint64_t id);
/* What comes behind the line end of its last line. */
void pop3_surrogate_tail(struct buf *out, uint64_t id);
/* The octets of both on the wire. */
uint64_t pop3_surrogate_octets(const char *type);

#endif
