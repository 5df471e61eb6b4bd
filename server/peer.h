/*
 * peer: the other end of a message socket, on the event loop.
 *
 * Layer:  server, uses ipc, libevent.
 * Memory: a peer owns its descriptor and what is queued; messages handed to
 *         on_message are borrowed for the call, their descriptor belongs to
 *         the callback (closed by the peer if it is left in m->fd).
 *
 * Sending never blocks: what the socket doesn't take waits in a queue, whose
 * length is bounded; a peer that doesn't read in time is ended.  A message
 * that breaks the rules of messages.def ends the peer, never the receiver.
 */
#ifndef SERVER_PEER_H
#define SERVER_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "server/ipc/msg.h"

struct peer;

struct peer_handler {
	void (*on_message)(struct peer *p, struct msg_in *m, void *arg);
	/* The peer is gone (why: "closed", "bad message", …).  Called once,
	 * from the loop, never from inside peer_send; free it here. */
	void (*on_end)(struct peer *p, const char *why, void *arg);
};

/* fd is the peer's from now on.  self, other: who may send what. */
struct peer *peer_new(struct event_base *base, int fd, enum msg_role self,
    enum msg_role other, const struct peer_handler *h, void *arg) MUST_USE;
/*
 * fn is called in place of on_message with a message whose descriptor was lost,
 * as this process has no room for it (m->fd is -1); that is logged.  Without fn
 * the peer ends.
 */
void peer_on_lost(
    struct peer *p, void (*fn)(struct peer *p, struct msg_in *m, void *arg));
/* Close and release; safe inside its own callbacks. */
void peer_free(struct peer **p);
/*
 * Send or queue; m is released in every case, and its descriptor, which is
 * duplicated if it must wait, stays the caller's.
 */
void peer_send(struct peer *p, struct msg_out *m);
/*
 * The same for what nobody waits for, without a descriptor: it goes with the
 * next message, or after PEER_LAZY_MS, so that the other process isn't woken
 * for it alone.
 */
enum { PEER_LAZY_MS = 50 };
void peer_send_lazily(struct peer *p, struct msg_out *m);
/*
 * Whether its messages are read as they come, as they are at first; where
 * they aren't, peer_poll() reads those that are there.  False: the peer is
 * gone, its handler will be told or was, or has freed it.
 */
void peer_set_reading(struct peer *p, bool on);
bool peer_poll(struct peer *p);
/* Read one message; false when there is none, or the peer is gone. */
bool peer_poll_one(struct peer *p);
/*
 * The process at the other end has ended: read what it said before, however
 * much that is.  p may be freed by then, as its handler likes.
 */
void peer_read_rest(struct peer *p);
/* Bytes waiting to be sent. */
size_t peer_queued(const struct peer *p);
/* Send what is queued, blocking up to timeout_ms; for the end of a process. */
void peer_flush(struct peer *p, int timeout_ms);
/*
 * For the handler of a fatal signal: send what is queued as far as the socket
 * takes it.  Async-signal-safe; p is of no use any more.
 */
void peer_last_words(const struct peer *p);

#endif
