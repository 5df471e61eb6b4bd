/*
 * shared_index: Courier's index of accounts whose mailboxes others may visit.
 *
 * Layer:  maildir, uses base.
 * A line is NAME<tab>UID<tab>GID<tab>HOME[<tab>MAILDIR], or
 * GROUP<tab>*<tab>FILE with the rest of the accounts in another file of the
 * same directory; lines that begin with '#' are comments.  In IMAP the mailbox
 * INBOX.Sent of NAME is called "#shared.NAME.Sent", its INBOX "#shared.NAME",
 * and of one in a group
 * "#shared.GROUP.NAME.Sent"; '.' and '/' of a NAME are spaces there, or with
 * munge "\:" and "\;".
 *
 * The index is the administrator's; what in it would lead out of its
 * directory, to another user's files, or round in a circle is left out, and
 * the log says so once.
 * Memory: slices of an index end with it.  Files that were read are kept in
 * the store and read again when they have changed.
 */
#ifndef MAILDIR_SHARED_INDEX_H
#define MAILDIR_SHARED_INDEX_H

#include "base/arena.h"
#include "maildir/acl.h"
#include "maildir/store.h"

#define SHARED_ROOT "#shared"

enum {
	SHARED_FILE_MAX = 16 * 1024 * 1024,
	/* of a file, and, with the mailboxes found, in one listing */
	SHARED_LINES_MAX = 200000,
	SHARED_DEPTH_MAX = 8,	   /* groups in groups */
	SHARED_FILES_KEPT = 64,
};

struct shared_options {
	const char *index; /* path of the file; NULL: there are none */
	bool munge;	   /* IMAP_SHAREDMUNGENAMES */
	const char *links; /* shared_link.h: the file for all; NULL: none */
};

/* What the lines of a file are. */
enum shared_format {
	SHARED_ACCOUNTS,
	SHARED_ACCOUNTS_MUNGED,
	SHARED_LINKS, /* shared_link.h */
};

struct shared_line {
	struct slice name;  /* a part of an IMAP name, UTF-8 */
	const char *target; /* the Maildir's path, or the group's file */
	bool group;
};

struct shared_index {
	struct shared_line *v; /* by name, none twice */
	size_t n;
	/* what was left out: lines of other users, that make no sense, and
	 * that name something a second time; the first of those */
	size_t n_foreign, n_bad, n_double, first_bad;
	size_t n_indirect; /* of links: paths with a symbolic link in them */
	struct arena arena;
};

/*
 * Parse the bytes of an index in the directory dir ("/etc/shared"), as seen by
 * a user.  Takes any bytes.
 */
void shared_index_parse(struct slice bytes, const char *dir, uint32_t uid,
    bool munge, struct shared_index *out);
/* The same of a file of links; paths aren't looked at. */
void shared_links_parse(struct slice bytes, struct shared_index *out);
void shared_index_fini(struct shared_index *x);
const struct shared_line *shared_index_find(
    const struct shared_index *x, struct slice name);

/* Whether a name could be one of a mailbox or group in "#shared.": no empty
 * part, '/' or control character, UTF-8, not too long. */
bool shared_name_valid(struct slice name) MUST_USE;
/* The same for "shared.NICK" and "shared.NICK.FOLDER". */
bool shared_link_name_valid(struct slice name) MUST_USE;

/* Whether there is an index. */
bool shared_exists(struct account *near, const struct shared_options *o);

/*
 * The Maildir that a name leads to, as seen from an account: 0 and its path in
 * path, and the name of the mailbox there ("INBOX.Sent") appended to mailbox.
 * ERR_NOT_FOUND: to none, to a group, or to the account itself.
 */
int shared_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox,
    struct err *e) MUST_USE;

/*
 * All mailboxes in "#shared." that somebody has the right to see, account
 * after account; only those whose names may begin with the prefix are looked
 * at, which are those in "shared." if it begins so.  who is borrowed.  1: call
 * again; 0: done, or ERR_*.
 */
struct shared_listing;
struct shared_listing *shared_listing_new(struct account *near,
    const struct shared_options *o, struct acl_who who,
    struct slice prefix) MUST_USE;
int shared_listing_step(struct shared_listing *l, struct err *e) MUST_USE;
/* When done: the names, and their parents as \Noselect. */
void shared_listing_take(struct shared_listing *l, struct mailbox_list *out);
void shared_listing_free(struct shared_listing **l);

/* --- files kept by a store ----------------------------------------------- */

struct shared_indexes;
/* The index in a file, with a reference; NULL: there is none, or it can't be
 * read (logged).  circle: say once that it is named in a circle. */
const struct shared_index *shared_index_get(struct shared_indexes **all,
    const char *path, enum shared_format format) MUST_USE;
void shared_index_unref(
    struct shared_indexes *all, const struct shared_index *x);
void shared_index_circle(
    struct shared_indexes *all, const struct shared_index *x, const char *to);
void shared_indexes_free(struct shared_indexes **all);

#endif
