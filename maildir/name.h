/*
 * name: mailbox names and the directories that hold them.
 *
 * Layer:  maildir, uses base.
 * The one place where a name of a client becomes a path.  "INBOX" is the
 * Maildir itself, directory ""; "INBOX.a.b" is the directory ".a.b" in it.
 *
 * On disk two spellings are met: UTF-8 (Courier 5) and modified UTF-7
 * (older ones, and Dovecot).  A directory whose name holds a real shifted
 * sequence is shown decoded, unless the decoded directory exists too; new ones
 * are spelled as the tree already does.  So each directory has one name and
 * each name at most one directory.
 */
#ifndef MAILDIR_NAME_H
#define MAILDIR_NAME_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

enum { NAME_DIR_MAX = 255 };

/*
 * Whether a complete name can be one of a mailbox: INBOX (any case) or below
 * it, UTF-8, no empty part, '/', control characters, nor longer than a
 * directory's name may be.
 */
bool name_valid(struct slice name) MUST_USE;
/* Whether it is INBOX itself. */
bool name_is_inbox(struct slice name);
/* Append the name with its "INBOX" in capitals. */
void name_put_canonical(struct buf *out, struct slice name);

/* The spelling of a valid name's directory in UTF-8. */
void name_put_utf8_dir(struct buf *out, struct slice name);
/* The other one; false: there is no other, it would be the same. */
bool name_put_utf7_dir(struct buf *out, struct slice name) MUST_USE;

/*
 * The directory of a mailbox in the tree at root_fd: 0, with the directory
 * appended to out (NUL-terminated, not counted); ERR_INVALID; ERR_NOT_FOUND,
 * with the one that would be made for it appended; other ERR_*: whether it is
 * there can't be told.
 */
int name_to_dir(int root_fd, struct slice name, struct buf *out) MUST_USE;

/* Whether an entry of the root can be a mailbox's directory by its name. */
bool name_is_dir(struct slice dir);
/* Append the name of the mailbox in a directory of the tree. */
void name_put_from_dir(int root_fd, struct slice dir, struct buf *out);

/* Whether the tree spells names in modified UTF-7. */
bool name_tree_is_utf7(int root_fd);
/* Append s in modified UTF-7 if that holds a real shifted sequence; false: with
 * or without '&', it is spelled as it is. */
bool name_put_utf7(struct buf *out, struct slice s) MUST_USE;
/* Append s decoded if it holds a real shifted sequence; else as it is. */
void name_put_decoded(struct buf *out, struct slice s);

#endif
