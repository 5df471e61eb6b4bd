/*
 * header: the fields of a message header that is in memory, and the choice
 * of some of them as IMAP's HEADER.FIELDS wants it.
 * RFC 5322 section 2.2, RFC 3501 6.4.5.
 *
 * Layer:  protocols/mime, uses base.
 * Memory: slices point into the input; a mime_filter owns its list of names
 *         (not the bytes of the names).
 */
#ifndef MIME_HEADER_H
#define MIME_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

/* --- walking ------------------------------------------------------------- */

struct mime_header_field {
	struct slice name;  /* without white space before the colon; empty */
			    /* for a line that is no field */
	struct slice value; /* behind the colon: raw, folded, without the */
			    /* last line break */
	struct slice raw;   /* all of it, with the last line break */
};

/*
 * Take the next field off the front of *rest.  Returns false at the empty
 * line (which stays in *rest) and at the end.
 */
bool mime_header_next(struct slice *rest, struct mime_header_field *field);

/* Append a raw value without its line breaks (RFC 5322 2.2.3). */
void mime_unfold(struct slice raw, struct buf *out);

/* --- HEADER.FIELDS ------------------------------------------------------- */

enum { MIME_NAME_MAX = 1000 }; /* no name in a list can be longer */

struct mime_filter {	     /* private */
	struct slice *names; /* sorted, no two equal */
	size_t n_names;
	bool except;
	uint8_t state;
	bool take; /* the field under way goes out */
	uint8_t last;
	size_t n_line;
	uint8_t line[MIME_NAME_MAX + 1]; /* while undecided */
	uint64_t n_out;
};

/*
 * Choose the fields with one of these names, or with none of them (except).
 * The bytes of the names are borrowed until mime_filter_fini().  Lines that
 * are no field have no name: only except lets them through.
 */
void mime_filter_init(
    struct mime_filter *f, const struct slice *names, size_t n, bool except);
void mime_filter_fini(struct mime_filter *f);

/*
 * Feed the header from the file, in pieces of any size, with the empty line
 * that ends it; what is chosen goes to out in wire form (CRLF), and the empty
 * line always.  out may be NULL, to learn the length only.
 */
void mime_filter_feed(struct mime_filter *f, struct slice in, struct buf *out);
/* The end of the header: put out what was held back. */
void mime_filter_finish(struct mime_filter *f, struct buf *out);
/* Wire bytes put out so far. */
uint64_t mime_filter_len(const struct mime_filter *f);

#endif
