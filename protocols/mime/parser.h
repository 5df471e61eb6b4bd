/*
 * parser: one pass over a message gives its table of parts.
 * RFC 2046 section 5 (multipart, message), RFC 5322 section 2.
 *
 * Layer:  protocols/mime, uses base.  No I/O, no clock, no recursion.
 * Memory: the parser is the caller's and borrows the message it fills; it
 *         holds about 1 KiB of the input, whatever the input is.
 * Time:   linear in the bytes fed; a line that begins with "--" also costs a
 *         look at each open multipart, of which there are max_depth.
 *
 * Any bytes make a message; what the RFCs leave open is decided so:
 * - Lines end in LF or CRLF; a CR elsewhere is data.
 * - A delimiter line is "--", the boundary, an optional "--", blanks.  The
 *   innermost open multipart that matches exactly wins, so a boundary that is
 *   the beginning of another isn't mistaken for it.  Only if none does, it
 *   may have something behind it, after a blank or the second "--".
 * - The delimiter of an outer multipart ends all that is open inside of it;
 *   the end of the file ends everything.
 * - A header ends at its empty line, at a delimiter or at the end; lines that
 *   are no field are passed over.  But a body part whose first line isn't a
 *   field has no header: its empty line is missing.
 * - A multipart without a usable boundary is text/plain, as a malformed
 *   Content-Type is (RFC 2045 5.2).
 * - A message/rfc822 in base64 or quoted-printable, which RFC 2046 5.2.1
 *   forbids, is a leaf if base64; quoted-printable is mostly a wrong label
 *   and is looked into.  For message/global both are allowed and are leaves.
 */
#ifndef MIME_PARSER_H
#define MIME_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "protocols/mime/boundary.h"
#include "protocols/mime/keep.h"
#include "protocols/mime/message.h"

enum { MIME_LINE_KEEP = 1024 }; /* of a line, to know what it is */

struct mime_options {
	uint32_t max_depth; /* of parts within parts */
	uint32_t max_parts; /* entries; beyond the rest is one opaque part */
	size_t max_field;   /* bytes kept of one header field */
	size_t max_text;    /* bytes kept of all; four times that for what */
			    /* says how to read the body */
	bool header_only;   /* stop after the header of the message */
};

/* depth 100, 10 000 parts, 64 KiB a field, 1 MiB in all, whole message. */
extern const struct mime_options mime_options_default;

/* A place in the message: file bytes, wire bytes and lines before it. */
struct mime_pos {
	uint64_t off, wire, lines;
};

struct mime_parser { /* private */
	uint32_t magic;
	struct mime_options opt;
	struct mime_message *msg;
	struct mime_pos pos;  /* of the next byte */
	struct mime_pos line; /* of the first byte of this line */
	uint8_t eol;	      /* bytes of the line break before this line */
	uint8_t last;	      /* byte before pos */
	uint8_t state, mode;
	bool first_line;	       /* of a header */
	bool rest;		       /* beyond the cap on parts: only count */
	uint32_t cur;		       /* innermost open part */
	struct mime_boundaries bounds; /* of the open multiparts */
	struct mime_keep keep;
	size_t n_kept;
	uint8_t kept[MIME_LINE_KEEP]; /* beginning of this line */
};

/* Begin: m must be just initialised.  opt NULL: the defaults. */
void mime_parser_init(struct mime_parser *p, struct mime_message *m,
    const struct mime_options *opt);
/* The next bytes of the file, in pieces of any size. */
void mime_parser_feed(struct mime_parser *p, struct slice in);
/* Whether more bytes would change nothing (header_only). */
bool mime_parser_done(const struct mime_parser *p);
/*
 * The file has ended: close what is open.  The table is complete after this
 * and not before.  The parser itself has nothing to release any more.
 */
void mime_parser_finish(struct mime_parser *p);
/* Give up before the end; the message stays valid, without meaning. */
void mime_parser_abort(struct mime_parser *p);

/* All of it at once, for a message that is in memory. */
void mime_parse(
    struct mime_message *m, struct slice in, const struct mime_options *opt);

#endif
