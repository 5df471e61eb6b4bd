/*
 * session: what the worker sees of an authenticated connection, IMAP or POP3.
 *
 * Layer:  protocols, uses base.  No socket, no clock: the worker moves bytes
 *         between the stream and the two buffers and says what time it is.
 *
 * The worker's part: append received bytes to in (only while the last run
 * returned STEP_WAIT_INPUT, and never more than session_input_room()), call
 * run, write out and drain it.  run is called again at once on
 * STEP_NEXT, in the next turn on STEP_YIELD, when out has fallen below
 * session_output_mark() on STEP_WAIT_OUTPUT, and whenever waker was called.
 */
#ifndef PROTOCOLS_SESSION_H
#define PROTOCOLS_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/step.h"

enum session_end {
	SESSION_LOGOUT,	      /* the client said LOGOUT or QUIT */
	SESSION_DISCONNECTED, /* the stream ended without it */
	SESSION_TIMEOUT,      /* autologout */
	SESSION_SHUTDOWN,     /* the service or the server stops */
	SESSION_KICKED,	      /* by posternctl */
	SESSION_ERROR,	      /* our own or the disk's failure; logged */
};

/* Who is there; every string is the session's own copy after x_new(). */
struct session_peer {
	const char *user;	 /* canonical user id (ADDRESS) */
	const char *options;	 /* the account's (account_option.h); or NULL */
	const char *client_addr; /* text, IPv4 as IPv4-mapped IPv6 */
	uint32_t client_port;
	const char *local_addr;
	uint32_t local_port;
	bool utf8; /* POP3: the client said UTF8 before it logged in */
	/* POP3: the mechanisms, and whether there was USER, as CAPA had them
	 * then; NULL or "": as the options say, since there was no login */
	const char *mechs;
	bool password;
	const char *tls;   /* "" or "TLSv1.3 TLS_AES_256_GCM_SHA384" */
	const char *ident; /* log ident: "imapd", "imapd-ssl", … a constant */
	uint64_t id;	   /* session id, for logs */
	uint64_t rcvd, sent; /* bytes before the handover */
};

/*
 * Compression (RFC 4978).  A session that is asked for it says so; when the
 * tagged reply is in out and nothing behind it, it asks, and its run returns
 * STEP_YIELD until the worker has switched it on: what out holds then goes out
 * as it is, what in holds has come too early and is taken as compressed.
 */
enum session_deflate {
	SESSION_PLAIN,
	SESSION_DEFLATE_SAID,
	SESSION_DEFLATE_ASKED,
	SESSION_DEFLATE_ON, /* set by the worker */
};

/*
 * Sending a message by sendmail.  A session that wants it sets send_fd to the
 * open file, which it gives away, and asks; its run returns STEP_WAIT_PEER
 * until the worker has set the answer.
 */
enum session_send {
	SESSION_SEND_NONE,
	SESSION_SEND_ASKED,
	SESSION_SEND_WAITING, /* set by the worker, as the next two */
	SESSION_SEND_SENT,
	SESSION_SEND_FAILED, /* send_why tells; the session frees it */
};

struct session;

struct session_ops {
	const char *protocol; /* "IMAP", "POP3" */
	/* Do a slice of work.  STEP_DONE: write out, close the stream, free. */
	enum step (*run)(struct session *s, int64_t now_ms, int64_t wall_ms);
	/* The client's stream has ended: no more input will come.  run is
	 * called at once and then as ever until it returns STEP_DONE, which it
	 * does as soon as what was received before is worked off (a QUIT sent
	 * just before the close counts).  When nothing can be written any more
	 * the worker frees instead. */
	void (*eof)(struct session *s);
	/* End it from outside, with BYE or -ERR where the protocol has one;
	 * the next run returns STEP_DONE (after a critical part is done). */
	void (*end)(struct session *s, enum session_end why);
	/* When run must be called even if nothing happens: a time of
	 * clock_now(), or INT64_MAX. */
	int64_t (*deadline)(const struct session *s);
	/* Release everything; logs the LOGOUT/DISCONNECTED/TIMEOUT line if
	 * that has not been done. */
	void (*free)(struct session *s);
};

struct session {
	const struct session_ops *ops;
	struct buf in;	     /* received, not yet parsed */
	struct buf out;	     /* to be sent */
	struct waker waker;  /* set by the worker: "call run soon" */
	uint64_t rcvd, sent; /* counted by the worker */
	enum session_deflate deflate;
	enum session_send send;
	int send_fd;
	char *send_why;
	bool idle; /* set by run: nothing under way; memory may be trimmed */
	/* set by run: so many ms after it, it is to be called again, as another
	 * process holds what is needed; 0: not for that */
	uint8_t pause_ms;
};

enum { SESSION_PAUSE_MAX_MS = 64 };

/*
 * For run, which is about to return st.  What another process holds is asked
 * for after 1 ms, then 2, 4, … SESSION_PAUSE_MAX_MS, and so again for the next
 * piece of work.
 */
static inline void
session_pause(struct session *s, enum step st)
{
	if (st != STEP_WAIT_PEER || s->send != SESSION_SEND_NONE)
		s->pause_ms = 0;
	else if (s->pause_ms == 0)
		s->pause_ms = 1;
	else if (s->pause_ms < SESSION_PAUSE_MAX_MS)
		s->pause_ms *= 2;
}

/*
 * A step begins no more output while so much waits; with twice as much no step
 * is begun.  Where it is compressed, the compressor and what it gave wait too.
 */
static inline size_t
session_output_mark(const struct session *s)
{
	return s->deflate == SESSION_DEFLATE_ON ? STEP_OUTPUT_HIGH / 8
						: STEP_OUTPUT_HIGH / 2;
}

/* How many bytes may be appended to in now. */
static inline size_t
session_input_room(const struct session *s)
{
	size_t len = buf_len(&s->in);

	return len < s->in.max ? s->in.max - len : 0;
}

#endif
