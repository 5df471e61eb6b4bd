/*
 * Streams of a worker: whose turn it is.  The sessions are made up: one that
 * works for ever, in slices, and one that answers a byte with a byte.
 */
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/worker.h"

enum { TURNS_MAX = 20, BUFFER = 4096 };

static struct worker w;
static struct peer *master;
static unsigned n_slices;
static char page[256], at_work[256]; /* the page, now and at the last step */

static enum step
run_busy(struct session *s, int64_t now_ms, int64_t wall_ms)
{
	(void)s;
	(void)now_ms;
	(void)wall_ms;
	n_slices++;
	return STEP_YIELD;
}

static enum step
run_echo(struct session *s, int64_t now_ms, int64_t wall_ms)
{
	(void)now_ms;
	(void)wall_ms;
	memcpy(at_work, page, sizeof(page));
	buf_put(&s->out, buf_slice(&s->in));
	buf_drain(&s->in, buf_len(&s->in));
	return STEP_WAIT_INPUT;
}

static void
at_eof(struct session *s)
{
	(void)s;
}

static void
end(struct session *s, enum session_end why)
{
	(void)s;
	(void)why;
}

static int64_t
never(const struct session *s)
{
	(void)s;
	return INT64_MAX;
}

static void
release(struct session *s)
{
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

/* One that waits for another process until it has it; then it is the echo. */
static bool waits;

static enum step
run_waiting(struct session *s, int64_t now_ms, int64_t wall_ms)
{
	return waits ? STEP_WAIT_PEER : run_echo(s, now_ms, wall_ms);
}

static int64_t again_at;

static int64_t
deadline(const struct session *s)
{
	(void)s;
	return waits ? again_at : clock_now() + 1000000;
}

static const struct session_ops busy_ops = { "busy", run_busy, at_eof, end,
	never, release };
static const struct session_ops echo_ops = { "echo", run_echo, at_eof, end,
	never, release };
static const struct session_ops waiting_ops = { "waiting", run_waiting, at_eof,
	end, deadline, release };

/* A stream with such a session; the client's end. */
static int
open_stream(const struct session_ops *ops)
{
	struct session *s = MEM_NEW(struct session);
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	s->ops = ops;
	buf_init(&s->in, BUFFER);
	buf_init(&s->out, BUFFER);
	stream_begin(stream_new(&w, 1, SERVICE_IMAPD, fds[0], s, "/account"));
	return fds[1];
}

static void
on_message(struct peer *p, struct msg_in *m, void *arg)
{
	(void)p;
	(void)m;
	(void)arg;
}

static void
on_end(struct peer *p, const char *why, void *arg)
{
	(void)p;
	(void)why;
	(void)arg;
}

static const struct peer_handler handler = { on_message, on_end };

static int
setup(void **state)
{
	int fds[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	w = (struct worker){ .base = event_base_new(), .page = page };
	TAILQ_INIT(&w.streams);
	TAILQ_INIT(&w.runnable);
	w.on_runnable = event_new(w.base, -1, 0, on_streams_runnable, &w);
	w.master =
	    peer_new(w.base, fds[0], ROLE_WORKER, ROLE_MASTER, &handler, NULL);
	master =
	    peer_new(w.base, fds[1], ROLE_MASTER, ROLE_WORKER, &handler, NULL);
	n_slices = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	while (!TAILQ_EMPTY(&w.streams))
		stream_free(TAILQ_FIRST(&w.streams));
	assert_int_equal(w.n_runnable, 0);
	peer_free(&w.master);
	peer_free(&master);
	event_free(w.on_runnable);
	event_base_free(w.base);
	return 0;
}

/* Turns until the client has its byte back. */
static int
turns_for_an_answer(int fd)
{
	char c = 'x';

	assert_int_equal(send(fd, &c, 1, 0), 1);
	for (int i = 1; i <= TURNS_MAX; i++) {
		assert_int_equal(event_base_loop(w.base, EVLOOP_ONCE), 0);
		if (recv(fd, &c, 1, MSG_DONTWAIT) == 1)
			return i;
	}
	return TURNS_MAX + 1;
}

static void
work_in_slices_keeps_nobody_waiting(void **state)
{
	int busy[3], echo;

	(void)state;
	for (size_t i = 0; i < NELEMS(busy); i++)
		busy[i] = open_stream(&busy_ops);
	echo = open_stream(&echo_ops);
	for (int i = 0; i < 10; i++) {
		n_slices = 0;
		assert_true(turns_for_an_answer(echo) <= 3);
		/* a slice of each, every turn */
		assert_true(n_slices <= 3 * NELEMS(busy));
	}
	for (size_t i = 0; i < NELEMS(busy); i++)
		(void)close(busy[i]);
	(void)close(echo);
}

/* One that freed another in its turn, or was woken twice, is no trouble. */
static void
woken_streams_may_go(void **state)
{
	int a = open_stream(&busy_ops), b = open_stream(&echo_ops);

	(void)state;
	/* it has had its first turn, and wants another */
	assert_int_equal(n_slices, 1);
	n_slices = 0;
	stream_wake(TAILQ_FIRST(&w.streams));
	stream_wake(TAILQ_NEXT(TAILQ_FIRST(&w.streams), link));
	stream_wake(TAILQ_FIRST(&w.streams));
	assert_int_equal(w.n_runnable, 2);
	stream_free(TAILQ_FIRST(&w.streams));
	assert_int_equal(w.n_runnable, 1);
	assert_true(turns_for_an_answer(b) <= 3);
	assert_int_equal(n_slices, 0);
	(void)close(a);
	(void)close(b);
}

/* What the master counts crashes by is its own name of the account. */
static void
page_tells_of_the_account(void **state)
{
	int fd = open_stream(&echo_ops);

	(void)state;
	assert_true(turns_for_an_answer(fd) <= 3);
	assert_string_equal(at_work, "/account");
	assert_string_equal(page, "");
	stream_call_account(TAILQ_FIRST(&w.streams), "/by/a/link");
	assert_true(turns_for_an_answer(fd) <= 3);
	assert_string_equal(at_work, "/by/a/link");
	(void)close(fd);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/*
 * A session asks again after a while, and is woken: both come in one turn of
 * the loop, the waking first.  What its client sends then is read.
 */
static void
woken_when_its_time_is_over(void **state)
{
	/* so that the loop goes on if nothing comes */
	struct event *tick = event_new(w.base, -1, EV_PERSIST, on_tick, NULL);
	const struct timeval ms = { 0, 5000 };
	int fd = open_stream(&waiting_ops);

	(void)state;
	assert_true(turns_for_an_answer(fd) <= 3);
	waits = true;
	again_at = clock_now() + 20;
	stream_wake(TAILQ_FIRST(&w.streams));
	assert_int_equal(event_base_loop(w.base, EVLOOP_ONCE), 0);
	waits = false;
	stream_wake(TAILQ_FIRST(&w.streams));
	while (clock_now() <= again_at)
		;
	assert_int_equal(event_base_loop(w.base, EVLOOP_ONCE), 0);
	(void)event_add(tick, &ms);
	assert_true(turns_for_an_answer(fd) <= 3);
	event_free(tick);
	(void)close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(work_in_slices_keeps_nobody_waiting),
		T(woken_streams_may_go),
		T(page_tells_of_the_account),
		T(woken_when_its_time_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
