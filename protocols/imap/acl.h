/*
 * acl: what the commands of RFC 4314 (cmd_acl.c) and Courier's ACL (cmd_acl2.c)
 * have in common: one change of a mailbox's list.
 *
 * Layer:  protocols/imap, uses base, maildir.
 * Memory: all slices are the command's, in the session's arena.
 */
#ifndef IMAP_ACL_H
#define IMAP_ACL_H

#include "maildir/account_change.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"

struct acl_args {
	struct slice name, identifier, rights;
	bool bad_name;
	struct slice who; /* the identifier as in the files */
	uint8_t how;	  /* '+', '-' or 0: replace */
	unsigned mask;	  /* enum acl_right */
	struct imap_place place;

	/* of imap_acl_change() */
	struct imap_session *session;
	struct account_change *change;
	int (*edit)(void *arg, struct acl *list);
	void *edit_arg;
	struct slice loser; /* whose rights can't be taken away */
	struct slice lines; /* the list as it was written, as in the files */
};

/*
 * Make who of identifier, from how clients say it to how the files do: NAME is
 * "user=NAME".  RFC 4314 3: prepared by SASLprep.  False: there can be no such
 * identifier, of more than ACL_IDENTIFIER_MAX bytes for one.
 */
bool imap_acl_identifier(struct imap_session *i, struct acl_args *a) MUST_USE;

/*
 * Find the mailbox of a->name, which the user must be allowed to administer,
 * and read its list into *list, which the caller has initialised.  0, or
 * ERR_*: e says what is wrong.
 */
int imap_acl_load(struct imap_session *i, struct acl_args *a, struct acl *list,
    struct err *e) MUST_USE;

/*
 * A step of changing the list of a->name, which the user must be allowed to
 * administer when edit is called; others' changes of this process come before
 * or after.  edit gets the list as it is, may be called again, and returns 0 or
 * ERR_LIMIT.  STEP_DONE: *rc is 0, ERR_INVALID with a->loser, ERR_LIMIT (no
 * such entry can be, or no more), or another one.
 */
enum step imap_acl_change(struct imap_session *i, struct acl_args *a,
    int (*edit)(void *arg, struct acl *list), void *arg, int *rc,
    struct err *e) MUST_USE;

/* What the list gives to an identifier as in the files: enum acl_right. */
unsigned imap_acl_rights_of(const struct acl *list, struct slice identifier);

/* What LIST is asked to tell besides, in Courier's words: ACL, MYRIGHTS. */
enum { ACL_LIST_LISTS = 1, ACL_LIST_RIGHTS = 2 };
/*
 * Append that of a mailbox, by the name that the client is told: the list if
 * the user may administer it, his rights if he has one to know of it.
 */
void imap_acl_put_listed(
    struct imap_session *i, struct slice shown, unsigned what);

/* Log that a->who has these rights now. */
void imap_acl_log(
    struct imap_session *i, const struct acl_args *a, unsigned rights);

#endif
