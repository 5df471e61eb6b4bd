/*
 * preauth_login: a login process without sockets: feeds a preauth, plays
 * authdaemond, and keeps what comes out.
 *
 * The user table: alice has the password "secret word"; the names down, limit
 * and disabled fail in these ways whatever the password is.
 */
#ifndef TESTS_SUPPORT_PREAUTH_LOGIN_H
#define TESTS_SUPPORT_PREAUTH_LOGIN_H

#include "protocols/preauth.h"

typedef struct preauth *preauth_login_new(const struct preauth_options *opt);

struct preauth_login {
	struct preauth *p;
	struct buf record; /* the output */
	/* Write down, between <>, what the login process would do as well:
	 * AUTH mech user, RESPONSE mech user, ABORT, TLS, CLOSE or LOGOUT. */
	bool events;
	bool handed;	/* logged in: what is left of the input is the
			   worker's */
	bool tls_begun; /* STARTTLS: nothing more goes in until TLS is up */
	bool closed;

	bool asked_password; /* mechanism LOGIN: the name is here */
	struct secret name;
};

/* A connection, greeted.  opt is borrowed. */
void preauth_login_init(struct preauth_login *l, preauth_login_new *make,
    const struct preauth_options *opt, bool tls, bool clear_allowed,
    const char *mechanisms);
void preauth_login_fini(struct preauth_login *l);
/* Bytes of the client, and all that follows from them. */
void preauth_login_feed(struct preauth_login *l, struct slice in);
/* TLS is up after tls_begun. */
void preauth_login_tls(struct preauth_login *l);
/* The login process ends it. */
void preauth_login_end(struct preauth_login *l, enum preauth_failure why);

#endif
