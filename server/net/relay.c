#include "server/net/relay.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "server/net/abort.h"

enum {
	READ_SIZE = 16 * 1024,
	/* Reads of one side in a row, before other connections get a turn. */
	READS_A_TURN = 4,
};

struct relay {
	SSL *ssl;
	struct event *on_tls_read, *on_tls_write, *on_plain_read,
	    *on_plain_write, *on_stuck, *on_over;
	struct buf to_tls, to_plain;
	bool tls_eof, plain_eof; /* the side will give no more */
	bool write_wants_read;	 /* TLS: a write waits for readability */
	bool over;
	int tls_fd, plain_fd;
	struct timeval write_timeout;
	void (*on_end)(void *arg);
	void *arg;
};

static void
end(struct relay *r)
{
	if (r->over)
		return;
	r->over = true;
	(void)event_del(r->on_tls_read);
	(void)event_del(r->on_tls_write);
	(void)event_del(r->on_plain_read);
	(void)event_del(r->on_plain_write);
	(void)event_del(r->on_stuck);
	event_active(r->on_over, EV_TIMEOUT, 1);
}

static void
on_relay_over(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;

	(void)fd;
	(void)what;
	r->on_end(r->arg);
}

/* client -> us */
static void
read_tls(struct relay *r)
{
	for (int i = 0; i < READS_A_TURN && !r->tls_eof &&
	     buf_len(&r->to_plain) < RELAY_HIGH;
	     i++) {
		uint8_t *to = buf_reserve(&r->to_plain, READ_SIZE);
		size_t n = 0;

		assert(to != NULL);
		switch (tls_read(r->ssl, to, READ_SIZE, &n)) {
		case TLS_DONE:
			buf_advance(&r->to_plain, n);
			break;
		case TLS_WANT_READ:
		case TLS_WANT_WRITE:
			return;
		case TLS_CLOSED:
		case TLS_ERROR:
			r->tls_eof = true;
			break;
		}
	}
}

/* us -> client; false when the client is gone. */
static bool
write_tls(struct relay *r)
{
	r->write_wants_read = false;
	while (buf_len(&r->to_tls) != 0) {
		size_t n = 0;

		switch (tls_write(r->ssl, buf_slice(&r->to_tls), &n)) {
		case TLS_DONE:
			buf_drain(&r->to_tls, n);
			(void)event_del(r->on_stuck);
			break;
		case TLS_WANT_READ:
			r->write_wants_read = true;
			return true;
		case TLS_WANT_WRITE:
			return true;
		case TLS_CLOSED:
		case TLS_ERROR:
			return false;
		}
	}
	return true;
}

/* worker -> us */
static void
read_plain(struct relay *r)
{
	for (int i = 0; i < READS_A_TURN && !r->plain_eof &&
	     buf_len(&r->to_tls) < RELAY_HIGH;
	     i++) {
		uint8_t *to = buf_reserve(&r->to_tls, READ_SIZE);
		ssize_t n;

		assert(to != NULL);
		n = TEMP_FAILURE_RETRY(
		    recv(r->plain_fd, to, READ_SIZE, MSG_DONTWAIT));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			r->plain_eof = true;
		else
			buf_advance(&r->to_tls, (size_t)n);
	}
}

/* us -> worker; false when the worker is gone. */
static bool
write_plain(struct relay *r)
{
	while (buf_len(&r->to_plain) != 0) {
		struct slice s = buf_slice(&r->to_plain);
		ssize_t n = TEMP_FAILURE_RETRY(
		    send(r->plain_fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT));

		if (n < 0)
			return errno == EAGAIN;
		buf_drain(&r->to_plain, (size_t)n);
	}
	return true;
}

static void
want(struct event *ev, bool on)
{
	if (on)
		(void)event_add(ev, NULL);
	else
		(void)event_del(ev);
}

/* Wait for what can go on; give memory back that nothing needs. */
static void
settle(struct relay *r)
{
	bool out = buf_len(&r->to_tls) != 0, in = buf_len(&r->to_plain) != 0;

	want(r->on_tls_read,
	    r->write_wants_read ||
		(!r->tls_eof && buf_len(&r->to_plain) < RELAY_HIGH));
	want(r->on_tls_write, out && !r->write_wants_read);
	want(r->on_plain_read,
	    !r->plain_eof && buf_len(&r->to_tls) < RELAY_HIGH);
	want(r->on_plain_write, in);
	if (out && !event_pending(r->on_stuck, EV_TIMEOUT, NULL))
		(void)event_add(r->on_stuck, &r->write_timeout);
	if (!out)
		buf_fini(&r->to_tls);
	if (!in)
		buf_fini(&r->to_plain);
}

/*
 * One turn.  OpenSSL may hold decrypted bytes that no event will tell of, so
 * after the plain side took something the TLS side is read again.
 */
static void
turn(struct relay *r)
{
	if (r->over)
		return;
	read_tls(r);
	read_plain(r);
	if (!write_tls(r)) {
		r->tls_eof = true;
		buf_reset(&r->to_tls);
		r->plain_eof = true;
	}
	if (!write_plain(r)) {
		/* The worker ended: what it said before still goes out. */
		buf_reset(&r->to_plain);
		r->tls_eof = true;
	} else if (!r->tls_eof && buf_len(&r->to_plain) == 0 &&
	    SSL_pending(r->ssl) > 0)
		event_active(r->on_tls_read, EV_READ, 1);
	if (r->plain_eof && buf_len(&r->to_tls) == 0) {
		tls_shutdown(r->ssl);
		end(r);
		return;
	}
	if (r->tls_eof && buf_len(&r->to_plain) == 0)
		(void)shutdown(r->plain_fd, SHUT_WR);
	settle(r);
}

static void
on_relay_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	turn(arg);
}

static void
on_relay_stuck(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;

	(void)fd;
	(void)what;
	net_abort(r->tls_fd);
	end(r);
}

struct relay *
relay_new(struct event_base *base, SSL *ssl, int tls_fd, int plain_fd,
    int64_t write_timeout_ms, void (*on_end)(void *arg), void *arg)
{
	struct relay *r = MEM_NEW(struct relay);

	r->ssl = ssl;
	r->tls_fd = tls_fd;
	r->plain_fd = plain_fd;
	r->on_end = on_end;
	r->arg = arg;
	r->write_timeout = clock_timeval(write_timeout_ms);
	buf_init(&r->to_tls, RELAY_HIGH + READ_SIZE);
	buf_init(&r->to_plain, RELAY_HIGH + READ_SIZE);
	r->on_tls_read = event_new(base, tls_fd, EV_READ, on_relay_ready, r);
	r->on_tls_write = event_new(base, tls_fd, EV_WRITE, on_relay_ready, r);
	r->on_plain_read =
	    event_new(base, plain_fd, EV_READ, on_relay_ready, r);
	r->on_plain_write =
	    event_new(base, plain_fd, EV_WRITE, on_relay_ready, r);
	r->on_stuck = event_new(base, -1, 0, on_relay_stuck, r);
	r->on_over = event_new(base, -1, 0, on_relay_over, r);
	/* Decrypted bytes may wait already. */
	event_active(r->on_tls_read, EV_READ, 1);
	settle(r);
	return r;
}

void
relay_free(struct relay **rr)
{
	struct relay *r = *rr;

	if (r == NULL)
		return;
	*rr = NULL;
	event_free(r->on_tls_read);
	event_free(r->on_tls_write);
	event_free(r->on_plain_read);
	event_free(r->on_plain_write);
	event_free(r->on_stuck);
	event_free(r->on_over);
	buf_fini(&r->to_tls);
	buf_fini(&r->to_plain);
	free(r);
}
