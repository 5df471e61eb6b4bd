/*
 * message: the flat table of parts that one pass over a mail message gives.
 * RFC 2045, 2046, 5322; the numbering of parts is that of RFC 3501 6.4.5.
 *
 * Layer:  protocols/mime, uses base.  No I/O, no clock.
 * Memory: the struct is the caller's, what it points to is the message's and
 *         ends at mime_message_fini(); no pointer into the mail is kept.
 *
 * Parts stand in the order in which they begin (a parent before its
 * children).  Entry 0 is the message itself.  An encapsulated message gives
 * two entries: the message/rfc822 part, whose body is the whole inner
 * message, and its only child, whose header and body are the inner message's.
 *
 * Invariants: offsets never fall from an entry to the next; each header and
 * body lies inside of its parent's body; header.off + header.len == body.off.
 */
#ifndef MIME_MESSAGE_H
#define MIME_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

#define MIME_NONE UINT32_MAX /* no such part */

enum { MIME_TEXT_KEEP = 4096 }; /* memory that isn't worth giving back */

/* Content-Transfer-Encoding, RFC 2045 6.1 */
enum mime_encoding {
	MIME_7BIT, /* also when nothing is said */
	MIME_8BIT,
	MIME_BINARY,
	MIME_QUOTED_PRINTABLE,
	MIME_BASE64,
	MIME_ENCODING_UNKNOWN,
};

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART, /* children are its body parts */
	MIME_MESSAGE,	/* its one child is the encapsulated message */
};

/* Header fields whose values the pass keeps. */
enum mime_field {
	MIME_F_CONTENT_TYPE,
	MIME_F_CONTENT_TRANSFER_ENCODING,
	MIME_F_CONTENT_ID,
	MIME_F_CONTENT_DESCRIPTION,
	MIME_F_CONTENT_DISPOSITION,
	MIME_F_CONTENT_LANGUAGE,
	MIME_F_CONTENT_LOCATION,
	MIME_F_CONTENT_MD5,
	/* from here on only of messages, not of the parts of a multipart */
	MIME_F_DATE,
	MIME_F_SUBJECT,
	MIME_F_IN_REPLY_TO,
	MIME_F_MESSAGE_ID,
	MIME_F_REFERENCES,
	/* address fields: all occurrences count (mime_message_field's nth) */
	MIME_F_FROM,
	MIME_F_SENDER,
	MIME_F_REPLY_TO,
	MIME_F_TO,
	MIME_F_CC,
	MIME_F_BCC,
	MIME_N_FIELDS,
};

/* A stretch of the file, and what it comes to on the wire. */
struct mime_span {
	uint64_t off;	/* bytes from the start of the file */
	uint64_t len;	/* bytes of the file */
	uint64_t wire;	/* bytes when each bare LF is sent as CRLF */
	uint64_t lines; /* line breaks */
};

struct mime_part {
	uint32_t parent;     /* MIME_NONE for the message itself */
	uint32_t first;	     /* first child, or MIME_NONE */
	uint32_t next;	     /* next part of the same parent, or MIME_NONE */
	uint32_t n_children; /* number of them */
	uint16_t depth;	     /* 0 for the message itself */
	uint8_t kind;	     /* enum mime_kind */
	uint8_t encoding;    /* enum mime_encoding */
	bool in_digest;	     /* the default type is message/rfc822 */
	bool capped;	     /* a limit made it a leaf: opaque bytes */
	bool counted;	     /* the next two are known, which the pass
			      * doesn't find out */
	bool has_nul;	     /* the body, without its encoding */
	uint64_t decoded;    /* bytes of the body without its encoding */
	struct mime_span header; /* with the empty line that ends it */
	struct mime_span body;
	uint32_t type, type_n;	     /* in text; type_n 0: the default */
	uint32_t subtype, subtype_n; /* in text */
	uint32_t field, n_fields;    /* its kept fields */
	uint32_t have;		     /* a bit for each enum mime_field */
};

/* One kept header field. */
struct mime_kept {
	uint32_t off, n; /* value in text, unfolded */
	uint8_t id;	 /* enum mime_field */
	bool cut;	 /* a limit cut it */
};

struct mime_message {
	uint32_t magic;
	struct mime_part *parts;
	uint32_t n_parts, cap_parts;
	struct mime_kept *kept;
	uint32_t n_kept, cap_kept;
	struct buf text;      /* values of the kept fields */
	struct mime_span all; /* the whole message */
	bool capped;	      /* the limit on parts or depth was met */
};

/* An empty message, to be filled by a mime_parser. */
void mime_message_init(struct mime_message *m);
/* Release what it holds; may be called again. */
void mime_message_fini(struct mime_message *m);
/* Empty it for the next one; keeps some KiB of memory at most. */
void mime_message_reset(struct mime_message *m);

/*
 * The media type and subtype of a part as they are written in its header,
 * or the default of RFC 2045 5.2 (text/plain; in a digest message/rfc822)
 * when that's missing or malformed.  Borrowed from m.
 */
void mime_part_type(const struct mime_message *m, uint32_t part,
    struct slice *type, struct slice *subtype);

/* Whether the top-level type of a part is type (in lower case). */
bool mime_part_is(
    const struct mime_message *m, uint32_t part, struct slice type);

/*
 * The nth (from 0) kept field id of a part, unfolded and without leading and
 * trailing white space; borrowed from m.  Only address fields have more than
 * one.  Returns false if there's none.
 */
bool mime_message_field(const struct mime_message *m, uint32_t part,
    enum mime_field id, uint32_t nth, struct slice *value);

/* The value of the first, or the empty slice. */
struct slice mime_message_value(
    const struct mime_message *m, uint32_t part, enum mime_field id);

#endif
