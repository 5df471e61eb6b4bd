/*
 * msgid: message identifiers in Message-ID, In-Reply-To and References.
 * RFC 5322 section 3.6.4 and 4.5.4, RFC 5256 section 3 (THREAD).
 *
 * Layer:  protocols/mime, uses base.
 * Time:   linear over all calls for one value.
 */
#ifndef MIME_MSGID_H
#define MIME_MSGID_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Take the next msg-id off the front of *rest; its text without angle
 * brackets, comments, white space and needless quotes replaces what id held,
 * so that equal ids are equal bytes.  Words and quoted strings between ids
 * (obsolete In-Reply-To) are passed over.
 *
 * Returns false when there's no further one.
 */
bool mime_msgid_next(struct slice *rest, struct buf *id);

#endif
