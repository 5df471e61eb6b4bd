/*
 * words: encoded words in header fields.
 * RFC 2047; RFC 2231 section 5 for their language tag.
 *
 * Layer:  protocols/mime, uses base.
 * Time:   linear.
 */
#ifndef MIME_WORDS_H
#define MIME_WORDS_H

#include "base/buf.h"
#include "base/slice.h"

/*
 * Append in as UTF-8, its encoded words decoded.  White space between two
 * encoded words is dropped (RFC 2047 6.2); neighbours in the same charset are
 * converted together, as some senders cut characters in two.  A word in a
 * charset that isn't known stays as it is.  Bytes outside of encoded words
 * that aren't UTF-8 become U+FFFD.  in should be unfolded.
 */
void mime_words_decode(struct slice in, struct buf *out);

#endif
