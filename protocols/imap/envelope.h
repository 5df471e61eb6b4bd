/*
 * envelope: the ENVELOPE of a message.
 * RFC 3501 section 7.4.2, RFC 9051 section 7.5.2.
 *
 * Layer:  protocols/imap, uses base, mime.
 */
#ifndef IMAP_ENVELOPE_H
#define IMAP_ENVELOPE_H

#include <stdint.h>

#include "base/buf.h"
#include "protocols/mime/address.h"
#include "protocols/mime/message.h"

enum { IMAP_ENVELOPE_ADDRESSES = 10000 }; /* of one field; the rest is cut */

/*
 * Append the envelope, in parentheses, of the message that entry `part` of m
 * is: 0, or the only child of a message/rfc822 part.  A pass with header_only
 * suffices for entry 0.
 *
 * A missing Date, Subject, In-Reply-To or Message-ID is NIL, an empty one "";
 * Sender and Reply-To default to From.  An address without host has "", as
 * NIL would mean a group; several fields of one name count as one list.
 */
void imap_envelope_put(
    struct buf *out, const struct mime_message *m, uint32_t part);
/*
 * The same for one message after the other: list is for its addresses, made
 * for IMAP_ENVELOPE_ADDRESSES; what it held goes, its memory is used again.
 */
void imap_envelope_put_next(struct buf *out, const struct mime_message *m,
    uint32_t part, struct mime_addresses *list);

/* Append the envelope of a message without any field. */
void imap_envelope_put_empty(struct buf *out);

#endif
