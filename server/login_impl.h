/*
 * login_impl: what the files of the login process share.
 *
 * Layer:  server.
 */
#ifndef SERVER_LOGIN_IMPL_H
#define SERVER_LOGIN_IMPL_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/parse.h"
#include "protocols/preauth.h"
#include "server/auth_client.h"
#include "server/conf/conf.h"
#include "server/conf/conf_words.h"
#include "server/net/addr.h"
#include "server/net/relay.h"
#include "server/net/tls.h"
#include "server/peer.h"
#include "server/service.h"

enum {
	LOGIN_BUCKETS = 4096,
	CONN_MAGIC = 0x636f6e6e,
	CONN_ADDR = 64,
	LOGIN_GREETINGS = 16,
};

struct login;

/* What the access file makes of the configuration, by its variables. */
struct login_view {
	struct login_view *next;
	enum service service;
	char *vars;
	struct conf *conf;
	struct preauth_options options;
};

/* The greeting of connections that have all this in common. */
struct login_greeting {
	const struct preauth_options *opt; /* NULL: none is kept here */
	const char *mechanisms;
	bool tls, clear_allowed;
	struct buf text;
};

/* What decides a connection's timeouts and what events mean. */
enum conn_state {
	CONN_PROXY,	    /* a PROXY header is to come first */
	CONN_WAIT_VERDICT,  /* the master says whether it may be */
	CONN_HANDSHAKE,	    /* TLS under way */
	CONN_TALK,	    /* the preauth has it */
	CONN_WAIT_AUTH,	    /* authdaemond has it */
	CONN_WAIT_HANDOVER, /* the master has it */
	CONN_DRAIN,	    /* send what is left, then close */
	CONN_RELAY,	    /* handed over: bytes go through */
	CONN_DEAD,	    /* freed at the end of the turn */
};

struct conn {
	unsigned magic;
	TAILQ_ENTRY(conn) link;
	LIST_ENTRY(conn) by_id;
	struct login *login;
	uint64_t id;
	enum service service;
	enum conn_state state;
	int fd;
	char client_addr[CONN_ADDR], local_addr[CONN_ADDR];
	uint16_t client_port, local_port;
	SSL *ssl;
	bool tls_next;	     /* out must be sent, then TLS begins */
	const char *refusal; /* to be said after the greeting's TLS handshake */
	struct preauth *pre;
	struct auth_request *auth;
	char *cert_user;	 /* whom its certificate names, or NULL */
	struct login_view *view; /* NULL: the access file sets nothing */
	struct buf proxy;	 /* the PROXY header so far */
	struct relay *relay;
	int relay_peer; /* our end's twin on its way to the worker, or -1 */
	struct event on_io, on_timer, on_dead;
	short watched; /* what on_io waits for */
	int64_t began_ms;
	uint64_t rcvd, sent;
	bool read_wants_write, want_write;
	size_t lowat;	/* CONN_HANDSHAKE: bytes it is waked for; 0: any */
	bool lingering; /* CONN_DRAIN: our half is closed */
	bool denied;	/* refusal is for good */
};

struct login {
	struct event_base *base;
	struct peer *master;
	struct conf *conf, *next_conf;
	struct login_view *views; /* of conf */
	struct login_view *old_views;
	unsigned index, n_views;
	TAILQ_HEAD(, conn) conns;
	LIST_HEAD(, conn) bucket[LOGIN_BUCKETS]; /* by id */
	unsigned n_conns;
	struct event *on_sigterm;
	struct auth_client *auth;
	/* As authdaemond offers them; those that bind to TLS only there, and
	 * EXTERNAL only with a certificate that names a user. */
	char mechanisms[HANDOVER_MECHS_MAX], mechanisms_tls[HANDOVER_MECHS_MAX],
	    mechanisms_cert[HANDOVER_MECHS_MAX];
	struct tls_config *tls[2];	 /* by family: IMAP, POP3 */
	struct material_store *material; /* arrived since the last START */
	struct preauth_options options[N_SERVICES];
	struct conf_tcpdopts tcpdopts[N_SERVICES];
	struct login_greeting greetings[LOGIN_GREETINGS];
	unsigned n_greetings; /* kept so far, the last ones are there */
	bool started, ready, stopping;
};

/* --- login_conn.c -------------------------------------------------------- */

/* What the master says of a connection; borrowed for the call. */
struct conn_facts {
	uint64_t id;
	enum service service;
	const char *client_addr, *local_addr; /* shorter than CONN_ADDR */
	uint16_t client_port, local_port;
	enum conn_verdict verdict;
	const char *vars;
};
/* It has a client's socket for us, which is the connection's from now on. */
void conn_begin(struct login *l, int fd, const struct conn_facts *f);
/* The master's CONN_VERDICT and HANDOVER_DONE. */
void conn_on_verdict(struct conn *c, enum conn_verdict v, const char *vars);
void conn_on_handover(struct conn *c, enum conn_verdict v, const char *reason);
/* End it, unless it has been handed over. */
void conn_stop(struct conn *c, enum preauth_failure why);
struct conn *conn_by_id(struct login *l, uint64_t id);
/* One function sets the state, and with it the time that it may take. */
void conn_set_state(struct conn *c, enum conn_state state);
/* Have the preauth work off what has come, in CONN_TALK; then settle. */
void conn_run(struct conn *c);
/* The configuration as it is for this connection. */
const struct conf *conn_conf(const struct conn *c);
/* Send, and wait for what can come next. */
void conn_settle(struct conn *c);

/* --- login_greeting.c ---------------------------------------------------- */

/* The greeting, or the refusal that stands for it; then CONN_TALK. */
void conn_greet(struct conn *c);
/* Options or mechanisms are others, or will be. */
void login_greetings_forget(struct login *l);

/* --- login_io.c ---------------------------------------------------------- */

enum conn_received { RECEIVED_SOME, RECEIVED_NONE, RECEIVED_END };

/* Send what goes; false when the client is gone. */
bool conn_send(struct conn *c) MUST_USE;
/* Take what has come to the preauth. */
enum conn_received conn_receive(struct conn *c) MUST_USE;
/* Take it, and forget it. */
enum conn_received conn_discard(struct conn *c) MUST_USE;
/* CONN_HANDSHAKE begins, or the connection ends, as TLS isn't configured. */
void conn_begin_tls(struct conn *c);
/* Go on with it; it ends in CONN_TALK. */
void conn_handshake(struct conn *c);

/* --- login_auth.c -------------------------------------------------------- */

/* What the preauth's PREAUTH_AUTH asks for; goes on by conn_run(). */
void conn_begin_auth(struct conn *c);
/* PREAUTH_RESPONSE; false when there is no exchange (any more). */
bool conn_continue_auth(struct conn *c);

/* --- login_proxy.c ------------------------------------------------------- */

/* Read on in the PROXY header; PARSE_OK: it is taken, and the addresses are
 * those that it gave. PARSE_BAD, PARSE_LIMIT: the connection must be closed. */
enum parse conn_read_proxy(struct conn *c);

/* --- login_log.c --------------------------------------------------------- */

void conn_log_open(const struct conn *c);
/* It ended without a word, LOGOUT or QUIT. */
void conn_log_gone(const struct conn *c);
void conn_log_logout(const struct conn *c);
void conn_log_failure(const struct conn *c);

/* --- login_setup.c ------------------------------------------------------- */

/* Keep a TLS_MATERIAL message until START. */
void login_take_material(struct login *l, struct msg_in *in);
/* Make contexts and options of what has arrived; 0 or ERR_*. */
int login_apply(struct login *l, struct err *e) MUST_USE;
/* What the connections of an access rule have instead of l->conf and
 * l->options; lives as long as the process.  NULL when there are too many. */
struct login_view *login_view(
    struct login *l, enum service s, const char *vars);
/* The lowest version of TLS for a service: TLS1_2_VERSION, … */
int login_min_version(const struct login *l, enum service s);

#endif
