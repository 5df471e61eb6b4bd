/*
 * charset_name: the charsets that mail is read in, and their names.
 *
 * Layer:  protocols/mime, uses base.  No allocation.
 *
 * Names come from mail, and iconv_open() loads a file for each: it is only
 * asked for what stands in this table.
 */
#ifndef MIME_CHARSET_NAME_H
#define MIME_CHARSET_NAME_H

#include <stddef.h>

#include "base/defs.h"
#include "base/slice.h"

enum { MIME_CHARSETS = 78 }; /* rows: charsets that need iconv(3) */

enum mime_charset_kind {
	MIME_CHARSET_UNKNOWN,
	MIME_CHARSET_UTF8,  /* or US-ASCII, or the empty name */
	MIME_CHARSET_OTHER, /* *row is set, below MIME_CHARSETS */
};

/* What mail means by that name (RFC 2978 2.3), in either case. */
enum mime_charset_kind mime_charset_find(
    struct slice name, unsigned *row) MUST_USE;
/* The name of a row for iconv_open(). */
const char *mime_charset_iconv(unsigned row);
/* Of how many bytes, at least, each of its characters is: 1, 2 or 4. */
size_t mime_charset_unit(unsigned row);

#endif
