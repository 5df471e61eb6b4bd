/*
 * preauth: a connection before authentication, IMAP or POP3, as the login
 * process sees it.
 *
 * Layer:  protocols, uses base.  No socket, no clock.
 *
 * The login process appends received bytes to in, calls run until it
 * returns PREAUTH_WAIT, and writes out.  TLS and the talk with authdaemond
 * are the login process's; the preauth knows the protocol's words for them.
 * Limits (safety: docs/limits.md) are in the options: line, literal,
 * nesting 1, number of commands.
 */
#ifndef PROTOCOLS_PREAUTH_H
#define PROTOCOLS_PREAUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/secret.h"

enum preauth_event {
	PREAUTH_WAIT,	  /* needs more bytes of the client */
	PREAUTH_AUTH,	  /* ask authdaemond: mech and response are set */
	PREAUTH_RESPONSE, /* answer to a challenge: response is set */
	PREAUTH_ABORT,	  /* the client gave up the exchange ("*"): run again */
	PREAUTH_STARTTLS, /* out must be sent, in was emptied: begin TLS */
	PREAUTH_CLOSE,	  /* send out, then close; why says how it ended */
};

enum preauth_failure {
	PREAUTH_BAD_CREDENTIALS, /* same words for unknown user, bad password */
	PREAUTH_UNAVAILABLE,	 /* temporary: authdaemond or table away */
	PREAUTH_UNUSABLE,	 /* the account's row is wrong */
	PREAUTH_LIMIT,		 /* refused by a limit after authentication */
	PREAUTH_DISABLED,	 /* the account may not use this service */
	PREAUTH_TIMEOUT,	 /* time to log in is over (end only) */
	PREAUTH_STOPPING,	 /* the service stops (end only) */
};

struct preauth_options {
	const char *capability;	    /* extra words before TLS (IMAP), SASL line
				       (POP3); from configuration */
	const char *capability_tls; /* the same under TLS */
	const char *greeting_name;  /* "Postern" */
	bool offer_starttls; /* a certificate is there and it's not switched off
			      */
	bool tls_required;   /* password commands only under TLS */
	size_t line_max, literal_max;
	unsigned commands_max;
};

struct preauth;

struct preauth_ops {
	const char *protocol; /* "IMAP", "POP3" */
	const char *service;  /* authdaemond's service word: "imap", "pop3" */
	/* Queue the greeting.  refusal NULL: welcome; else BYE / -ERR with it
	 * ([UNAVAILABLE], [SYS/TEMP]; when it is for_good [ALERT],
	 * [SYS/PERM]) and run returns PREAUTH_CLOSE. */
	void (*greet)(struct preauth *p, const char *refusal, bool for_good);
	enum preauth_event (*run)(struct preauth *p);
	/* A challenge of authdaemond, in base64 as it came; queues "+ …". */
	void (*challenge)(struct preauth *p, struct slice base64);
	/* The exchange failed; queues the tagged NO / -ERR; then run. reason:
	 * NULL or printable words for the client. */
	void (*failed)(
	    struct preauth *p, enum preauth_failure why, const char *reason);
	/* TLS is up: forget everything gathered before it. */
	void (*tls_started)(struct preauth *p);
	/* End from outside: queues BYE / -ERR (or nothing, POP3 timeout). */
	void (*end)(struct preauth *p, enum preauth_failure why);
	/* The mechanisms and whether there is USER, as CAPA has them, which
	 * says the same after login (RFC 2449 6.3); NULL: not POP3. */
	bool (*capa)(const struct preauth *p, struct buf *mechs);
	void (*free)(struct preauth *p);
};

struct preauth {
	const struct preauth_ops *ops;
	const struct preauth_options *opt; /* outlives the preauth */
	struct buf in, out;
	/* Mechanisms that authdaemond offers: names, blank separated; kept
	 * up to date by the login process.  PLAIN and LOGIN count as password
	 * commands: only under TLS unless clear is allowed. */
	const char *mechanisms;
	bool tls;	    /* now under TLS */
	bool clear_allowed; /* password commands may go without TLS here */
	/* For PREAUTH_AUTH and PREAUTH_RESPONSE: */
	char mech[32];		/* upper case; LOGIN and PASS become PLAIN */
	bool has_response;	/* an initial response was given */
	struct secret response; /* decoded bytes; the taker wipes it */
	char user[256]; /* what the client typed, for LOGIN FAILED; "" unknown
			   (decoded from PLAIN when possible) */
	/* For the handover to a worker: */
	char tag[128];	  /* the waiting command's tag ("" for POP3) */
	char command[16]; /* "LOGIN", "AUTHENTICATE", "PASS", "AUTH" */
	bool utf8;	  /* POP3: the client said UTF8 (RFC 6856 2.1) */
	bool logged_out;  /* on PREAUTH_CLOSE: the client said LOGOUT/QUIT */
};

#endif
