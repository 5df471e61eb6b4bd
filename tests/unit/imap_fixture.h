/*
 * imap_fixture: a session of the fixture's account, without sockets, that has
 * just logged in.
 *
 * Layer:  tests, uses maildir_fixture, protocols/imap.
 */
#ifndef TESTS_IMAP_FIXTURE_H
#define TESTS_IMAP_FIXTURE_H

#include "protocols/imap/session.h"
#include "tests/support/maildir_fixture.h"

extern struct session *imap_client;
extern struct buf imap_said; /* by the server, since the last line */

int imap_setup(void **state);
int imap_teardown(void **state);
/* Say a line, and run until all of it is done: in how many pieces. */
unsigned imap_say(struct fixture *f, const char *line);

#endif
