#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/worker.h"

enum {
	STREAM_MAGIC = 0x73747265,
	READ_SIZE = 16 * 1024,
	/* Steps of one session in a row before others get their turn. */
	STEPS_A_TURN = 64,
	SEND_TRIES = 4,
};

static void stream_run(struct stream *st);

/* --- the page: which account is being worked on ------------------------------
 */

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

/* --- bytes
 * -------------------------------------------------------------------- */

/* Send what the stream takes.  False: the client is gone. */
static bool
send_output(struct stream *st)
{
	struct buf *out = &st->session->out;

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
	size_t room = session_input_room(s);
	uint8_t *to;
	ssize_t n;

	if (room > READ_SIZE)
		room = READ_SIZE;
	if (room == 0 || (to = buf_reserve(&s->in, room)) == NULL)
		return false;
	n = TEMP_FAILURE_RETRY(recv(st->fd, to, room, MSG_DONTWAIT));
	if (n > 0) {
		buf_advance(&s->in, (size_t)n);
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
	(void)event_del(st->on_read);
	return true;
}

/* --- events
 * ------------------------------------------------------------------- */

static void
set_timer(struct stream *st)
{
	int64_t now = clock_now(), at = st->session->ops->deadline(st->session);
	struct timeval t;

	if (st->stuck_since_ms != 0) {
		int64_t cut = st->stuck_since_ms +
		    1000 *
			conf_num(st->worker->conf, CONF_POSTERN_WRITE_TIMEOUT);
		if (cut < at)
			at = cut;
	}
	if (at == INT64_MAX) {
		(void)event_del(st->on_timer);
		return;
	}
	t = clock_timeval(at > now ? at - now : 0);
	(void)event_add(st->on_timer, &t);
}

/* Wait for what the session waits for. */
static void
settle(struct stream *st, enum step last)
{
	bool output = buf_len(&st->session->out) != 0;

	st->want_input = last == STEP_WAIT_INPUT;
	if (st->want_input)
		(void)event_add(st->on_read, NULL);
	else
		(void)event_del(st->on_read);
	if (output)
		(void)event_add(st->on_write, NULL);
	else
		(void)event_del(st->on_write);
	if (last == STEP_YIELD || last == STEP_NEXT ||
	    (last == STEP_WAIT_OUTPUT &&
		buf_len(&st->session->out) < STEP_OUTPUT_HIGH / 2))
		stream_wake(st);
	set_timer(st);
}

static void
stream_run(struct stream *st)
{
	struct session *s = st->session;
	enum step step = STEP_DONE;

	if (st->broken) {
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
	if (!send_output(st)) {
		stream_free(st);
		return;
	}
	if (st->done && buf_len(&s->out) == 0) {
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
on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(st, STREAM_MAGIC);
	if (st->want_input && receive_input(st))
		stream_run(st);
	else if (st->want_input && session_input_room(st->session) != 0)
		(void)event_add(st->on_read, NULL);
}

static void
on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;
	struct session *s;

	(void)fd;
	(void)what;
	MAGIC_CHECK(st, STREAM_MAGIC);
	s = st->session;
	if (!send_output(st)) {
		stream_free(st);
		return;
	}
	if (buf_len(&s->out) >= STEP_OUTPUT_HIGH / 2) {
		(void)event_add(st->on_write, NULL);
		set_timer(st);
		return;
	}
	stream_run(st);
}

static void
on_session_wake(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(st, STREAM_MAGIC);
	stream_run(st);
}

static void
on_session_timer(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(st, STREAM_MAGIC);
	if (st->stuck_since_ms != 0 &&
	    clock_now() - st->stuck_since_ms >=
		1000 * conf_num(st->worker->conf, CONF_POSTERN_WRITE_TIMEOUT)) {
		/* It does not read: nothing more can be said to it. */
		st->session->ops->eof(st->session);
		stream_free(st);
		return;
	}
	stream_run(st);
}

static void
wake_of_session(void *arg)
{
	stream_wake(arg);
}

void
stream_wake(struct stream *st)
{
	MAGIC_CHECK(st, STREAM_MAGIC);
	event_active(st->on_run, EV_TIMEOUT, 1);
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
	struct stream *st = MEM_NEW(struct stream);

	st->magic = STREAM_MAGIC;
	st->worker = w;
	st->id = id;
	st->service = service;
	st->fd = fd;
	st->session = s;
	st->account = mem_strdup(account);
	s->waker = (struct waker){ wake_of_session, st };
	st->on_read = event_new(w->base, fd, EV_READ, on_client_readable, st);
	st->on_write = event_new(w->base, fd, EV_WRITE, on_client_writable, st);
	st->on_timer = event_new(w->base, -1, 0, on_session_timer, st);
	st->on_run = event_new(w->base, -1, 0, on_session_wake, st);
	assert(st->on_read != NULL && st->on_write != NULL &&
	    st->on_timer != NULL && st->on_run != NULL);
	TAILQ_INSERT_TAIL(&w->streams, st, link);
	w->n_streams++;
	stream_wake(st);
	return st;
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
	event_free(st->on_read);
	event_free(st->on_write);
	event_free(st->on_timer);
	event_free(st->on_run);
	(void)shutdown(st->fd, SHUT_RDWR);
	(void)close(st->fd);
	msg_begin(&m, MSG_SESSION_CLOSED, 0);
	msg_put_u64(&m, st->id);
	peer_send(w->master, &m);
	free(st->account);
	st->magic = 0;
	free(st);
}
