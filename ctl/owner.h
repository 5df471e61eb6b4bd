/*
 * owner: open a Maildir that was named on the command line, as its owner.
 *
 * Layer:  ctl, uses base.
 */
#ifndef CTL_OWNER_H
#define CTL_OWNER_H

/*
 * Open a directory to read.  If root asks, this process then is its owner for
 * good, and no link on the way is followed but root's own (ELOOP): a user could
 * make one that leads to somebody else's mail.  Returns a descriptor, or -1
 * with errno.
 */
int owner_open(const char *path);

#endif
