/*
 * protocol_courier: the requests and replies of Courier's authdaemon socket.
 *
 * Layer:  auth, uses base, answer.  No I/O, no clock.
 * Memory: a request borrows from the bytes it was parsed from, and from
 *         itself: it isn't copied.
 *
 * One request a connection:
 *	[NAME=value\n]…  COMMAND[ args]\n  [body]
 * docs/auth.md has the whole protocol.  Line end is \n alone.
 */
#ifndef AUTH_PROTOCOL_COURIER_H
#define AUTH_PROTOCOL_COURIER_H

#include <stdbool.h>

#include "auth/answer.h"
#include "base/buf.h"
#include "base/parse.h"
#include "base/slice.h"

enum {
	COURIER_LINE_MAX = 8190, /* a header line, without its newline */
	COURIER_BODY_MAX = 8191, /* announced by AUTH */
	COURIER_META_MAX = 16,	 /* metadata lines before the command */
	/* No request is longer, so this much input without one is none. */
	COURIER_INPUT_MAX = 24 * 1024,
	/* Clients read into 8 KiB: a longer record would be cut. */
	COURIER_REPLY_MAX = 8191,
	COURIER_RIP_MAX = 39,
};

struct courier_request {
	struct query query;
	bool refused; /* well-formed, but can't succeed: answer FAIL */
	/* what base64 hid, where a query points to it */
	uint8_t decoded[COURIER_BODY_MAX];
};

/*
 * Parse a request at the beginning of in; what follows it is ignored.
 *
 * Returns PARSE_OK; PARSE_MORE, read more; PARSE_BAD (no such command, too
 * few words) and PARSE_LIMIT: close the connection without an answer.
 */
enum parse courier_parse(struct slice in, struct courier_request *req) MUST_USE;

/*
 * The answer to a request, whole.  Appends nothing for a temporary failure:
 * the client learns of it by the connection closing without a byte; and
 * nothing for ENUMERATE, whose parts were sent as they came.
 */
void courier_reply(enum query_op op, const struct answer *a, struct buf *out);

#endif
