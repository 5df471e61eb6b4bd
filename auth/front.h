/*
 * front: the process that clients talk to; one event loop, no blocking.
 *
 * Layer:  auth, uses libevent, ipc, the protocols.
 * It gets its listening sockets, its helpers and its few settings from the
 * keeper, opens no file and knows no password of the database.
 */
#ifndef AUTH_FRONT_H
#define AUTH_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "auth/asking.h"
#include "auth/conn.h"
#include "auth/pool.h"
#include "auth/protocol_sasl.h"
#include "auth/sockets.h"
#include "base/defs.h"
#include "base/secret.h"

enum {
	FRONT_CONNS_MAX = 8192,
	FRONT_COURIER_READ_MS = 10 * 1000,
	FRONT_HANDSHAKE_MS = 10 * 1000,
	FRONT_ANSWER_MS = 24 * 1000, /* the latest, whatever it waits for */
	FRONT_STOP_MS = 10 * 1000,   /* for what is open at the end */
};

struct tickets;

struct front {
	struct event_base *base;
	int keeper;
	struct conns conns;
	struct pool *pool;
	struct asking *asking;
	struct tickets *tickets;
	int64_t failure_ms;
	bool has_clear;	    /* some table may hold clear passwords */
	bool pre_passwords; /* of PRE are for everybody */
	uint32_t next_cuid;
	bool stopping;
};

/* Serve until the keeper says stop or is gone; doesn't return. */
void front_run(int keeper_sock) NORETURN;

/* What became of a question may end the process that is stopping. */
void front_check_stop(struct front *f);

/* Whether the other end is root's or this process's own user's. */
bool front_peer_is_ours(int fd) MUST_USE;

/* --- connections, by protocol -------------------------------------------- */

/* Both take over fd. */
void courier_conn_new(struct front *f, int fd);
void sasl_conn_new(struct front *f, int fd, bool login);

/* --- tickets ------------------------------------------------------------ */

struct tickets *tickets_new(struct event_base *base) MUST_USE;
void tickets_free(struct tickets **t);
/* The secret that a master without root has to know; "" none can. */
void tickets_set_secret(struct tickets *t, struct slice secret);
/* A connection to the ticket socket; takes over fd. */
void tickets_accept(struct tickets *t, int fd);
/*
 * Make a ticket for an account and send it to every master.  False when none
 * has got it.
 */
bool tickets_push(struct tickets *t, struct slice service, struct slice rip,
    const struct answer *a, uint8_t ticket[TICKET_LEN]) MUST_USE;

#endif
