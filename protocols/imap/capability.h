/*
 * imap_capability: the words of CAPABILITY that are true of this server
 * (RFC 3501 7.2.1), before and after login.
 *
 * Layer:  protocols/imap, uses base.  No I/O, no allocation.
 */
#ifndef IMAP_CAPABILITY_H
#define IMAP_CAPABILITY_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Append the words of what is implemented, each after a blank.  filter: the
 * words of IMAP_CAPABILITY as an admin has them; those of Courier's default
 * that aren't among them are left out.  NULL or "": all are said.
 * acl: whether access control lists are told of (IMAP_ACL).
 * "LITERAL-" among them is told in place of LITERAL+ (RFC 7888 5).
 */
void imap_capability_words(const char *filter, bool acl, struct buf *out);
/* Whether word is among the filter's. */
bool imap_capability_asked(const char *filter, const char *word);

#endif
