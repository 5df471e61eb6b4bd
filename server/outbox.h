/*
 * outbox: the process that gives a message to sendmail, for its user.
 *
 * Layer:  server, uses base.
 * OUTBOX of Courier: an APPEND to that mailbox sends the message.  A worker
 * executes nothing: it has the master do that, which starts this process.
 */
#ifndef SERVER_OUTBOX_H
#define SERVER_OUTBOX_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
	OUTBOX_REPORT_MAX = 500, /* bytes of what the program said */
	OUTBOX_SENT = 0,
	OUTBOX_BUSY = 123,    /* too many run */
	OUTBOX_TIMEOUT = 124, /* it had to be killed */
	OUTBOX_NOT_RUN = 126,
};

struct outbox {
	const char *program; /* SENDMAIL */
	const char *sender;  /* for -f: the account's address */
	const char *header;  /* HEADERFROM, the name of a field; "": none */
	uint32_t seconds;    /* how long it may take */
};

/*
 * Whether the sender can be an argument and stand in a header field, and the
 * field have that name (RFC 5322 2.2).
 */
bool outbox_may_send(const struct outbox *o);
/*
 * Give the file to "PROGRAM -oi -t -f SENDER" with the rights this process
 * has, and with nothing of its environment; when it has ended, write what it
 * said to report.  Returns its exit status, 128 and the signal that ended it,
 * or OUTBOX_*.
 */
int outbox_run(const struct outbox *o, int message, int report);
/* Main function of the master's process: UID GID SECONDS PROGRAM SENDER
 * HEADER; the message is its standard input, the report its output. */
int outbox_main(char *argv[]);

/* The text for a status that is not OUTBOX_SENT: the report, if there is one,
 * or what the status says; room: 100 bytes at least. */
const char *outbox_why(
    uint32_t status, struct slice report, char *room, size_t size);

#endif
