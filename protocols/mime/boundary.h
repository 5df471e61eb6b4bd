/*
 * boundary: the open multiparts of a message and what ends their parts.
 * RFC 2046 section 5.1.1.
 *
 * Layer:  protocols/mime, uses base.  For parser.c.
 * Memory: a mime_boundaries owns its stack and the texts of the boundaries.
 */
#ifndef MIME_BOUNDARY_H
#define MIME_BOUNDARY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { MIME_BOUNDARY_MAX = 512 }; /* bytes; RFC 2046 allows 70 */

enum mime_delimiter {
	MIME_DELIMITER_NONE,  /* an ordinary line */
	MIME_DELIMITER_OPEN,  /* "--boundary": a part begins */
	MIME_DELIMITER_CLOSE, /* "--boundary--": the multipart ends */
};

struct mime_open {
	uint32_t part;	 /* the multipart's entry */
	uint32_t last;	 /* its newest child, or MIME_NONE */
	uint32_t off, n; /* its boundary in text */
	uint32_t hash;	 /* of the boundary */
};

struct mime_boundaries {
	struct mime_open *v; /* the innermost is the last */
	size_t n, cap;
	struct buf text;
};

/* An empty stack for at most max multiparts at a time. */
void mime_boundaries_init(struct mime_boundaries *b, size_t max);
void mime_boundaries_fini(struct mime_boundaries *b);

/* Push a multipart; the boundary has 1 to MIME_BOUNDARY_MAX bytes. */
void mime_boundaries_push(
    struct mime_boundaries *b, uint32_t part, struct slice boundary);
/* Pop all but the outermost n. */
void mime_boundaries_truncate(struct mime_boundaries *b, size_t n);

/*
 * What a whole line, without its line break, is to the open multiparts; the
 * level (0 is outermost) of the one it belongs to goes to *level.
 */
enum mime_delimiter mime_boundaries_match(
    const struct mime_boundaries *b, struct slice line, size_t *level);

#endif
