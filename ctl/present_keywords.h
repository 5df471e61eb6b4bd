/*
 * present_keywords: what Postern knows of a message's keywords.
 *
 * Layer:  ctl, uses maildir.  Works beside a server that has the account open.
 */
#ifndef CTL_PRESENT_KEYWORDS_H
#define CTL_PRESENT_KEYWORDS_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Append the keywords of the message with that base name, a line each.  dir:
 * the mailbox's directory below the Maildir at root (an absolute path), "" for
 * INBOX.  1; 0: Postern doesn't know the message, or never was here; ERR_*.
 */
int present_keywords(const char *root, const char *dir, struct slice base,
    struct buf *out, struct err *e) MUST_USE;

#endif
