/*
 * imap_session: an authenticated IMAP connection, in the worker.
 * RFC 3501; RFC 2177 (IDLE), RFC 2342 (NAMESPACE), RFC 2971 (ID), RFC 3348
 * (CHILDREN), RFC 4314 (ACL), RFC 3691 (UNSELECT), RFC 3502 (MULTIAPPEND), RFC
 * 4315 (UIDPLUS), RFC 5161 (ENABLE), RFC 5530 (response codes), RFC 6851
 * (MOVE), RFC 7888 (LITERAL+, LITERAL-), RFC 7889 (APPENDLIMIT).
 *
 * Layer:  protocols/imap, uses base, mime, maildir.  No socket, no clock.
 * Memory: the session is on the heap and owns everything in it; ops->free
 *         releases it.  Whatever is asked, what grows with a mailbox is
 *         bounded by the view, and output is made in slices.
 *
 * The first run writes the tagged OK of the login command that waits.
 * A client that half-closes its stream after its commands gets all answers:
 * after ops->eof, run works off what has been received, then returns
 * STEP_DONE.
 */
#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "maildir/store.h"
#include "protocols/mime/parser.h"
#include "protocols/session.h"

struct imap_options {
	/*
	 * IMAP_CAPABILITY or IMAP_CAPABILITY_TLS as configured: words of
	 * Courier's default that it lacks aren't announced.  "": no filter.
	 */
	const char *capability, *capability_tls;
	/* what imap_capability_words() makes of them; NULL: when it is asked */
	const char *words, *words_tls;
	int64_t timeout_ms;   /* autologout; RFC 3501 5.4: at least 30 min */
	size_t line_max;      /* bytes of a command without its literals */
	size_t literals_max;  /* bytes of all its literals, but a message's */
	unsigned nesting_max; /* parentheses within parentheses */
	unsigned set_max;     /* elements of a sequence set */
	unsigned bad_max;     /* bad commands in a row, then BYE */
	uint64_t message_max; /* bytes of a message for APPEND */
	/* EXPUNGE moves messages there ("INBOX.Trash"); NULL: it doesn't */
	const char *trash_mailbox;
	/* an APPEND to it sends ("INBOX.Outbox"); NULL: none */
	const char *outbox;
	bool outbox_multiple; /* a COPY there may be of several messages */
	const char *trash;    /* can't be deleted or renamed ("INBOX.Trash") */
	bool acl; /* ACL is announced (IMAP_ACL); it's obeyed anyway */
	/* IMAP_SHAREDINDEXFILE; NULL: there is no "#shared." */
	const char *shared_index;
	/* the links of all users, "": none; NULL: there is no "shared." */
	const char *shared_links;
	bool shared_munge;   /* IMAP_SHAREDMUNGENAMES */
	bool no_thread_sort; /* SORT and THREAD are refused */
	bool mark_all;	     /* LIST: \Marked, \Unmarked not of INBOX alone */
	bool no_inferiors;   /* LIST: \NoInferiors for \HasNoChildren */
	/* IMAP_NAMESPACE_PREFIX is empty: "Sent" is told for "INBOX.Sent" */
	bool no_prefix;
	/* APPEND refuses headers that aren't ASCII before ENABLE UTF8=ACCEPT */
	bool ascii_headers;
	bool log_deletions;  /* a line for each message that is expunged */
	int64_t progress_ms; /* how often a long command says that it works */
	bool keywords;	     /* other flags than the system's may be set */
	/* What ID tells of the server; NULL: isn't told. */
	const char *id_name, *id_version, *id_os, *id_os_version;
	struct mime_options mime; /* limits for looking into messages */
};

/* The values of docs/limits.md; for tests, and to begin with. */
extern const struct imap_options imap_options_default;

/*
 * opt is borrowed and must outlive the session; peer, tag and command are
 * copied.  The session takes over the caller's reference to account.
 * tag, command: of the command that logged in ("A1", "LOGIN"); with an empty
 * tag the greeting is PREAUTH.  Bytes that the client sent behind it are put
 * into s->in by the caller, which also sets s->waker.
 */
struct session *imap_session_new(const struct imap_options *opt,
    const struct session_peer *peer, struct account *account, const char *tag,
    const char *command, int64_t now_ms) MUST_USE;

#endif
