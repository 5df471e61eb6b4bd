/*
 * pop3_session: an authenticated POP3 connection, in the worker.
 * RFC 1939 sections 5 and 6, RFC 2449 (CAPA, response codes, pipelining),
 * RFC 3206 (SYS codes), RFC 6856 (UTF8).
 *
 * Layer:  protocols/pop3, uses base, maildir.  No socket, no clock.
 * Memory: the session is on the heap and owns everything in it; ops->free
 *         releases it.
 *
 * The first run opens INBOX and makes the drop listing, then answers the PASS
 * or AUTH that waits: "+OK logged in.", or -ERR and the end.  Sizes and
 * numbers stay as they were at that moment (RFC 1939 5), but that UTF8 changes
 * the sizes of messages with 8-bit headers (docs/storage.md has where it is
 * kept which these are; the first session that asks reads them).  Messages are
 * removed by QUIT only; a session that ends otherwise removes nothing.
 * Several sessions may have one mailbox open: there is no lock, and a message
 * that another one removed is answered by -ERR.
 *
 * A client that half-closes its stream after its commands gets all answers:
 * after ops->eof, run works off what has been received, then returns
 * STEP_DONE.
 */
#ifndef PROTOCOLS_POP3_SESSION_H
#define PROTOCOLS_POP3_SESSION_H

#include "base/defs.h"
#include "maildir/store.h"
#include "protocols/mime/parser.h"
#include "protocols/session.h"

struct pop3_options {
	/* POP3AUTH and POP3AUTH_TLS as configured, for CAPA's SASL line where
	 * nobody has logged in; an empty sasl_tls stands for sasl, an empty
	 * sasl for PLAIN. */
	const char *sasl, *sasl_tls;
	bool user;	    /* likewise: USER and PASS could have been used */
	bool stls;	    /* STLS is offered before login without TLS */
	int64_t timeout_ms; /* autologout; RFC 1939 3: at least 10 minutes */
	size_t line_max;    /* bytes of a command line with its CRLF, >= 255 */
	unsigned bad_max;   /* bad commands in a row, then the end */
	bool log_deletions; /* a DELETED line for every message QUIT removes */
	/* The media type of a message with an 8-bit header within what a client
	 * that didn't say UTF8 gets for it (surrogate.h); "" or NULL: it gets
	 * the message as it is. */
	const char *unicode_type;
	struct mime_options mime; /* limits, to find the headers of parts */
};

/*
 * opt is borrowed and must outlive the session; peer is copied.  The session
 * takes over the caller's reference to account.  Bytes that the client sent
 * behind its PASS or AUTH are put into s->in by the caller, which also sets
 * s->waker.
 */
struct session *pop3_session_new(const struct pop3_options *opt,
    const struct session_peer *peer, struct account *account,
    int64_t now_ms) MUST_USE;

#endif
