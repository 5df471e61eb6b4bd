/*
 * keep: the header fields of which a message keeps the values.
 *
 * Layer:  protocols/mime, uses base.  For parser.c.
 * Memory: a mime_keep borrows the message that it fills.
 *
 * Limits cut what is kept and mark it as cut; they never fail.
 */
#ifndef MIME_KEEP_H
#define MIME_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "protocols/mime/message.h"

struct mime_keep {
	struct mime_message *msg;
	size_t max_field; /* bytes of one field */
	size_t max_text;  /* of all but what says how to read the body */
	uint32_t part;	  /* whose header it is */
	bool is_message;  /* which has more fields of interest */
	bool keeping;	  /* the field under way is kept */
	uint32_t seen;	  /* bits of the single fields met in this header */
	uint32_t n_repeated;
};

/* Begin the header of a part. */
void mime_keep_begin(struct mime_keep *k, uint32_t part, bool is_message);
/* The header has ended. */
void mime_keep_end(struct mime_keep *k);

/*
 * A line of the header without its line break, or the beginning of a line
 * that is too long, long enough to hold the name of any field of interest.
 */
void mime_keep_line(struct mime_keep *k, struct slice line);
/* More bytes of the same line; only if the field is being kept. */
void mime_keep_more(struct mime_keep *k, struct slice more);
/* The line ended in CRLF, and its CR was given to mime_keep_more. */
void mime_keep_chop(struct mime_keep *k);

#endif
