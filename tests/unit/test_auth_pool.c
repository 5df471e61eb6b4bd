/* Questions to helpers that don't come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/pool.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(helpers_are_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
