/*
 * layout: mail that is laid out in another way than Maildir++.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_LAYOUT_H
#define MAILDIR_LAYOUT_H

#include "base/err.h"

/*
 * Look for mailboxes of Dovecot's layout "fs": folders in folders, without a
 * leading dot, "Sent/cur" for ".Sent/cur".  Served as Maildir++ they would
 * seem to be gone, and clients would make them anew.  0, or ERR_LAYOUT with
 * the name of one; what can't be read counts as not there.
 *
 * A folder counts if it has a cur and a file of Dovecot's, or is in the root
 * and the root has one: others may keep what they like in a Maildir.
 */
int layout_check(int root_fd, struct err *e) MUST_USE;

#endif
