/*
 * pop3_fixture: a worker without sockets, whose one POP3 session has a mailbox
 * in memory.
 *
 * Layer:  tests, uses protocols, fake_mailbox.
 */
#ifndef TESTS_UNIT_POP3_FIXTURE_H
#define TESTS_UNIT_POP3_FIXTURE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/step.h"
#include "protocols/pop3/session.h"

enum { LINE_MAX = 255, TIMEOUT_MS = 600 * 1000, CLOSE_MS = 1000 };

#define INVALID "-ERR Invalid command.\r\n"
#define X10	"xxxxxxxxxx"
#define X50	X10 X10 X10 X10 X10
#define X250	X50 X50 X50 X50 X50

/* What the session is made with. */
extern struct pop3_options options;
/* Lines that were logged since worker_begin(). */
extern char log_text[4096];

struct worker {
	struct session *s;
	struct buf out; /* all that the client was sent */
	int64_t now;
	enum step last;
};

/* Three messages, of 18, 14 and 11 octets. */
void fill_maildrop(void);

void worker_begin(struct worker *w);
void worker_fini(struct worker *w);
/* Run it until it waits for input (or is done). */
void worker_serve(struct worker *w);
/* A session of such a maildrop, up to there. */
void worker_greet(struct worker *w);
void worker_send(struct worker *w, struct slice in);
/* The client closes its side. */
void worker_eof(struct worker *w);
/* What it says to that must be this. */
void worker_expect(struct worker *w, const char *in, const char *want);

#endif
