/* Questions to helpers that don't come, or say more than there is room for. */
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/pool.h"
#include "base/err.h"
#include "server/ipc/msg.h"

enum { HELPERS = 3, TIMEOUT_MS = 8000 };

struct keeper {
	struct event_base *base;
	int asked;
	bool answered;
};

/* A keeper that can't fork: the front hears nothing of it. */
static void
on_spawn(void *arg, enum pool_class class)
{
	struct keeper *k = arg;

	assert_int_equal(class, POOL_QUICK);
	if (++k->asked == 2 * HELPERS)
		(void)event_base_loopbreak(k->base);
}

static void
on_kill(void *arg, uint32_t pid)
{
	(void)arg;
	fail_msg("process %u is ended", pid);
}

static const struct pool_host host = { on_spawn, on_kill };

static void
on_done(void *arg, const struct answer *a)
{
	struct keeper *k = arg;

	assert_int_equal(a->verdict, VERDICT_TEMPORARY);
	k->answered = true;
	(void)event_base_loopbreak(k->base);
}

static void
helpers_are_asked_for_again(void **state)
{
	struct keeper k = { .base = event_base_new() };
	struct pool *p = pool_new(k.base, &host, &k);
	struct query q = { .op = QUERY_LOGIN,
		.service = SLICE("imap"),
		.user = SLICE("joe"),
		.password = SLICE("secret") };
	struct job *j;

	(void)state;
	pool_configure(p, HELPERS, TIMEOUT_MS);
	assert_int_equal(k.asked, HELPERS);
	/* It is time that somebody waits for them. */
	j = pool_ask(p, &q, on_done, &k);
	assert_non_null(j);
	assert_int_equal(k.asked, HELPERS);
	(void)event_base_dispatch(k.base);
	assert_int_equal(k.asked, 2 * HELPERS);
	assert_false(k.answered);
	pool_cancel(j);
	pool_free(&p);
	assert_int_equal(k.asked, 2 * HELPERS);
	event_base_free(k.base);
}

/* --- an answer in parts --------------------------------------------------- */

static unsigned parts, ends;

static void
on_part(void *arg, const struct answer *a)
{
	(void)arg;
	parts += a->verdict == VERDICT_MORE;
	ends += a->verdict != VERDICT_MORE;
}

static void
helper_says(int fd, uint32_t id, enum verdict v)
{
	struct answer a = { .verdict = v, .extra = SLICE("a part") };
	struct msg_out m;

	answer_pack(&a, id, &m);
	assert_int_equal(msg_send(fd, &m), 0);
}

/* The number of the question that the helper has got; 0: none. */
static uint32_t
helper_hears(int fd)
{
	static uint8_t space[MSG_SIZE_MAX];
	struct msg_in m;

	if (msg_recv(fd, ROLE_AUTH, ROLE_HELPER, space, &m) != 1)
		return 0;
	assert_int_equal(m.type, MSG_AUTHD_QUERY);
	return m.id;
}

static void
turn(struct keeper *k)
{
	for (int i = 0; i < 8; i++)
		(void)event_base_loop(k->base, EVLOOP_NONBLOCK);
}

static void
parts_wait_for_room(void **state)
{
	struct keeper k = { .base = event_base_new() };
	struct pool *p = pool_new(k.base, &host, &k);
	struct query q = { .op = QUERY_ENUMERATE };
	struct job *j;
	uint32_t id;
	int pair[2];

	(void)state;
	pool_configure(p, 1, TIMEOUT_MS);
	assert_int_equal(socketpair(AF_UNIX,
			     SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			     pair),
	    0);
	pool_add(p, pair[0], 1, POOL_QUICK);
	j = pool_ask(p, &q, on_part, NULL);
	assert_non_null(j);
	id = helper_hears(pair[1]);
	assert_int_not_equal(id, 0);
	helper_says(pair[1], id, VERDICT_MORE);
	turn(&k);
	assert_int_equal(parts, 1);
	pool_hold(j, true);
	helper_says(pair[1], id, VERDICT_MORE);
	turn(&k);
	assert_int_equal(parts, 1);
	pool_hold(j, false);
	turn(&k);
	assert_int_equal(parts, 2);
	/* Who goes holds up nobody: the helper's next question comes. */
	pool_hold(j, true);
	helper_says(pair[1], id, VERDICT_MORE);
	helper_says(pair[1], id, VERDICT_OK);
	assert_non_null(pool_ask(p, &q, on_part, NULL));
	turn(&k);
	assert_int_equal(helper_hears(pair[1]), 0);
	pool_cancel(j);
	turn(&k);
	assert_int_not_equal(helper_hears(pair[1]), 0);
	assert_int_equal(parts, 2);
	assert_int_equal(ends, 0);
	pool_free(&p);
	(void)close(pair[1]);
	event_base_free(k.base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(helpers_are_asked_for_again),
		cmocka_unit_test(parts_wait_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
