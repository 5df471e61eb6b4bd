/*
 * imap_fields: the header fields that clients and searches ask for, as the
 * cache keeps them.
 *
 * Layer:  protocols/imap, uses base and mime.
 * Memory: slices point into what was given.
 *
 * Some sixty names are known, those that mail programs are seen to ask for.
 * The fields of a message that have one of them are kept in their order and in
 * wire form (CRLF), so that HEADER.FIELDS of any choice of these names, and
 * what SEARCH, SORT and THREAD look at, is there without the file.
 *
 * Kept: a byte (1: the header ended with an empty line), then for each field
 * its number in a byte, its length in two, and its bytes.
 */
#ifndef IMAP_FIELDS_H
#define IMAP_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Numbers of those that the server itself looks at. */
enum imap_field {
	IMAP_F_BCC,
	IMAP_F_CC,
	IMAP_F_DATE,
	IMAP_F_FROM,
	IMAP_F_IN_REPLY_TO,
	IMAP_F_MESSAGE_ID,
	IMAP_F_REFERENCES,
	IMAP_F_SUBJECT,
	IMAP_F_TO,
	IMAP_F_OTHERS,
};

/* A set of known names, bit by bit; 0 when one of the names isn't known. */
uint64_t imap_fields_set(const struct slice *names, size_t n);
/* The number of a name, or -1. */
int imap_fields_number(struct slice name);

/*
 * Append what is kept of a header; ended: by an empty line.  False, with out as
 * it was, when a field is too long for the form.
 */
bool imap_fields_make(struct slice header, bool ended, struct buf *out);

/* A field as it is kept: raw with its name and its CRLF. */
struct imap_kept_field {
	unsigned number;
	struct slice raw;
};
/* Begin: pass over the first byte. */
struct slice imap_fields_begin(struct slice kept);
/* Take the next one; false at the end. */
bool imap_fields_next(struct slice *rest, struct imap_kept_field *f);
/* The value of a field: what is behind the colon, without the last CRLF. */
struct slice imap_fields_value(const struct imap_kept_field *f);

/* Bytes that imap_fields_put gives. */
size_t imap_fields_len(struct slice kept, uint64_t set);
/* Append the fields of a set, and the empty line if there was one. */
void imap_fields_put(struct slice kept, uint64_t set, struct buf *out);

#endif
