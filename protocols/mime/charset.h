/*
 * charset: text in any charset to UTF-8, as a stream.
 *
 * Layer:  protocols/mime, uses base and iconv(3).
 * Memory: a mime_charset holds a conversion descriptor from
 *         mime_charset_open() to mime_charset_close().  The process keeps one
 *         of each charset that it has met (charset_name.h) for the next: some
 *         30 KiB each.  Not for threads.
 *
 * The output is always valid UTF-8; what can't be converted becomes U+FFFD.
 * US-ASCII is read as UTF-8, for mail that says nothing and means that.
 */
#ifndef MIME_CHARSET_H
#define MIME_CHARSET_H

#include <iconv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

struct mime_charset {  /* private */
	bool converts; /* cd is open; else the input is UTF-8 */
	iconv_t cd;
	unsigned row;	   /* charset_name.h */
	uint8_t carry[16]; /* the beginning of a character */
	size_t n_carry;
};

/*
 * Begin a conversion.  Returns false if the charset isn't known; the input
 * is then read as UTF-8.  The empty name is US-ASCII.
 */
bool mime_charset_open(struct mime_charset *c, struct slice name);
void mime_charset_feed(
    struct mime_charset *c, struct slice in, struct buf *out);
/* The text ends: half a character is given out as U+FFFD. */
void mime_charset_finish(struct mime_charset *c, struct buf *out);
/* Release it; after open, whatever that returned. */
void mime_charset_close(struct mime_charset *c);

/* Whether there's a conversion from this charset (SEARCH CHARSET). */
bool mime_charset_known(struct slice name);

/* All of it at once; false, and the input read as UTF-8, if unknown. */
bool mime_charset_decode(struct slice name, struct slice in, struct buf *out);

#endif
