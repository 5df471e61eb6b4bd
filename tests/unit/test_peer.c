/* peer: what one end sends, the other gets, however much, and its end. */
#include <sys/resource.h>
#include <sys/socket.h>

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/peer.h"

struct seen {
	unsigned messages, ends;
	struct event_base *base;
	unsigned want;
};

static void
on_message(struct peer *p, struct msg_in *m, void *arg)
{
	struct seen *s = arg;

	(void)p;
	assert_int_equal(m->type, MSG_CONN_CLOSE);
	assert_true(msg_get_u64(m) == s->messages);
	if (++s->messages == s->want)
		(void)event_base_loopbreak(s->base);
}

static void
on_end(struct peer *p, const char *why, void *arg)
{
	struct seen *s = arg;

	assert_string_equal(why, "closed");
	s->ends++;
	peer_free(&p);
	(void)event_base_loopbreak(s->base);
}

static void
peer_queues_what_does_not_fit(void **state)
{
	static const struct peer_handler h = { on_message, on_end };
	struct event_base *base = event_base_new();
	struct seen s = { .base = base, .want = 5000 };
	struct peer *login, *master;
	struct msg_out out;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	login = peer_new(base, pair[0], ROLE_LOGIN, ROLE_MASTER, &h, &s);
	master = peer_new(base, pair[1], ROLE_MASTER, ROLE_LOGIN, &h, &s);
	for (unsigned i = 0; i < s.want; i++) {
		msg_begin(&out, MSG_CONN_CLOSE, 0);
		msg_put_u64(&out, i);
		peer_send(login, &out);
	}
	assert_true(peer_queued(login) > 0);
	(void)event_base_dispatch(base);
	assert_int_equal(s.messages, s.want);
	assert_int_equal(peer_queued(login), 0);
	peer_free(&login);
	(void)event_base_dispatch(base);
	assert_int_equal(s.ends, 1);
	(void)master;
	event_base_free(base);
}

static void
say(struct peer *p, uint64_t i, bool lazily)
{
	struct msg_out out;

	msg_begin(&out, MSG_CONN_CLOSE, 0);
	msg_put_u64(&out, i);
	if (lazily)
		peer_send_lazily(p, &out);
	else
		peer_send(p, &out);
}

/* Two peers on a base of their own; the second goes when the first does. */
static void
make_peers(struct seen *s, struct peer **login, struct peer **master)
{
	static const struct peer_handler h = { on_message, on_end };
	int pair[2];

	s->base = event_base_new();
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	*login = peer_new(s->base, pair[0], ROLE_LOGIN, ROLE_MASTER, &h, s);
	*master = peer_new(s->base, pair[1], ROLE_MASTER, ROLE_LOGIN, &h, s);
}

static void
end_peers(struct seen *s, struct peer **login)
{
	peer_free(login);
	assert_int_equal(event_base_dispatch(s->base), 0);
	assert_int_equal(s->ends, 1);
	event_base_free(s->base);
}

/*
 * What nobody waits for wakes nobody: it goes before what is sent next, and
 * by itself if nothing is.
 */
static void
lazy_message_goes_with_the_next(void **state)
{
	struct seen s = { .want = 3 };
	struct peer *login, *master;

	(void)state;
	make_peers(&s, &login, &master);
	say(login, 0, true);
	say(login, 1, true);
	assert_int_equal(event_base_loop(s.base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(s.messages, 0);
	assert_true(peer_queued(login) > 0);
	say(login, 2, false);
	assert_int_equal(peer_queued(login), 0);
	assert_int_equal(event_base_dispatch(s.base), 0);
	assert_int_equal(s.messages, 3);
	s.want = 4;
	say(login, 3, true);
	assert_int_equal(event_base_dispatch(s.base), 0);
	assert_int_equal(s.messages, 4);
	/* what is still to go when a process ends */
	s.want = 5;
	say(login, 4, true);
	peer_flush(login, 1000);
	assert_int_equal(event_base_dispatch(s.base), 0);
	end_peers(&s, &login);
}

/* What a process said before it ended is there, its end is told once. */
static void
rest_is_read(void **state)
{
	struct seen s = { .want = 1 };
	struct peer *login, *master;

	(void)state;
	make_peers(&s, &login, &master);
	say(login, 0, false);
	assert_int_equal(event_base_dispatch(s.base), 0);
	for (unsigned i = 1; i <= 150; i++)
		say(login, i, false);
	assert_int_equal(peer_queued(login), 0);
	s.want = 0;
	peer_free(&login);
	peer_read_rest(master);
	assert_int_equal(s.messages, 151);
	assert_int_equal(s.ends, 0);
	end_peers(&s, &login);
}

static void
on_lost(struct peer *p, struct msg_in *m, void *arg)
{
	struct seen *s = arg;

	(void)p;
	assert_int_equal(m->type, MSG_SEND);
	assert_int_equal(m->fd, -1);
	assert_true(msg_get_u64(m) == 7);
	s->messages++;
	(void)event_base_loopbreak(s->base);
}

/* No descriptor more: the number of the first that is free is the limit. */
static void
set_fd_limit(rlim_t n)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static void
send_fd(int sock)
{
	struct msg_out out;

	msg_begin(&out, MSG_SEND, 0);
	msg_put_u64(&out, 7);
	out.fd = sock;
	assert_int_equal(msg_send(sock, &out), 0);
}

/*
 * Whether a process at its limit gets no descriptor, of one that was sent
 * before: valgrind has a limit of its own, which recvmsg() doesn't heed.
 */
static bool
limit_counts(int sock)
{
	static uint8_t space[MSG_SIZE_MAX];
	struct msg_in in;
	int r = msg_recv(sock, ROLE_WORKER, ROLE_MASTER, space, &in);

	if (r == 1)
		(void)close(in.fd);
	return r == ERR_LIMIT;
}

/* Who has no room for a descriptor loses that, but not who sent it. */
static void
descriptor_is_lost(void **state)
{
	static const struct peer_handler h = { on_message, on_end };
	struct seen s = { .base = event_base_new() };
	struct rlimit was;
	struct peer *master;
	int pair[2], fd;
	bool counts;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	send_fd(pair[0]);
	master = peer_new(s.base, pair[1], ROLE_MASTER, ROLE_WORKER, &h, &s);
	peer_on_lost(master, on_lost);
	send_fd(pair[0]);
	fd = dup(pair[0]);
	(void)close(fd);
	set_fd_limit((rlim_t)fd);
	counts = limit_counts(pair[1]);
	if (counts) {
		assert_int_equal(event_base_dispatch(s.base), 0);
		assert_int_equal(s.messages, 1);
		assert_int_equal(s.ends, 0);
	}
	set_fd_limit(was.rlim_cur);
	if (!counts) {
		print_message("no limit of descriptors is to be had here\n");
		peer_free(&master);
		(void)close(pair[0]);
		event_base_free(s.base);
		skip();
	}
	(void)close(pair[0]);
	assert_int_equal(event_base_dispatch(s.base), 0);
	assert_int_equal(s.ends, 1);
	event_base_free(s.base);
}

/* As after a fault, when no more than the socket can be relied on. */
static void
last_words_are_said(void **state)
{
	struct seen s = { .want = 2 };
	struct peer *login, *master;

	(void)state;
	make_peers(&s, &login, &master);
	say(login, 0, true);
	say(login, 1, true);
	peer_last_words(login);
	assert_true(peer_queued(login) > 0);
	peer_free(&login);
	assert_int_equal(event_base_dispatch(s.base), 0);
	assert_int_equal(s.messages, 2);
	assert_int_equal(event_base_dispatch(s.base), 0);
	assert_int_equal(s.ends, 1);
	event_base_free(s.base);
}

/* Alone or many at once, none is left behind. */
static void
every_message_is_received(void **state)
{
	struct seen s = { 0 };
	struct peer *login, *master;
	uint64_t sent = 0;

	(void)state;
	make_peers(&s, &login, &master);
	for (unsigned round = 0; round < 100; round++) {
		unsigned n = round % 10 == 0 ? 150 : 1 + round % 3;

		for (unsigned i = 0; i < n; i++)
			say(login, sent++, false);
		s.want = (unsigned)sent;
		assert_int_equal(event_base_dispatch(s.base), 0);
		assert_int_equal(s.messages, sent);
	}
	end_peers(&s, &login);
}

/* What is freed is zeros from then on. */
static bool wipes;

void __real_free(void *p);
void __wrap_free(void *p);

void
__wrap_free(void *p)
{
	if (wipes && p != NULL)
		memset(p, 0, malloc_usable_size(p));
	__real_free(p);
}

static void
on_message_free(struct peer *p, struct msg_in *m, void *arg)
{
	struct seen *s = arg;

	(void)m;
	s->messages++;
	peer_free(&p);
}

/* Whoever polls is told so if that has the peer freed. */
static void
freed_while_polled(void **state)
{
	static const struct peer_handler h = { on_message_free, on_end };
	struct seen s = { .base = event_base_new() };
	struct peer *login, *master;
	int pair[2];

	(void)state;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	login = peer_new(s.base, pair[0], ROLE_LOGIN, ROLE_MASTER, &h, &s);
	master = peer_new(s.base, pair[1], ROLE_MASTER, ROLE_LOGIN, &h, &s);
	say(login, 0, false);
	say(login, 1, false);
	wipes = true;
	assert_false(peer_poll(master));
	wipes = false;
	assert_int_equal(s.messages, 1);
	peer_free(&login);
	event_base_free(s.base);
}

/* One at a time, until there is none. */
static void
one_is_polled(void **state)
{
	struct seen s = { 0 };
	struct peer *login, *master;

	(void)state;
	make_peers(&s, &login, &master);
	say(login, 0, false);
	say(login, 1, false);
	for (size_t n = 1; n <= 2; n++) {
		assert_true(peer_poll_one(master));
		assert_int_equal(s.messages, n);
	}
	assert_false(peer_poll_one(master));
	end_peers(&s, &login);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_queues_what_does_not_fit),
		cmocka_unit_test(lazy_message_goes_with_the_next),
		cmocka_unit_test(last_words_are_said),
		cmocka_unit_test(every_message_is_received),
		cmocka_unit_test(rest_is_read),
		cmocka_unit_test(freed_while_polled),
		cmocka_unit_test(one_is_polled),
		cmocka_unit_test(descriptor_is_lost),
	};

	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
