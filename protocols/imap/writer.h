/*
 * imap_put: the writers of what a reply is made of.
 * RFC 3501 sections 4 and 9; RFC 5530 for response codes.
 *
 * Layer:  protocols/imap, uses base.
 *
 * Bytes of a peer or of mail get into a reply by these functions (and by
 * nstring.h's) only: they decide between atom, quoted string and literal, and
 * keep CR, LF and NUL out of lines.
 */
#ifndef IMAP_WRITER_H
#define IMAP_WRITER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { IMAP_TEXT_MAX = 400 }; /* bytes of a peer in resp-text */

/* Append s as an astring: as atom if it is one, else as string. */
void imap_put_astring(struct buf *out, struct slice s);
/*
 * Append s as resp-text: printable ASCII, everything else becomes '?', cut at
 * IMAP_TEXT_MAX.  A leading "[" would begin a response code: it becomes "(".
 */
void imap_put_text(struct buf *out, struct slice s);
/* Append a date-time (RFC 3501 9) of ms since 1970, in UTC, with quotes. */
void imap_put_date_time(struct buf *out, int64_t wall_ms);

/*
 * Append an objectid in parentheses (RFC 8474 7): the letter says of what, so
 * that ids of different things differ and none begins with a digit.
 */
void imap_put_object_id(struct buf *out, char letter, uint64_t id);

/* Append "tag OK text CRLF" and the like; text is ours, or a format of it. */
void imap_put_tagged(struct buf *out, struct slice tag, const char *state,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with "*" for the tag. */
void imap_put_untagged(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * A uid-set (RFC 4315 4) written piece by piece: numbers that follow each
 * other become a range.
 */
struct imap_put_set {
	struct buf *out;
	uint32_t first, last; /* range under way; first 0: none yet */
	bool any;	      /* a range was written */
};
void imap_put_set_begin(struct imap_put_set *w, struct buf *out);
void imap_put_set_add(struct imap_put_set *w, uint32_t n);
/* All from first to last; behind what was added before. */
void imap_put_set_range(struct imap_put_set *w, uint32_t first, uint32_t last);
void imap_put_set_end(struct imap_put_set *w);

#endif
