/*
 * conn: a client's stream socket in the front.
 *
 * Layer:  auth, uses libevent.
 * Memory: a conn is its list's; conn_close() ends it, but the memory stays
 *         until the end of the loop's turn, so that a callback may close what
 *         its caller still holds.  Input is wiped when it is consumed.
 *
 * Back-pressure: above CONN_OUTPUT_HIGH of unsent output nothing is read.
 */
#ifndef AUTH_CONN_H
#define AUTH_CONN_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

enum {
	CONN_OUTPUT_HIGH = 64 * 1024,
	CONN_WRITE_MS = 30 * 1000, /* without progress: it is closed */
	CONN_LINGER_MS = 5000,
};

struct conn;
struct conn_ops {
	/* There is new input. */
	void (*on_input)(struct conn *c);
	/* No more input will come; what there is has been given. */
	void (*on_eof)(struct conn *c);
	/* The timer of conn_set_timer(). */
	void (*on_timer)(struct conn *c);
	/* The process stops: end what waits for the client, not what is being
	 * answered. */
	void (*on_stop)(struct conn *c);
	/* Output that had to wait has gone; may be NULL. */
	void (*on_drained)(struct conn *c);
	/* Release what arg holds. */
	void (*on_free)(struct conn *c);
};

TAILQ_HEAD(conn_list, conn);

/* All connections of a process. */
struct conns {
	struct event_base *base;
	int64_t write_ms; /* CONN_WRITE_MS, but in tests */
	struct event *reaper;
	struct conn_list alive, dead;
	size_t n;
};

struct conn {
	uint32_t magic;
	struct conns *conns;
	const struct conn_ops *ops;
	void *arg;
	int fd;
	uint8_t *in; /* in_max bytes */
	size_t n_in, in_max;
	struct buf *out; /* the owner's */
	bool eof, lingering, closing, closed, stopped;
	struct event *readable, *writable, *timer;
	struct event *stuck; /* the peer hasn't read for too long */
	TAILQ_ENTRY(conn) link;
};

void conns_init(struct conns *cs, struct event_base *base);
/* Close and free all. */
void conns_fini(struct conns *cs);

/*
 * Take over fd.  in_max: the most input held at once; when it is full and
 * on_input() consumes nothing, the owner has to close.
 */
struct conn *conn_new(struct conns *cs, int fd, const struct conn_ops *ops,
    size_t in_max, struct buf *out, void *arg) MUST_USE;

static inline struct slice
conn_input(const struct conn *c)
{
	return slice_of(c->in, c->n_in);
}
/* Drop and wipe the first n bytes of the input. */
void conn_consume(struct conn *c, size_t n);
/* Read no more until conn_resume(). */
void conn_stop(struct conn *c);
void conn_resume(struct conn *c);

/* The process stops: take what has arrived already, then on_stop(). */
void conn_stop_soon(struct conn *c);

/* Send what *out holds, now or when the peer takes it. */
void conn_flush(struct conn *c);
/*
 * Send the rest of *out, then the end of the stream; read and drop until the
 * peer ends too, then close.  A unix socket closed with unread input would
 * make the peer's next read fail instead of seeing what was sent.
 */
void conn_finish(struct conn *c);
/* Send the rest of *out, then close. */
void conn_close_drained(struct conn *c);
void conn_close(struct conn *c);

/* Call on_timer after ms; a negative number: never. */
void conn_set_timer(struct conn *c, int64_t ms);

#endif
