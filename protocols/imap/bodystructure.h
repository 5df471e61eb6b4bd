/*
 * bodystructure: BODY and BODYSTRUCTURE of a message.
 * RFC 3501 section 7.4.2, RFC 9051 section 7.5.2.
 *
 * Layer:  protocols/imap, uses base, mime.
 */
#ifndef IMAP_BODYSTRUCTURE_H
#define IMAP_BODYSTRUCTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocols/mime/message.h"

/*
 * Append the body structure of the whole message, in parentheses; everything
 * needed is in m (from a full pass).  extended: BODYSTRUCTURE, else BODY.
 *
 * Parameters are given without RFC 2231 continuations (RFC 2231 6), extended
 * values as they are, under "name*".  text parts without a charset are given
 * US-ASCII.  A part that a limit or its encoding kept from being looked into
 * is APPLICATION OCTET-STREAM: the grammar has no place for a multipart
 * without parts or a message without envelope.  A multipart that in fact has
 * no parts is given one that is empty.
 */
void imap_bodystructure_put(
    struct buf *out, const struct mime_message *m, bool extended);

#endif
