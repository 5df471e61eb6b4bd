#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "server/net/abort.h"
#include "server/worker.h"
#include "server/zip.h"

enum {
	STREAM_MAGIC = 0x73747265,
	READ_SIZE = 16 * 1024,
	/* Steps of one session in a row before others get their turn. */
	STEPS_A_TURN = 64,
	SEND_TRIES = 4,
};

static void stream_run(struct stream *st);

/* --- the page: which account is being worked on -------------------------- */

static void
publish(struct worker *w, const char *account)
{
	size_t n = strlen(account);

	if (w->page == NULL)
		return;
	if (n > 255)
		n = 255;
	memcpy(w->page, account, n);
	w->page[n] = '\0';
}

static void
unpublish(struct worker *w)
{
	if (w->page != NULL)
		w->page[0] = '\0';
}

/* --- bytes --------------------------------------------------------------- */

/* The bytes that go to the socket. */
static struct buf *
wire_of(struct stream *st)
{
	if (st->zip == NULL)
		return &st->session->out;
	zip_compress(st->zip);
	return &st->zip->out;
}

static bool
has_output(const struct stream *st)
{
	return buf_len(&st->session->out) != 0 ||
	    (st->zip != NULL && buf_len(&st->zip->out) != 0);
}

/* Send what the stream takes.  False: the client is gone. */
static bool
send_output(struct stream *st)
{
	struct buf *out = wire_of(st);

	for (int i = 0; i < SEND_TRIES && buf_len(out) != 0; i++) {
		ssize_t n = send(st->fd, buf_slice(out).p, buf_len(out),
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return false;
		st->session->sent += (uint64_t)n;
		st->stuck_since_ms = 0;
		buf_drain(out, (size_t)n);
		out = wire_of(st);
	}
	if (buf_len(out) != 0 && st->stuck_since_ms == 0)
		st->stuck_since_ms = clock_now();
	return true;
}

/* One read into the session.  False when nothing came; eof is told. */
static bool
receive_input(struct stream *st)
{
	struct session *s = st->session;
	struct buf *in = st->zip != NULL ? &st->zip->in : &s->in;
	size_t room = session_input_room(s);
	uint8_t *to;
	ssize_t n;

	if (room > READ_SIZE)
		room = READ_SIZE;
	if (room == 0 || (to = buf_reserve(in, room)) == NULL)
		return false;
	n = TEMP_FAILURE_RETRY(recv(st->fd, to, room, MSG_DONTWAIT));
	if (n > 0) {
		buf_advance(in, (size_t)n);
		s->rcvd += (uint64_t)n;
		return true;
	}
	if (n < 0 && errno == EAGAIN)
		return false;
	/* A half-closed client still reads its answers (protocols/session.h);
	 * one whose connection broke must not have a command carried out whose
	 * earlier replies it never saw. */
	if (n == 0)
		s->ops->eof(s);
	else
		st->broken = true;
	st->eof = true;
	return true;
}

/* --- events -------------------------------------------------------------- */

static void on_client_io(evutil_socket_t fd, short what, void *arg);

/* When it is to be called at the latest; INT64_MAX: never. */
static int64_t
deadline(struct stream *st)
{
	int64_t at = st->session->ops->deadline(st->session);

	if (st->stuck_since_ms != 0) {
		int64_t cut = st->stuck_since_ms +
		    1000 *
			conf_num(st->worker->conf, CONF_POSTERN_WRITE_TIMEOUT);
		if (cut < at)
			at = cut;
	}
	return at;
}

/*
 * Wait for these events of the socket.  They persist, so that a command costs
 * no call of epoll_ctl(): reading is given up only once bytes have come that
 * the session doesn't want yet (on_client_io).
 */
static void
wait_for(struct stream *st, short interest)
{
	int64_t at = deadline(st), now = clock_now();
	struct timeval t = { 0 };
	/*
	 * libevent takes an event whose time is over from the socket, and gives
	 * it back only as it calls it.  If it is added before that, because
	 * what the session waited for came in the same turn, it is not called,
	 * and the socket is forgotten.
	 */
	bool forgotten = st->timed && interest != 0 &&
	    event_pending(&st->on_io, interest, NULL) == 0;

	if (interest != st->interest || forgotten) {
		(void)event_del(&st->on_io);
		(void)event_assign(&st->on_io, st->worker->base, st->fd,
		    (short)(interest | EV_PERSIST), on_client_io, st);
		st->timed = false;
	}
	if (at != INT64_MAX) {
		at = at > now ? at - now : 0;
		t.tv_sec = (time_t)(at / 1000);
		t.tv_usec = (suseconds_t)(at % 1000 * 1000);
		(void)event_add(&st->on_io, &t);
		st->timed = true;
	} else {
		if (st->timed)
			(void)event_remove_timer(&st->on_io);
		st->timed = false;
		if (interest != 0 && (interest != st->interest || forgotten))
			(void)event_add(&st->on_io, NULL);
	}
	st->interest = interest;
}

/* Wait for what the session waits for. */
static void
settle(struct stream *st, enum step last)
{
	short interest = st->interest & EV_READ;

	st->want_input = last == STEP_WAIT_INPUT;
	if (st->want_input)
		interest = EV_READ;
	if (st->eof)
		interest = 0;
	if (has_output(st))
		interest |= EV_WRITE;
	if (last == STEP_YIELD || last == STEP_NEXT ||
	    (st->want_input && st->zip != NULL && zip_has_input(st->zip)) ||
	    (last == STEP_WAIT_OUTPUT &&
		buf_len(&st->session->out) < session_output_mark(st->session)))
		stream_wake(st);
	wait_for(st, interest);
}

/* Compression begins when the session asks for it (protocols/session.h). */
static void
begin_zip(struct stream *st)
{
	if (st->session->deflate != SESSION_DEFLATE_ASKED || st->done)
		return;
	st->zip = zip_new(st->session);
	TAILQ_INSERT_TAIL(&st->worker->zips, st->zip, link);
}

/* Let the session have what has been received.  False: it is no DEFLATE. */
static bool
give_input(struct stream *st)
{
	if (st->zip == NULL || !st->want_input || zip_decompress(st->zip) == 0)
		return true;
	log_info(
	    "worker: not DEFLATE session=%llu", (unsigned long long)st->id);
	return false;
}

static void
stream_run(struct stream *st)
{
	struct session *s = st->session;
	enum step step = STEP_DONE;

	if (st->broken || !give_input(st)) {
		stream_free(st);
		return;
	}
	publish(st->worker, st->account);
	for (int i = 0; !st->done && i < STEPS_A_TURN; i++) {
		step = s->ops->run(s, clock_now(), clock_wall());
		if (step != STEP_NEXT)
			break;
	}
	unpublish(st->worker);
	if (step == STEP_DONE)
		st->done = true;
	begin_zip(st);
	stream_send(st);
	if (!send_output(st)) {
		stream_free(st);
		return;
	}
	if (st->done && !has_output(st)) {
		stream_free(st);
		return;
	}
	if (s->idle && buf_len(&s->in) == 0 && buf_len(&s->out) == 0) {
		buf_trim(&s->in);
		buf_trim(&s->out);
	}
	settle(st, st->done ? STEP_WAIT_OUTPUT : step);
}

static void
on_readable(struct stream *st)
{
	if (!st->want_input || session_input_room(st->session) == 0)
		wait_for(st, st->interest & EV_WRITE);
	/* What is still compressed comes before what is behind it, above all
	 * before the end of the stream. */
	else if (st->zip != NULL && zip_has_input(st->zip))
		stream_run(st);
	else if (receive_input(st))
		stream_run(st);
}

static void
on_writable(struct stream *st)
{
	if (!send_output(st))
		stream_free(st);
	else if (buf_len(&st->session->out) >= session_output_mark(st->session))
		wait_for(st, st->interest);
	else
		stream_run(st);
}

static void
on_timeout(struct stream *st)
{
	if (st->stuck_since_ms != 0 &&
	    clock_now() - st->stuck_since_ms >=
		1000 * conf_num(st->worker->conf, CONF_POSTERN_WRITE_TIMEOUT)) {
		/* It does not read: nothing more can be said to it. */
		net_abort(st->fd);
		st->session->ops->eof(st->session);
		stream_free(st);
		return;
	}
	stream_run(st);
}

/* One of several at a time: the others are told of again. */
static void
on_client_io(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;

	(void)fd;
	MAGIC_CHECK(st, STREAM_MAGIC);
	if (what & EV_WRITE)
		on_writable(st);
	else if (what & EV_READ)
		on_readable(st);
	else
		on_timeout(st);
}

static void
wake_of_session(void *arg)
{
	stream_wake(arg);
}

/*
 * In the next turn of the loop, once it has looked at the sockets: an event
 * made active in a callback would be called before that, and a session that
 * works in slices would keep all others waiting until it is through.
 */
static void
run_soon(struct worker *w)
{
	const struct timeval now = { 0 };

	(void)event_add(w->on_runnable, &now);
}

void
stream_wake(struct stream *st)
{
	struct worker *w = st->worker;

	MAGIC_CHECK(st, STREAM_MAGIC);
	if (st->runnable)
		return;
	st->runnable = true;
	TAILQ_INSERT_TAIL(&w->runnable, st, turn);
	if (w->n_runnable++ == 0)
		run_soon(w);
}

static void
not_runnable(struct stream *st)
{
	if (!st->runnable)
		return;
	st->runnable = false;
	TAILQ_REMOVE(&st->worker->runnable, st, turn);
	st->worker->n_runnable--;
}

void
on_streams_runnable(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct stream *st;

	(void)fd;
	(void)what;
	/* Those that are woken meanwhile come in the next turn. */
	for (unsigned n = w->n_runnable;
	     n > 0 && (st = TAILQ_FIRST(&w->runnable)) != NULL; n--) {
		not_runnable(st);
		stream_run(st);
	}
	if (w->n_runnable != 0)
		run_soon(w);
}

void
streams_synced(void *arg)
{
	struct worker *w = arg;

	if (w->n_runnable == 0)
		return;
	(void)event_del(w->on_runnable);
	on_streams_runnable(-1, 0, w);
}

void
stream_end(struct stream *st, enum session_end why)
{
	MAGIC_CHECK(st, STREAM_MAGIC);
	if (st->done)
		return;
	st->session->ops->end(st->session, why);
	stream_wake(st);
}

struct stream *
stream_new(struct worker *w, uint64_t id, enum service service, int fd,
    struct session *s, const char *account)
{
	struct stream *st = POOL_NEW(struct stream);

	st->magic = STREAM_MAGIC;
	st->worker = w;
	st->id = id;
	st->service = service;
	st->fd = fd;
	st->session = s;
	st->account = account;
	s->waker = (struct waker){ wake_of_session, st };
	(void)event_assign(&st->on_io, w->base, fd, 0, on_client_io, st);
	TAILQ_INSERT_TAIL(&w->streams, st, link);
	w->n_streams++;
	return st;
}

void
stream_begin(struct stream *st)
{
	MAGIC_CHECK(st, STREAM_MAGIC);
	stream_run(st);
}

void
stream_call_account(struct stream *st, const char *path)
{
	MAGIC_CHECK(st, STREAM_MAGIC);
	assert(st->own_account == NULL);
	st->account = st->own_account = pool_strdup(path);
}

void
stream_free(struct stream *st)
{
	struct worker *w = st->worker;
	struct msg_out m;

	MAGIC_CHECK(st, STREAM_MAGIC);
	st->session->ops->free(st->session);
	TAILQ_REMOVE(&w->streams, st, link);
	w->n_streams--;
	w->trim_due = true;
	w->idle_since_ms = clock_now();
	if (st->zip != NULL)
		TAILQ_REMOVE(&w->zips, st->zip, link);
	zip_free(&st->zip);
	pool_free(st->own_account);
	not_runnable(st);
	(void)event_del(&st->on_io);
	(void)shutdown(st->fd, SHUT_RDWR);
	(void)close(st->fd);
	msg_begin(&m, MSG_SESSION_CLOSED, 0);
	msg_put_u64(&m, st->id);
	peer_send(w->master, &m);
	st->magic = 0;
	pool_free(st);
}
