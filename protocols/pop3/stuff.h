/*
 * pop3_stuff: a mail file as the body of a multi-line response: CRLF line
 * ends, dots doubled, cut where TOP wants it (RFC 1939 sections 3 and 7).
 *
 * Layer:  protocols/pop3, uses base.  No I/O.
 * Memory: a pop3_stuff lives with the caller and owns nothing.
 *
 * The file comes in pieces, cut anywhere.  A line ends with LF; an LF without
 * CR before it goes out as CRLF.  Every other byte, NUL and lone CR included,
 * is passed on: neither can end a line for the receiver.
 */
#ifndef PROTOCOLS_POP3_STUFF_H
#define PROTOCOLS_POP3_STUFF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct pop3_stuff {
	uint64_t body_lines; /* that may still go out; UINT64_MAX: all */
	uint64_t line_len;   /* of the unfinished line, so far */
	bool header;	     /* before the blank line */
	bool cr;	     /* the byte before is a CR */
	bool done;	     /* no more is wanted: TOP's lines are out */
};

/* For RETR: UINT64_MAX lines; for TOP as many lines of the body. */
void pop3_stuff_init(struct pop3_stuff *s, uint64_t body_lines);
/*
 * Append the next piece of the file; at most twice its bytes are appended.
 * Returns how many of its bytes were used: all, unless done is set.
 */
size_t pop3_stuff_feed(struct pop3_stuff *s, struct slice in, struct buf *out);
/* The end of the file, or done: complete the line, and the final dot. */
void pop3_stuff_end(struct pop3_stuff *s, struct buf *out);

#endif
