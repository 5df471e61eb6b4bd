/*
 * imap_fold: text without regard to case, for SEARCH.
 * RFC 3501 6.4.4: "the matching is case-insensitive".
 *
 * Layer:  protocols/imap, uses base.
 *
 * Letters of ASCII and those of the Latin, Greek, Cyrillic, Armenian and
 * full-width blocks that have a simple lower case are folded; other
 * characters stand for themselves.
 */
#ifndef IMAP_FOLD_H
#define IMAP_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

/* The folded form of a code point. */
uint32_t imap_fold_char(uint32_t c);

/* What is looked for: folded, with the table of the search. */
struct imap_needle {
	struct slice bytes;
	uint32_t *back; /* KMP's failure function */
};

/* Make one of UTF-8; in the arena.  False beyond its limit. */
bool imap_needle_make(
    struct imap_needle *n, struct slice utf8, struct arena *a) MUST_USE;

/* A search under way in text that comes in pieces. */
struct imap_finder {
	const struct imap_needle *needle;
	uint32_t at; /* bytes of it matched */
	bool found;
	uint8_t held[4]; /* the beginning of a character */
	uint8_t n_held;
};

void imap_finder_init(struct imap_finder *f, const struct imap_needle *n);
/* The next bytes of the text, UTF-8; true once it is found. */
bool imap_finder_feed(struct imap_finder *f, struct slice utf8);

#endif
