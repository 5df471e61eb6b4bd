/*
 * subscription: the file courierimapsubscribed.
 *
 * Layer:  maildir, uses base.
 * One complete name a line, in UTF-8 or in modified UTF-7, as the tree is; it
 * is replaced as a whole, so that Courier can go on reading it.
 */
#ifndef MAILDIR_SUBSCRIPTION_H
#define MAILDIR_SUBSCRIPTION_H

#include "base/buf.h"
#include "base/err.h"
#include "maildir/file_name.h"

/* Append the names in UTF-8, a newline behind each; none if there's no file. */
int subscription_read(int root_fd, struct buf *out, struct err *e) MUST_USE;
/* Write these names, a newline behind each, as the whole file. */
int subscription_replace(int root_fd, struct slice names,
    const struct file_unique *u, struct err *e) MUST_USE;
/* Add or remove a name.  Removing one that isn't there is ERR_NOT_FOUND. */
int subscription_set(int root_fd, struct slice name, bool on,
    const struct file_unique *u, struct err *e) MUST_USE;

#endif
