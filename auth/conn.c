#include "auth/conn.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"

enum { CONN_MAGIC = 0x0c0221ec };

static struct timeval
timeval_of(int64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

/* --- the list ----------------------------------------------------------- */

static void
conn_free(struct conn *c)
{
	c->ops->on_free(c);
	event_free(c->readable);
	event_free(c->writable);
	event_free(c->timer);
	event_free(c->stuck);
	secret_wipe(c->in, c->in_max);
	free(c->in);
	c->magic = 0;
	free(c);
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct conns *cs = arg;
	struct conn *c;

	(void)fd;
	(void)what;
	while ((c = TAILQ_FIRST(&cs->dead)) != NULL) {
		TAILQ_REMOVE(&cs->dead, c, link);
		conn_free(c);
	}
}

void
conns_init(struct conns *cs, struct event_base *base)
{
	*cs = (struct conns){ .base = base, .write_ms = CONN_WRITE_MS };
	TAILQ_INIT(&cs->alive);
	TAILQ_INIT(&cs->dead);
	cs->reaper = event_new(base, -1, 0, on_reap, cs);
	assert(cs->reaper != NULL);
}

void
conns_fini(struct conns *cs)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&cs->alive)) != NULL)
		conn_close(c);
	on_reap(-1, 0, cs);
	event_free(cs->reaper);
}

/* --- reading ------------------------------------------------------------ */

/* What comes after the end of the conversation. */
static void
discard_input(struct conn *c)
{
	uint8_t space[4096];
	ssize_t n;

	do
		n = recv(c->fd, space, sizeof(space), MSG_DONTWAIT);
	while (n > 0);
	secret_wipe(space, sizeof(space));
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn_close(c);
}

static void
take_eof(struct conn *c)
{
	c->eof = true;
	(void)event_del(c->readable);
	c->ops->on_eof(c);
}

static void
on_conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n;

	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed)
		return;
	if (c->lingering) {
		discard_input(c);
		return;
	}
	if (c->n_in == c->in_max) {
		conn_close(c);
		return;
	}
	n = recv(fd, c->in + c->n_in, c->in_max - c->n_in, MSG_DONTWAIT);
	if (n > 0) {
		c->n_in += (size_t)n;
		c->ops->on_input(c);
	} else if (n == 0) {
		take_eof(c);
	} else if (errno != EAGAIN && errno != EINTR) {
		conn_close(c);
	}
}

void
conn_stop_soon(struct conn *c)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	if (!c->closed && !c->eof && !c->stopped && !c->lingering)
		on_conn_readable(c->fd, EV_READ, c);
	if (!c->closed && !c->lingering)
		c->ops->on_stop(c);
}

void
conn_consume(struct conn *c, size_t n)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	assert(n <= c->n_in);
	memmove(c->in, c->in + n, c->n_in - n);
	secret_wipe(c->in + c->n_in - n, n);
	c->n_in -= n;
}

void
conn_stop(struct conn *c)
{
	c->stopped = true;
	(void)event_del(c->readable);
}

void
conn_resume(struct conn *c)
{
	if (c->closed || c->eof || !c->stopped)
		return;
	c->stopped = false;
	(void)event_add(c->readable, NULL);
}

/* --- writing ------------------------------------------------------------ */

static void
half_close(struct conn *c)
{
	(void)shutdown(c->fd, SHUT_WR);
	if (c->eof) {
		conn_close(c);
		return;
	}
	conn_set_timer(c, CONN_LINGER_MS);
	(void)event_add(c->readable, NULL);
	discard_input(c);
}

/* Returns false when the connection was closed. */
static bool
send_some(struct conn *c, bool *progress)
{
	while (buf_len(c->out) != 0) {
		struct slice s = buf_slice(c->out);
		ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			conn_close(c);
			return false;
		}
		if (n < 0)
			return true;
		*progress = true;
		buf_drain(c->out, (size_t)n);
	}
	return true;
}

/*
 * The time that the peer has is a timer by itself, which only progress puts
 * off: more output doesn't.  A time-out of the event of the socket would be
 * put off by each event_add(), and one that had just passed would have it
 * forget the socket, as libevent takes the event from it until it is called.
 */
static void
wait_writable(struct conn *c, bool progress)
{
	struct timeval tv = timeval_of(c->conns->write_ms);

	(void)event_add(c->writable, NULL);
	if (progress || !evtimer_pending(c->stuck, NULL))
		(void)evtimer_add(c->stuck, &tv);
}

void
conn_flush(struct conn *c)
{
	bool progress = false;

	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed || !send_some(c, &progress))
		return;
	if (buf_len(c->out) != 0) {
		wait_writable(c, progress);
		if (buf_len(c->out) > CONN_OUTPUT_HIGH)
			conn_stop(c);
		return;
	}
	(void)evtimer_del(c->stuck);
	if (c->closing)
		conn_close(c);
	else if (c->lingering)
		half_close(c);
}

static void
on_conn_stuck(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	conn_close(c);
}

static void
on_conn_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed)
		return;
	conn_flush(c);
	if (c->closed || c->lingering || buf_len(c->out) != 0)
		return;
	conn_resume(c);
	if (c->ops->on_drained != NULL)
		c->ops->on_drained(c);
}

void
conn_finish(struct conn *c)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed || c->lingering)
		return;
	c->lingering = true;
	conn_stop(c);
	conn_set_timer(c, -1);
	conn_flush(c);
}

void
conn_close_drained(struct conn *c)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed || c->lingering)
		return;
	c->closing = true;
	conn_finish(c);
}

/* --- beginning and end -------------------------------------------------- */

static void
on_conn_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed)
		return;
	if (c->lingering)
		conn_close(c);
	else
		c->ops->on_timer(c);
}

void
conn_set_timer(struct conn *c, int64_t ms)
{
	struct timeval tv = timeval_of(ms);

	MAGIC_CHECK(c, CONN_MAGIC);
	if (ms < 0)
		(void)evtimer_del(c->timer);
	else if (!c->closed)
		(void)evtimer_add(c->timer, &tv);
}

struct conn *
conn_new(struct conns *cs, int fd, const struct conn_ops *ops, size_t in_max,
    struct buf *out, void *arg)
{
	struct conn *c = MEM_NEW(struct conn);

	c->magic = CONN_MAGIC;
	c->conns = cs;
	c->ops = ops;
	c->arg = arg;
	c->fd = fd;
	c->in = mem_alloc(in_max);
	c->in_max = in_max;
	c->out = out;
	c->readable =
	    event_new(cs->base, fd, EV_READ | EV_PERSIST, on_conn_readable, c);
	c->writable = event_new(cs->base, fd, EV_WRITE, on_conn_writable, c);
	c->timer = evtimer_new(cs->base, on_conn_timer, c);
	c->stuck = evtimer_new(cs->base, on_conn_stuck, c);
	assert(c->readable != NULL && c->writable != NULL && c->timer != NULL &&
	    c->stuck != NULL);
	(void)event_add(c->readable, NULL);
	TAILQ_INSERT_TAIL(&cs->alive, c, link);
	cs->n++;
	return c;
}

void
conn_close(struct conn *c)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->closed)
		return;
	c->closed = true;
	(void)event_del(c->readable);
	(void)event_del(c->writable);
	(void)evtimer_del(c->timer);
	(void)evtimer_del(c->stuck);
	(void)close(c->fd);
	TAILQ_REMOVE(&c->conns->alive, c, link);
	TAILQ_INSERT_TAIL(&c->conns->dead, c, link);
	c->conns->n--;
	event_active(c->conns->reaper, EV_TIMEOUT, 1);
}
