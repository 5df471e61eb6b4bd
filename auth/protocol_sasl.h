/*
 * protocol_sasl: the server side of the Dovecot authentication protocol,
 * version 1, as Postfix, Exim and Postern's login processes speak it.
 *
 * Layer:  auth, uses base, answer, mech.  No I/O; times are passed in.
 * Memory: a session owns its requests and its output; the lines fed to it are
 *         the caller's, and are changed in place (unescaped, then wiped).
 *
 * Lines end with \n, fields are separated by TAB; in values \001 escapes:
 * \0010 NUL, \0011 \001, \001t TAB, \001r CR, \001n LF.
 * Requests on a connection run side by side, told apart by the client's id.
 * docs/auth.md has the whole protocol.
 */
#ifndef AUTH_PROTOCOL_SASL_H
#define AUTH_PROTOCOL_SASL_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

#include "auth/answer.h"
#include "auth/mech.h"
#include "base/buf.h"
#include "base/defs.h"
#include "base/parse.h"
#include "base/slice.h"

enum {
	SASL_LINE_MAX = 16383,	  /* without its newline */
	SASL_REQUESTS_MAX = 4096, /* open at once on a connection */
	SASL_OUTPUT_MAX = 1024 * 1024,
	SASL_REQUEST_MS = 150 * 1000, /* then the client has forgotten it */
	TICKET_LEN = 16,
};

/* --- lines -------------------------------------------------------------- */

enum sasl_verb {
	SASL_VERSION,
	SASL_CPID,
	SASL_AUTH,
	SASL_CONT,
	SASL_CANCEL,
	SASL_OTHER, /* to be ignored: of a later minor version */
};

struct sasl_line {
	enum sasl_verb verb;
	uint32_t major, minor; /* VERSION */
	uint32_t id;	       /* CPID, AUTH, CONT, CANCEL */
	struct slice mechanism;
	struct slice service;
	struct slice rip;
	bool nologin;
	bool secured;
	bool final_resp_ok; /* OK may carry resp= */
	struct slice tls_exporter, tls_server_end_point; /* base64 */
	struct slice cert_username;
	struct slice defdomain, domainsep; /* which complete user names */
	bool has_resp;	   /* AUTH with resp=, CONT always */
	struct slice resp; /* still base64 */
};

/*
 * Parse a line without its \n; values are unescaped in place, slices point
 * into it.  Returns PARSE_OK or PARSE_BAD.
 */
enum parse sasl_parse_line(
    uint8_t *line, size_t n, struct sasl_line *out) MUST_USE;

/* Append a value with its special bytes escaped. */
void sasl_put_value(struct buf *out, struct slice value);

/* --- sessions ----------------------------------------------------------- */

struct sasl_session;
struct sasl_request {
	uint32_t id;
	struct sasl_session *session;
	struct mech_state mech;
	struct secret service;
	struct secret rip;
	bool nologin;
	bool final_resp_ok;
	bool accepted;	     /* but the client has to hear the last challenge */
	bool asked;	     /* the user table has it */
	void *asked_as;	     /* the host's handle while asked */
	const char *failure; /* fields of the FAIL line to come, or NULL */
	int64_t started;     /* ms */
	int64_t judged;	     /* ms, when the last response came */
	TAILQ_ENTRY(sasl_request) by_start;
	TAILQ_ENTRY(sasl_request) by_failure;
	LIST_ENTRY(sasl_request) by_id;
};
TAILQ_HEAD(sasl_requests, sasl_request);
LIST_HEAD(sasl_bucket, sasl_request);

/* What a session needs of its surroundings. */
struct sasl_host {
	/* Ask the user table; sasl_session_answer() will follow, perhaps from
	 * inside this call. */
	void (*ask)(void *arg, struct sasl_request *r, const struct query *q);
	/* The answer isn't wanted any more. */
	void (*forget)(void *arg, struct sasl_request *r);
	/* A mechanism decided itself (SCRAM); may be NULL. */
	void (*judged)(void *arg, struct sasl_request *r, bool good);
	/*
	 * Make a ticket for the account and hand it to the master.  False:
	 * no master is there.  NULL: this socket gives no tickets.
	 */
	bool (*ticket)(void *arg, struct sasl_request *r,
	    const struct answer *a, uint8_t ticket[TICKET_LEN]);
};

struct sasl_options {
	uint32_t pid;	    /* SPID */
	uint32_t cuid;	    /* unique among this process's connections */
	uint8_t cookie[16]; /* random */
	int64_t failure_ms; /* FAIL is sent that long after the last response */
	/* The user tables hold clear passwords: mechanisms that need them
	 * are offered. */
	bool has_clear;
	/* The client is a login process, which can pass channel bindings and
	 * vouch for certificates: -PLUS and EXTERNAL are offered. */
	bool can_bind;
	/* Temporary failures end the connection, so that Postfix, which takes
	 * every FAIL for a wrong password, answers 454. */
	bool close_on_temporary;
};

enum { SASL_SESSION_MAGIC = 0x5a51e551, SASL_N_BUCKETS = 64 };

struct sasl_session {
	uint32_t magic;
	struct sasl_options options;
	const struct sasl_host *host;
	void *arg;
	enum { SASL_GREETING, SASL_HANDSHAKE, SASL_OPEN } state;
	uint32_t minor;	 /* version of the client */
	bool closing;	 /* flush out, then close */
	const char *why; /* of a bad line, for the log */
	struct buf out;
	unsigned n_requests;
	struct sasl_requests requests; /* all, oldest first */
	struct sasl_requests failures; /* FAIL is due, soonest first */
	struct sasl_bucket bucket[SASL_N_BUCKETS];
};

/* Puts the handshake out, for no client need speak before it has seen it. */
void sasl_session_init(struct sasl_session *s,
    const struct sasl_options *options, const struct sasl_host *host,
    void *arg);
/* Forget every request and release everything. */
void sasl_session_fini(struct sasl_session *s);

/*
 * Take one line (without \n).  Returns false when the connection has to be
 * closed at once: s->why tells the reason.
 */
bool sasl_session_line(
    struct sasl_session *s, uint8_t *line, size_t n, int64_t now) MUST_USE;

/*
 * The answer to what was asked for r, which may end with it.  begun: when the
 * user table began to look; a refusal is told a fixed time after that.
 */
void sasl_session_answer(
    struct sasl_request *r, const struct answer *a, int64_t begun);

/*
 * Send what is due and expire what is old.  Returns when to call again, in
 * ms; -1: not before the next line or answer.
 */
int64_t sasl_session_tick(struct sasl_session *s, int64_t now);

#endif
