/*
 * imap_casemap: text made ready for comparison under i;unicode-casemap, and a
 * search for one text in another under it.
 * RFC 5051; RFC 5255 section 3 (I18NLEVEL=1).
 *
 * Layer:  protocols/imap, uses base and utf8proc.
 *
 * A prepared text is what RFC 5051 section 2 calls titlecased canonicalized
 * UTF-8: two texts are equal, ordered, or one is part of the other, as their
 * prepared forms are byte by byte.
 */
#ifndef IMAP_CASEMAP_H
#define IMAP_CASEMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/*
 * Append the prepared form of UTF-8.  Bytes that aren't UTF-8 stay as they
 * are.  It is at most eighteen times as long, and mostly as long.
 */
void imap_casemap(struct slice utf8, struct buf *out);

/* Prepare bytes in place; false, with them half prepared, if they aren't all
 * ASCII. */
bool imap_casemap_ascii(uint8_t *p, size_t n);

/* What is looked for, prepared. */
struct imap_needle {
	struct slice bytes;
};

enum { IMAP_NEEDLE_MAX = 64 * 1024 };

/* Make one of UTF-8; in the arena.  False beyond its limit. */
bool imap_needle_make(
    struct imap_needle *n, struct slice utf8, struct arena *a) MUST_USE;

/* Whether it is in text that is prepared and whole. */
bool imap_needle_in(const struct imap_needle *n, struct slice prepared);

/* A search under way in text that comes in pieces. */
struct imap_finder { /* private, but found */
	const struct imap_needle *needle;
	bool found;
	uint8_t part[4]; /* the beginning of a character */
	uint8_t n_part;
	struct buf held; /* prepared text that may hold the needle's begin */
};

void imap_finder_init(struct imap_finder *f, const struct imap_needle *n);
void imap_finder_fini(struct imap_finder *f);
/* The next bytes of the text, UTF-8; true once it is found. */
bool imap_finder_feed(struct imap_finder *f, struct slice utf8);
/* The text ends; what follows is another one. */
void imap_finder_restart(struct imap_finder *f);

#endif
