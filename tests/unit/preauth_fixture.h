/*
 * preauth_fixture: a login process without sockets: feeds a preauth, plays
 * authdaemond, and writes down what comes out.
 *
 * The record holds the output as it is, and between <> what the login process
 * would do: <AUTH mech user>, <OK tag|unparsed input>, <ABORT>, <TLS>,
 * <CLOSE> or <LOGOUT>.
 *
 * The user table: alice has the password "secret word"; the names down, limit
 * and disabled fail in these ways whatever the password is.
 */
#ifndef TESTS_UNIT_PREAUTH_FIXTURE_H
#define TESTS_UNIT_PREAUTH_FIXTURE_H

#include "protocols/preauth.h"

struct preauth_case {
	const char *name;
	struct slice in;
	const char *want; /* the record, without the greeting */
	bool no_clear;	  /* password commands need TLS */
	bool no_starttls;
	bool tls;	     /* from the beginning */
	const char *mechs;   /* NULL: "PLAIN LOGIN" */
	struct slice in_tls; /* sent under TLS once STARTTLS was answered */
};

#define BYTES(lit) SLICE_INIT(lit)

enum { PREAUTH_LINE_MAX = 200, PREAUTH_LITERAL_MAX = 40, PREAUTH_COMMANDS = 5 };

extern struct preauth_options preauth_fixture_options;

typedef struct preauth *preauth_fixture_new(const struct preauth_options *opt);

/* Run the case whole, byte by byte, and cut in two at every byte. */
void preauth_fixture_check(
    preauth_fixture_new *make, const struct preauth_case *c);

#endif
