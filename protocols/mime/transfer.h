/*
 * transfer: content transfer encodings as streams.
 * RFC 2045 sections 6.7 (quoted-printable) and 6.8 (base64).
 *
 * Layer:  protocols/mime, uses base.  No allocation but in the output buf.
 * Memory: a mime_decoder lives with the caller; there's nothing to release.
 *
 * The decoders take any bytes in pieces of any size and never fail: RFC 2045
 * asks for robustness, and mail that arrives damaged is still to be read.
 * The strict base64 of protocols is base/base64.
 */
#ifndef MIME_TRANSFER_H
#define MIME_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "protocols/mime/message.h"

enum { MIME_BLANKS_MAX = 1000 }; /* at the end of a line, to be dropped */

struct mime_decoder { /* private */
	enum mime_encoding encoding;
	uint32_t bits; /* base64: of the group under way */
	unsigned n;    /* base64: its characters; qp: bytes held */
	unsigned state;
	uint8_t held[MIME_BLANKS_MAX];
	bool damaged;
};

/* Unknown encodings are passed through, as 7bit, 8bit and binary are. */
void mime_decoder_init(struct mime_decoder *d, enum mime_encoding encoding);
/* Decode the next bytes and append what they give. */
void mime_decoder_feed(
    struct mime_decoder *d, struct slice in, struct buf *out);
/* The end of the part: append what was held back. */
void mime_decoder_finish(struct mime_decoder *d, struct buf *out);
/*
 * Whether something was passed over that the encoding doesn't allow (white
 * space in base64 is allowed): what BINARY answers UNKNOWN-CTE for.
 */
bool mime_decoder_damaged(const struct mime_decoder *d);

/* Append the base64 of in, in lines of 76 that end with CRLF. */
void mime_base64_encode(struct slice in, struct buf *out);
/* Bytes that n bytes come to so. */
uint64_t mime_base64_size(uint64_t n);
#endif
