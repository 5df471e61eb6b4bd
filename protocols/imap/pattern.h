/*
 * imap_pattern: mailbox names against patterns of LIST and LSUB.
 * RFC 3501 6.3.8.
 *
 * Layer:  protocols/imap, uses base.  No allocation.
 * Time:   the length of the name times that of the pattern, whatever wildcards
 *         it has.
 */
#ifndef IMAP_PATTERN_H
#define IMAP_PATTERN_H

#include <stdbool.h>

#include "base/defs.h"
#include "base/slice.h"

enum { IMAP_PATTERN_MAX = 1000 }; /* bytes, of the pattern */

/*
 * Whether the whole name matches: "*" stands for anything, "%" for anything
 * without the separator '.'.  The five letters of an INBOX at the front of
 * the name match in either case (RFC 3501 5.1).  A longer pattern than
 * IMAP_PATTERN_MAX matches nothing.
 */
bool imap_pattern_match(struct slice pattern, struct slice name) MUST_USE;

#endif
