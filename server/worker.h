/*
 * worker: runs as the user of its accounts and serves their sessions.
 *
 * Layer:  server, uses ipc, conf, protocols, maildir; linked without TLS and
 *         SQL clients.
 * A worker sees one plain stream for each session: the client's own socket,
 * or one end of a socketpair whose other end a login process relays.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "maildir/store.h"
#include "protocols/session.h"
#include "server/conf/conf.h"
#include "server/peer.h"
#include "server/service.h"
#include "server/syncpool.h"

struct worker;
struct arrival;

/* One session's stream and the session itself (worker_stream.c). */
struct stream {
	unsigned magic;
	TAILQ_ENTRY(stream) link;
	struct worker *worker;
	uint64_t id;
	enum service service;
	int fd;
	struct session *session;
	TAILQ_ENTRY(stream) turn; /* among w->runnable */
	bool runnable;
	struct event on_io;	/* what it waits for of its socket, or until */
	short interest;		/* EV_READ, EV_WRITE: those that on_io has */
	bool timed;		/* and whether it has a timeout */
	const char *account;	/* the Maildir path, borrowed; for the page */
	char *own_account;	/* the same if it isn't borrowed, else NULL */
	bool want_input;	/* the session waits for bytes of the client */
	bool eof;		/* nothing more comes */
	bool done;		/* the session has ended: drain, then close */
	bool broken;		/* reading failed: nothing can be said either */
	int64_t stuck_since_ms; /* output that nobody takes; 0: none */
	struct zip *zip;	/* NULL: not compressed */
};

struct worker {
	struct event_base *base;
	struct peer *master;
	struct conf *conf;
	struct store *store;
	struct syncpool *syncpool;
	TAILQ_HEAD(, zip) zips;
	TAILQ_HEAD(, stream) streams, runnable;
	TAILQ_HEAD(, arrival) arrivals; /* that wait for a home */
	unsigned n_streams, n_runnable;
	struct event *on_runnable, *on_arrival;
	char *page; /* shared with the master: the account at work */
	struct event *on_watch, *on_tick, *on_work, *on_sigterm;
	struct protocol_options *options; /* made from conf */
	struct event *on_finish;	  /* NULL: the end isn't near */
	int64_t finish_by_ms;
	int64_t idle_since_ms;
	unsigned ticks;
	bool trim_due; /* memory was released: worth giving back */
	bool stopping;
};

/* --- worker_stream.c ----------------------------------------------------- */

/* Takes over fd and the session, borrows account (a path). */
struct stream *stream_new(struct worker *w, uint64_t id, enum service service,
    int fd, struct session *s, const char *account);
/* Begin to serve: the session has its first turn at once.  st may be freed. */
void stream_begin(struct stream *st);
/* The page tells of this path, which is copied, instead of account. */
void stream_call_account(struct stream *st, const char *path);
/* End it from outside. */
void stream_end(struct stream *st, enum session_end why);
/* Release it at once, telling the master. */
void stream_free(struct stream *st);
/* Let the session run soon. */
void stream_wake(struct stream *st);
/* Have what the session wants sent be sent (worker_send.c). */
void stream_send(struct stream *st);
/* SENT of the master: the session's answer. */
void stream_sent(struct worker *w, struct msg_in *in);
/* The event of w->on_runnable: run those that were woken. */
void on_streams_runnable(evutil_socket_t fd, short what, void *arg);
/* The same for those whom the sync threads woke, in the turn that tells of it:
 * it has just looked at the sockets. */
void streams_synced(void *arg);

/* --- worker_session.c ---------------------------------------------------- */

/* SESSION and SESSION_END of the master. */
void session_arrives(struct worker *w, struct msg_in *in);
void session_ends(struct worker *w, struct msg_in *in);
/* The event of w->on_arrival: go on with one of those that wait for a home. */
void on_session_arrival(evutil_socket_t fd, short what, void *arg);
/* Begin all that wait: their homes are made now. */
void sessions_hurry(struct worker *w);
void sessions_forget(struct worker *w);

/* --- worker_options.c ---------------------------------------------------- */

/*
 * What the protocols need of the configuration.  Sessions borrow the options
 * they began with, so a reload puts new ones in front of the old, which stay
 * until the end: reloads are rare, and options small.
 */
void protocol_options_add(struct protocol_options **o, const struct conf *c);
void protocol_options_free(struct protocol_options **o);
/* IMAP_MAILBOX_SANITY_CHECK, for a client with these variables of an access
 * file. */
bool protocol_checks_owner(struct worker *w, enum service s, const char *vars);
/* A session for the account, of the service's protocol; vars: of an access
 * file, or "". */
struct session *protocol_session_new(struct worker *w, enum service s,
    const char *vars, const struct session_peer *peer, const char *tag,
    const char *command, struct account *account);

#endif
