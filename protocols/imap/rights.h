/*
 * imap_rights: where a mailbox is, and what the user may do there (RFC 4314).
 *
 * Layer:  protocols/imap.
 */
#ifndef IMAP_RIGHTS_H
#define IMAP_RIGHTS_H

#include "protocols/imap/session_impl.h"

/* Where a mailbox is, and what may be done there. */
struct imap_place {
	struct account *account; /* borrowed until the command is over */
	struct slice name;	 /* of the mailbox in that account */
	unsigned rights;	 /* enum acl_right */
	bool own;		 /* the session's account */
	bool link;		 /* in "shared.": modes give rights, too */
	bool no_list;		 /* they are those of a mailbox without one */
};
/*
 * Find a mailbox, which need not exist (call imap_leave() first, as a step may
 * come here again), and see that one has the rights.
 * 0; ERR_NO_RIGHT; ERR_NOT_FOUND, also for what one has no right to know of
 * (RFC 4314 6); ERR_BUSY, ….
 */
int imap_reach(struct imap_session *i, struct slice name, unsigned need,
    struct imap_place *out, struct err *e) MUST_USE;
/* The same for one that must exist, or be a parent of mailboxes; any right
 * that lets one know of it is enough. */
int imap_reach_any(struct imap_session *i, struct slice name,
    struct imap_place *out, struct err *e) MUST_USE;
/* The same, but the rights are those to the parent that is nearest. */
int imap_reach_parent(struct imap_session *i, struct slice name, unsigned need,
    struct imap_place *out, struct err *e) MUST_USE;
/* Leave the accounts that were reached. */
void imap_leave(struct imap_session *i);
/* The identifiers that name the user, in the arena. */
struct acl_who imap_who(struct imap_session *i, bool own);
/* The index of shared mailboxes for this account; .index NULL: none. */
struct shared_options imap_shared(struct imap_session *i);
bool imap_has_shared(const struct imap_session *i);
/* Whether UIDs in a mailbox may be told to the user: RFC 4315 3. */
bool imap_may_tell_uids(const struct imap_place *p);
/* Whether there are links to other Maildirs, "shared.". */
bool imap_has_links(struct imap_session *i);
/* The message flags that rights don't allow to change (RFC 4314 2.1). */
uint32_t imap_flags_denied(unsigned rights);
/* Append rights as RFC 4314 2.1.1 has them, in quotes. */
void imap_put_rights(struct buf *out, unsigned rights);
/* Whether some right lets one change the mailbox (RFC 4314 5.2). */
bool imap_may_write(unsigned rights);
/*
 * See whether the rights to the selected mailbox are other ones by now, and
 * tell that (RFC 4314 5.1.1).  0; ERR_NO_RIGHT: it may not be read any more;
 * ERR_BUSY, …: that can't be seen.
 */
int imap_rights_check(struct imap_session *i, struct err *e) MUST_USE;
/* The end of the session for ERR_NO_RIGHT. */
enum step imap_rights_lost(struct imap_session *i);

#endif
