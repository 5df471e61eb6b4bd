/*
 * shared_link: Courier's folders of other Maildirs, by link ("shared.").
 *
 * Layer:  maildir, uses base.
 * A line NICK<tab>/PATH of the file shared-maildirs in an account's Maildir, or
 * of one for all accounts, names another Maildir; the user's own line counts
 * where both have a NICK.  Its folder .a.b is "shared.NICK.a.b".  The Maildir
 * must belong to the user of the process, and no symbolic link may lead to it:
 * it is opened as any account is.
 *
 * What may be done in a folder is said by its list (acl.h), and for everybody
 * by the modes that maildirmake -S and -s give: whoever isn't the owner must be
 * let through the Maildir and into the folder.
 *
 * Subscriptions are where Courier has them: a directory
 * shared-folders/NICK/a.b in the visitor's Maildir, with cur, new, tmp and a
 * symbolic link "shared" to the folder, which Postern writes but never follows.
 */
#ifndef MAILDIR_SHARED_LINK_H
#define MAILDIR_SHARED_LINK_H

#include "maildir/shared_index.h"

#define SHARED_LINK_ROOT "shared"

enum {
	SHARED_LINKS_FILE_MAX = 1024 * 1024,
	SHARED_LINKS_MAX = 1000,	  /* lines */
	SHARED_SUBSCRIPTIONS_MAX = 10000, /* directories looked at */
};

struct collect;

/* Whether there is a file of links for an account. */
bool shared_links_exist(struct account *near, const struct shared_options *o);
/* Append the path that a NICK stands for; false: there is none. */
bool shared_link_target(struct account *near, const struct shared_options *o,
    struct slice nick, struct buf *path) MUST_USE;
/* As shared_find(), for "shared.NICK.FOLDER". */
int shared_link_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox,
    struct err *e) MUST_USE;

/* The user's own file of links, appended. */
void shared_link_own_file(struct account *near, struct buf *path);
/* The rights (enum acl_right) that the modes of a folder give to everybody. */
unsigned shared_link_rights(int root_fd, const char *dir);
/* The same for a mailbox of an account that is open; none if there is no such
 * mailbox. */
unsigned account_link_rights(struct account *a, struct slice name);

/* Add the subscriptions of an account that is open. */
void shared_link_subscriptions(struct account *a, struct collect *out);

#endif
