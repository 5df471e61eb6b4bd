/*
 * mech: SASL mechanisms (RFC 4422), one file each.
 *
 * Layer:  auth, uses base, answer.  No I/O, no clock.
 * Memory: a mech_state is embedded in its request and owns what it holds;
 *         mech_state_fini() wipes it.
 *
 * A mechanism is a row: how it steps on a client's response, and, where the
 * user table's answer isn't yet the result, how it goes on after that.  To
 * add one, write mech_NAME.c and name its row in mech.c.
 */
#ifndef AUTH_MECH_H
#define AUTH_MECH_H

#include "auth/answer.h"
#include "auth/defdomain.h"
#include "base/buf.h"
#include "base/defs.h"
#include "base/secret.h"
#include "base/slice.h"

enum {
	/* Bytes of one response or challenge, decoded. */
	MECH_MESSAGE_MAX = 8192,
};

enum mech_next {
	MECH_CHALLENGE,	   /* send challenge, wait for a response */
	MECH_ASK,	   /* ask the user table: op, user, password, extra */
	MECH_ACCEPT,	   /* done, with the account that was answered */
	MECH_REJECT,	   /* wrong */
	MECH_REJECT_AUTHZ, /* authenticated, but may not act for the other */
	MECH_UNSURE,	   /* it may be right: what was asked is only hearsay */
	MECH_UNUSABLE,	   /* right, but the account can't be used */
};

/* What must be in the user table for it. */
enum mech_needs {
	MECH_NEEDS_PASSWORD, /* in whatever form */
	MECH_NEEDS_CLEAR,    /* in the clear, or keys made for it */
};

struct mech;
struct mech_state {
	const struct mech *mech;
	int stage; /* the mechanism's; 0 at the beginning */
	struct buf challenge;
	/* what to ask; user also names the request in logs and replies */
	enum query_op op;
	struct secret user;
	struct secret password;
	struct secret extra;
	/* channel bindings of the client's connection; unset without TLS */
	struct secret tls_exporter;
	struct secret tls_server_end_point;
	struct secret certified; /* whom the client's certificate names */
	struct defdomain defdomain;
	void *more; /* the mechanism's, ended by its fini() */
};

struct mech {
	struct slice name;
	const char *flags; /* of the MECH line, TAB separated */
	enum mech_needs needs;
	struct slice hash; /* goes with the question; "" none */
	bool plus;	   /* needs a channel binding */
	bool certified;	   /* needs somebody who has seen a certificate */
	/* response: NULL when the client sent none with its request. */
	enum mech_next (*step)(
	    struct mech_state *st, const struct slice *response);
	/*
	 * The user table's answer, OK, rejected, or unusable with what judges
	 * the client nevertheless.  NULL: OK accepts, rejected rejects.  Where
	 * it is given, MECH_ACCEPT comes from a later step; then account()
	 * tells the account, and challenge holds what the client must get with
	 * its success.
	 */
	enum mech_next (*answered)(
	    struct mech_state *st, const struct answer *a);
	struct answer (*account)(struct mech_state *st);
	void (*fini)(struct mech_state *st);
};

/* Every mechanism, strongest first; *n: how many. */
const struct mech *const *mech_all(size_t *n);
/* By name in either case; NULL if there is none. */
const struct mech *mech_find(struct slice name);

void mech_state_init(struct mech_state *st, const struct mech *m);
void mech_state_fini(struct mech_state *st);
/*
 * Take the user name that a client gave, completed by DEFDOMAIN, as user.
 * False for none that can be one: then user stays.
 */
bool mech_take_user(struct mech_state *st, struct slice name) MUST_USE;

extern const struct mech mech_plain, mech_login, mech_cram_md5, mech_cram_sha1,
    mech_cram_sha256, mech_scram_sha1, mech_scram_sha1_plus, mech_scram_sha256,
    mech_scram_sha256_plus, mech_external;

#endif
