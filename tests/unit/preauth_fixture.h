/*
 * preauth_fixture: a case of a preauth's tests.
 *
 * The record holds the output as it is, between <> what the login process
 * would do (preauth_login.h), and after a login <OK tag|unparsed input>.
 */
#ifndef TESTS_UNIT_PREAUTH_FIXTURE_H
#define TESTS_UNIT_PREAUTH_FIXTURE_H

#include "tests/support/preauth_login.h"

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

/* Run the case whole, byte by byte, and cut in two at every byte. */
void preauth_fixture_check(
    preauth_login_new *make, const struct preauth_case *c);

#endif
