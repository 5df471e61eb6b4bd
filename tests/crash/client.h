/*
 * client: a client of a real IMAP session, without sockets.
 *
 * Layer:  tests, uses maildir_fixture, protocols/imap.
 */
#ifndef TESTS_CRASH_CLIENT_H
#define TESTS_CRASH_CLIENT_H

#include "base/buf.h"
#include "protocols/imap/session.h"
#include "tests/support/maildir_fixture.h"

struct client {
	struct fixture *f;
	struct session *s; /* NULL: it has ended */
	struct buf said;   /* by the server, since the last command */
	unsigned tag;
	char reply[200]; /* the tagged one, without its tag */
};

/* A session that has just logged in. */
void client_begin(struct client *c, struct fixture *f);
void client_end(struct client *c);
/* Say a command: 0 for OK, else the ERR_* that the response code of the NO
 * stands for; ERR_FORMAT: none that is right, or BAD. */
int client_say(struct client *c, const char *command);

#endif
