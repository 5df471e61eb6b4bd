/*
 * acl_file: where the access control lists of a Maildir are, as Courier has
 * them.
 *
 * Layer:  maildir, uses base.
 * A mailbox's own list is the file courierimapacl in its directory; that of a
 * name that is only a parent of mailboxes is courierimaphieracl/NAME, without
 * the leading dot, in modified UTF-7 or in UTF-8.  Who has none has his
 * parent's, and INBOX has acl_default().
 *
 * What inherits a list is not to change with it: before a list is changed or
 * goes away, those below it that have none get a copy (acl_settle()).  So it
 * is with Courier, which writes each mailbox a list when it's made or opened.
 *
 * Files are replaced as a whole, and who gives a copy never takes the place of
 * a list that somebody else wrote meanwhile.  dir is a directory of the tree at
 * root_fd
 * ("" is INBOX, ".a.b"); u gives names for temporary files and counts on.
 */
#ifndef MAILDIR_ACL_FILE_H
#define MAILDIR_ACL_FILE_H

#include "base/err.h"
#include "maildir/acl.h"
#include "maildir/file_name.h"

enum acl_source { ACL_OWN, ACL_INHERITED, ACL_BY_DEFAULT };

/*
 * The list that applies in dir, and where it came from (NULL: never mind).
 * ERR_*: there is one that can't be read; then nobody is to be let in.
 */
int acl_read(int root_fd, const char *dir, struct acl *out,
    enum acl_source *from, struct err *e) MUST_USE;
/*
 * What there is to be seen, without reading anything, of the list that applies
 * in dir.  A file changed less than ACL_PRINT_AGE_MS before wall_ms isn't
 * known: another change might leave it looking the same.
 */
enum { ACL_PRINT_AGE_MS = 2000 };
struct acl_print acl_print(int root_fd, const char *dir, int64_t wall_ms);

/* The inode of the mailbox in dir; 0: there is none. */
uint64_t acl_place(int root_fd, const char *dir);
/*
 * Replace dir's own list, durably.  ino, unless 0: that of the directory that
 * it is for; the list goes with that if it gets another name meanwhile, and if
 * another one has the name now it is ERR_NOT_FOUND.
 */
int acl_write(int root_fd, const char *dir, uint64_t ino, const struct acl *a,
    struct file_unique *u, struct err *e) MUST_USE;

/* Give those below dir that inherit from it or from above it a copy. */
int acl_settle(int root_fd, const char *dir, struct file_unique *u,
    struct err *e) MUST_USE;

/* --- as mailboxes come and go -------------------------------------------- */

/* A mailbox was made in dir: it gets its parent's list (RFC 4314 4). */
int acl_created(int root_fd, const char *dir, struct file_unique *u,
    struct err *e) MUST_USE;
/* The mailbox in dir is about to be removed; those below it stay. */
int acl_before_delete(int root_fd, const char *dir, struct file_unique *u,
    struct err *e) MUST_USE;
/* The list of a name is to go; a mailbox's own goes with its directory. */
void acl_deleted(int root_fd, const char *dir);
/* The mailbox in dir is about to get another name, which is to or below it: its
 * list stays its own. */
int acl_before_rename(int root_fd, const char *dir, const char *to,
    struct file_unique *u, struct err *e) MUST_USE;
/* Names that are only parents took another name, too. */
void acl_renamed(int root_fd, const char *from, const char *to);

/* Remove lists of names that have no mailbox below them any more, but those
 * of less than an hour's age. */
int acl_tidy(int root_fd, int64_t wall_s, struct err *e) MUST_USE;

#endif
