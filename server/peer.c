#include "server/peer.h"

#include <sys/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	PEER_MAGIC = 0x70656572,
	/* A peer that lets so much pile up is not reading any more. */
	QUEUE_MAX = 16 * 1024 * 1024,
	/* Messages taken in one turn, so that one peer can't starve others. */
	MESSAGES_A_TURN = 64,
	/* Where a message mostly comes alone, how often it is looked whether
	 * there is another behind it. */
	ALONE_TURNS = 8,
};

struct packet {
	STAILQ_ENTRY(packet) link;
	struct msg_out m; /* its fd is our duplicate */
};

struct peer {
	unsigned magic;
	int fd;
	enum msg_role self, other;
	const struct peer_handler *h;
	void (*on_lost)(struct peer *p, struct msg_in *m, void *arg);
	void *arg;
	struct event *on_read, *on_write, *on_over, *on_lazy;
	STAILQ_HEAD(, packet) queue;
	size_t queued;
	bool lazy;	 /* nobody waits for what is queued */
	unsigned alone;	 /* turns until it is looked for a second message */
	const char *why; /* set: it is over, on_end is due or was called */
	int depth;	 /* callbacks under way */
	bool freed;	 /* peer_free was called inside one */
};

static void on_peer_over(evutil_socket_t fd, short what, void *arg);

static struct packet *
packet_drop(struct peer *p)
{
	struct packet *first = STAILQ_FIRST(&p->queue);

	STAILQ_REMOVE_HEAD(&p->queue, link);
	p->queued -= buf_len(&first->m.b);
	return first;
}

static void
packet_free(struct packet *k)
{
	if (k->m.fd >= 0)
		(void)close(k->m.fd);
	msg_out_fini(&k->m);
	free(k);
}

static void
destroy(struct peer *p)
{
	while (!STAILQ_EMPTY(&p->queue))
		packet_free(packet_drop(p));
	event_free(p->on_read);
	event_free(p->on_write);
	event_free(p->on_over);
	event_free(p->on_lazy);
	(void)close(p->fd);
	p->magic = 0;
	free(p);
}

/* It is over: say so from the loop, once. */
static void
over(struct peer *p, const char *why)
{
	if (p->why != NULL)
		return;
	p->why = why;
	(void)event_del(p->on_read);
	(void)event_del(p->on_write);
	(void)event_del(p->on_lazy);
	event_active(p->on_over, EV_TIMEOUT, 1);
}

/* Run by whoever called a callback: it may have freed the peer. */
static bool
leave(struct peer *p)
{
	if (--p->depth > 0 || !p->freed)
		return !p->freed;
	destroy(p);
	return false;
}

static void
on_peer_over(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PEER_MAGIC);
	p->depth++;
	p->h->on_end(p, p->why, p->arg);
	(void)leave(p);
}

/* One message; false when there is no more to be had now. */
static bool
receive_one(struct peer *p)
{
	/* One process, one thread, never nested: a shared receive space. */
	static uint8_t space[MSG_SIZE_MAX];
	struct msg_in m = { .fd = -1 };
	int r = msg_recv(p->fd, p->other, p->self, space, &m);

	if (r == ERR_BUSY)
		return false;
	if (r != 1 && (r != ERR_LIMIT || p->on_lost == NULL)) {
		over(p,
		    r == 0		  ? "closed"
			: r == ERR_FORMAT ? "bad message"
			: r == ERR_LIMIT  ? "no descriptor left"
					  : "receive error");
		return false;
	}
	p->depth++;
	if (r == 1) {
		p->h->on_message(p, &m, p->arg);
	} else {
		log_error("no descriptor is left: what %s came with is lost",
		    msg_name(m.type));
		p->on_lost(p, &m, p->arg);
	}
	if (m.fd >= 0)
		(void)close(m.fd);
	return leave(p) && p->why == NULL;
}

/* What is there; p may be freed by then. */
static void
receive_all(struct peer *p)
{
	for (int i = 0; i < MESSAGES_A_TURN; i++)
		if (!receive_one(p))
			return;
}

/*
 * Most messages come alone, and a call that finds no second one is saved: if
 * there is one, it comes in the next turn of the loop.  A look now and then
 * tells when several have begun to come at once.
 */
static void
on_peer_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PEER_MAGIC);
	if (p->alone > 0) {
		p->alone--;
		(void)receive_one(p);
		return;
	}
	p->alone = ALONE_TURNS;
	if (!receive_one(p) || !receive_one(p))
		return;
	p->alone = 0;
	receive_all(p);
}

static void
drain_queue(struct peer *p)
{
	while (!STAILQ_EMPTY(&p->queue)) {
		int r = msg_offer(p->fd, &STAILQ_FIRST(&p->queue)->m);

		if (r == ERR_BUSY) {
			(void)event_add(p->on_write, NULL);
			return;
		}
		if (r != 0) {
			over(p, "send error");
			return;
		}
		packet_free(packet_drop(p));
	}
}

static void
on_peer_writable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PEER_MAGIC);
	drain_queue(p);
}

static void
on_peer_lazy(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PEER_MAGIC);
	p->lazy = false;
	drain_queue(p);
}

struct peer *
peer_new(struct event_base *base, int fd, enum msg_role self,
    enum msg_role other, const struct peer_handler *h, void *arg)
{
	struct peer *p = MEM_NEW(struct peer);

	p->magic = PEER_MAGIC;
	p->fd = fd;
	p->self = self;
	p->other = other;
	p->h = h;
	p->arg = arg;
	STAILQ_INIT(&p->queue);
	p->on_read =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_peer_readable, p);
	p->on_write = event_new(base, fd, EV_WRITE, on_peer_writable, p);
	p->on_over = event_new(base, -1, 0, on_peer_over, p);
	p->on_lazy = event_new(base, -1, 0, on_peer_lazy, p);
	assert(p->on_read != NULL && p->on_write != NULL &&
	    p->on_over != NULL && p->on_lazy != NULL);
	(void)event_add(p->on_read, NULL);
	return p;
}

void
peer_on_lost(
    struct peer *p, void (*fn)(struct peer *p, struct msg_in *m, void *arg))
{
	MAGIC_CHECK(p, PEER_MAGIC);
	p->on_lost = fn;
}

void
peer_free(struct peer **pp)
{
	struct peer *p = *pp;

	if (p == NULL)
		return;
	MAGIC_CHECK(p, PEER_MAGIC);
	*pp = NULL;
	(void)event_del(p->on_read);
	(void)event_del(p->on_write);
	(void)event_del(p->on_over);
	(void)event_del(p->on_lazy);
	p->why = "freed";
	if (p->depth > 0)
		p->freed = true;
	else
		destroy(p);
}

/* To be sent later, with a descriptor of its own. */
static void
enqueue(struct peer *p, struct msg_out *m)
{
	struct packet *k = MEM_NEW(struct packet);

	k->m = *m;
	k->m.fd = m->fd >= 0 ? fcntl(m->fd, F_DUPFD_CLOEXEC, 5) : -1;
	if (m->fd >= 0 && k->m.fd < 0) {
		packet_free(k);
		over(p, "no descriptor left");
		return;
	}
	p->queued += buf_len(&k->m.b);
	STAILQ_INSERT_TAIL(&p->queue, k, link);
	m->fd = -1;
	if (p->queued > QUEUE_MAX)
		over(p, "does not read");
}

/* What was put off goes before what is sent now. */
static void
drain_lazy(struct peer *p)
{
	if (!p->lazy)
		return;
	p->lazy = false;
	(void)event_del(p->on_lazy);
	drain_queue(p);
}

void
peer_send(struct peer *p, struct msg_out *m)
{
	int r = ERR_BUSY;

	MAGIC_CHECK(p, PEER_MAGIC);
	/* Too long for a packet is our own mistake, not the peer's. */
	assert(buf_ok(&m->b));
	drain_lazy(p);
	if (p->why == NULL && STAILQ_EMPTY(&p->queue))
		r = msg_offer(p->fd, m);
	if (p->why == NULL && r == ERR_BUSY) {
		enqueue(p, m);
		if (p->why == NULL)
			(void)event_add(p->on_write, NULL);
		return;
	}
	msg_out_fini(m);
	if (r != 0)
		over(p, "send error");
}

void
peer_send_lazily(struct peer *p, struct msg_out *m)
{
	const struct timeval t = { 0, PEER_LAZY_MS * 1000 };

	MAGIC_CHECK(p, PEER_MAGIC);
	assert(buf_ok(&m->b) && m->fd < 0);
	if (p->why != NULL) {
		msg_out_fini(m);
		return;
	}
	if (STAILQ_EMPTY(&p->queue)) {
		p->lazy = true;
		(void)event_add(p->on_lazy, &t);
	}
	enqueue(p, m);
}

void
peer_set_reading(struct peer *p, bool on)
{
	MAGIC_CHECK(p, PEER_MAGIC);
	if (p->why == NULL)
		(void)(on ? event_add(p->on_read, NULL)
			  : event_del(p->on_read));
}

bool
peer_poll(struct peer *p)
{
	bool lives;

	MAGIC_CHECK(p, PEER_MAGIC);
	/* it is still asked whether it is over when a handler has freed it */
	p->depth++;
	if (p->why == NULL)
		receive_all(p);
	lives = p->why == NULL;
	return leave(p) && lives;
}

bool
peer_poll_one(struct peer *p)
{
	bool got;

	MAGIC_CHECK(p, PEER_MAGIC);
	p->depth++;
	got = p->why == NULL && receive_one(p);
	return leave(p) && got;
}

void
peer_read_rest(struct peer *p)
{
	MAGIC_CHECK(p, PEER_MAGIC);
	if (p->why != NULL)
		return;
	/* nobody adds to it: what a socket holds, and then its end */
	while (receive_one(p))
		;
}

size_t
peer_queued(const struct peer *p)
{
	return p->queued;
}

void
peer_last_words(const struct peer *p)
{
	const struct packet *k = STAILQ_FIRST(&p->queue);

	for (; k != NULL && p->why == NULL; k = STAILQ_NEXT(k, link))
		if (msg_offer(p->fd, &k->m) != 0)
			return;
}

void
peer_flush(struct peer *p, int timeout_ms)
{
	int64_t end = clock_now() + timeout_ms;

	while (!STAILQ_EMPTY(&p->queue) && p->why == NULL) {
		struct pollfd pfd = { p->fd, POLLOUT, 0 };
		int64_t left = end - clock_now();

		if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
			return;
		drain_queue(p);
	}
}
