/* Connections of authdaemond's front whose peers don't read for a while. */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/conn.h"
#include "base/clock.h"
#include "base/mem.h"

enum { OUTPUT = 4 * 1024 * 1024, WRITE_MS = 30, TURNS_MAX = 1000 };

static struct event_base *base;
static struct conns conns;
static struct conn *conn;
static struct buf out;
static int peer;
static int n_freed;

static void
ignore(struct conn *c)
{
	(void)c;
}

static void
note_free(struct conn *c)
{
	(void)c;
	n_freed++;
}

static const struct conn_ops ops = { .on_input = ignore,
	.on_eof = ignore,
	.on_timer = ignore,
	.on_stop = ignore,
	.on_free = note_free };

/* A connection with more to say than the socket takes. */
static int
setup(void **state)
{
	uint8_t *room;
	int pair[2];

	(void)state;
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
	    0);
	peer = pair[1];
	n_freed = 0;
	base = event_base_new();
	conns_init(&conns, base);
	conns.write_ms = WRITE_MS;
	buf_init(&out, 2 * (size_t)OUTPUT);
	room = buf_reserve(&out, OUTPUT);
	assert_non_null(room);
	memset(room, 'x', OUTPUT);
	buf_advance(&out, OUTPUT);
	conn = conn_new(&conns, pair[0], &ops, 64, &out, NULL);
	conn_flush(conn);
	assert_true(buf_len(&out) > OUTPUT / 2);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	conns_fini(&conns);
	assert_int_equal(n_freed, 1);
	event_base_free(base);
	buf_fini(&out);
	(void)close(peer);
	return 0;
}

/* All that there is to read. */
static size_t
read_some(void)
{
	static uint8_t space[64 * 1024];
	size_t all = 0;
	ssize_t n;

	while ((n = read(peer, space, sizeof(space))) > 0)
		all += (size_t)n;
	return all;
}

static size_t got;

/* What an answer of a helper does, just as the peer reads again. */
static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	char one;

	(void)what;
	(void)arg;
	assert_int_equal(read(fd, &one, 1), 1);
	got += read_some();
	conn_flush(conn);
}

/*
 * The time is over in the turn of the loop in which the peer takes something:
 * then it has all the time again, and it is given the rest.
 */
static void
reads_again_at_the_last_moment(void **state)
{
	int64_t late = clock_now() + WRITE_MS + 5;
	struct event *answer;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	answer = event_new(base, p[0], EV_READ, on_answer, NULL);
	(void)event_add(answer, NULL);
	assert_int_equal(write(p[1], "", 1), 1);
	while (clock_now() < late)
		;
	got = 0;
	assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_true(got != 0 && got < OUTPUT);
	conns.write_ms = CONN_WRITE_MS;
	for (int i = 0; i < TURNS_MAX && got < OUTPUT; i++) {
		got += read_some();
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(got, OUTPUT);
	assert_false(conn->closed);
	event_free(answer);
	(void)close(p[0]);
	(void)close(p[1]);
}

static void
on_more(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	buf_putc(&out, 'x');
	conn_flush(conn);
}

/* More to say isn't progress: a peer that never reads is cut in time. */
static void
more_output_puts_nothing_off(void **state)
{
	struct event *more = event_new(base, -1, EV_PERSIST, on_more, NULL);
	const struct timeval often = { 0, 2000 };
	int64_t end = clock_now() + 100 * WRITE_MS;

	(void)state;
	(void)event_add(more, &often);
	while (n_freed == 0 && clock_now() < end)
		(void)event_base_loop(base, EVLOOP_ONCE);
	event_free(more);
	assert_int_equal(n_freed, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(reads_again_at_the_last_moment),
		T(more_output_puts_nothing_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
