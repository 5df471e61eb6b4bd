/*
 * worker_refuse: whether an account can be served, and the session of one that
 * can't, which only says why.
 *
 * Layer:  server, uses base, maildir, protocols.
 */
#ifndef SERVER_WORKER_REFUSE_H
#define SERVER_WORKER_REFUSE_H

#include <sys/stat.h>

#include "maildir/store.h"
#include "protocols/session.h"
#include "server/service.h"

struct refusal {
	const char *why; /* for the client; NULL: none */
	bool locked;	 /* by the admin: logged as LOCKED */
};

/*
 * Look at the account's home and Maildir, as its user.  home "": unknown.
 * owner: both ids of the Maildir must be ours (IMAP_MAILBOX_SANITY_CHECK).
 * A Maildir that isn't there is none of this business: it will be made.
 * found: what stat() says of the Maildir, or zeros.
 */
struct refusal account_refusal(
    const char *home, const char *path, bool owner, struct stat *found);

/* A session that says so, logs it, and ends; account is taken over. */
struct session *refusal_session_new(enum service s,
    const struct session_peer *peer, const char *tag, struct account *account,
    const struct refusal *r);

#endif
