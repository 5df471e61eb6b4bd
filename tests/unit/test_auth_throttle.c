/* Waiting for guesses, and what is known without asking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/cache.h"
#include "auth/throttle.h"

static const uint8_t key[32] = "thirty-two bytes of chance......";

enum { MAX_MS = 15000 };

static struct attempt
attempt(const char *user, const char *password, const char *rip)
{
	return (struct attempt){ slice_str(user), slice_str(password),
		slice_str(rip) };
}

static struct throttle *
begin(void)
{
	struct throttle *t = throttle_new(key);

	throttle_configure(t, MAX_MS, SLICE("127.0.0.0/8 ::1 2001:db8::/32"));
	return t;
}

/* n failures with as many passwords. */
static void
fail_often(
    struct throttle *t, const char *user, const char *rip, int n, int64_t now)
{
	for (int i = 0; i < n; i++) {
		char password[32];
		struct attempt a;

		(void)snprintf(password, sizeof(password), "guess %d", i);
		a = attempt(user, password, rip);
		throttle_failed(t, &a, now);
	}
}

static int64_t
wait_of(struct throttle *t, const char *user, const char *rip, int64_t now)
{
	struct attempt a = attempt(user, "x", rip);

	return throttle_wait(t, &a, now);
}

static void
test_network(void **state)
{
	struct throttle *t = begin();
	int64_t last = 0;

	(void)state;
	assert_int_equal(wait_of(t, "joe", "192.0.2.7", 0), 0);
	fail_often(t, "a", "192.0.2.7", THROTTLE_FREE - 1, 0);
	assert_int_equal(wait_of(t, "joe", "192.0.2.7", 0), 0);
	for (int i = 0; i < 10; i++) {
		char user[16];
		int64_t now;

		(void)snprintf(user, sizeof(user), "user%d", i);
		fail_often(t, user, "192.0.2.7", 1, 0);
		now = wait_of(t, "joe", "192.0.2.7", 0);
		assert_true(now >= last && now >= THROTTLE_FIRST_MS);
		last = now;
	}
	assert_int_equal(last, MAX_MS);
	/* Neighbours wait, others don't, mapped is the same address. */
	assert_int_equal(wait_of(t, "joe", "192.0.2.200", 0), MAX_MS);
	assert_int_equal(wait_of(t, "joe", "::ffff:192.0.2.7", 0), MAX_MS);
	assert_int_equal(wait_of(t, "joe", "192.0.3.7", 0), 0);
	/* It is forgiven, step by step. */
	assert_true(
	    wait_of(t, "joe", "192.0.2.7", 8 * THROTTLE_FORGIVE_MS) < MAX_MS);
	assert_int_equal(wait_of(t, "joe", "192.0.2.7",
			     THROTTLE_SCORE_MAX * THROTTLE_FORGIVE_MS),
	    0);
	throttle_free(&t);
	assert_null(t);
}

static void
test_v6_network(void **state)
{
	struct throttle *t = begin();

	(void)state;
	fail_often(t, "a", "2001:dba:1:2::1", 12, 0);
	assert_true(wait_of(t, "joe", "2001:dba:1:2:ffff::1", 0) > 0);
	assert_int_equal(wait_of(t, "joe", "2001:dba:1:3::1", 0), 0);
	throttle_free(&t);
}

static void
test_name(void **state)
{
	struct throttle *t = begin();

	(void)state;
	/* From everywhere, always the same name. */
	for (int i = 0; i < 12; i++) {
		char rip[32];

		(void)snprintf(rip, sizeof(rip), "198.51.%d.1", i);
		fail_often(t, "Joe", rip, 1, 0);
	}
	/* Each network tried the same first guess: that counts once. */
	assert_int_equal(wait_of(t, "joe", "203.0.113.1", 0), 0);
	fail_often(t, "joe", "198.51.100.1", 12, 0);
	assert_int_equal(
	    wait_of(t, "JOE", "203.0.113.1", 0), THROTTLE_NAME_MAX_MS);
	assert_int_equal(wait_of(t, "ann", "203.0.113.1", 0), 0);
	throttle_free(&t);
}

/* A phone with the old password. */
static void
test_same_password(void **state)
{
	struct throttle *t = begin();
	struct attempt a = attempt("joe", "old", "192.0.2.7");

	(void)state;
	for (int i = 0; i < 1000; i++)
		throttle_failed(t, &a, i * 1000);
	assert_int_equal(throttle_wait(t, &a, 1000 * 1000), 0);
	throttle_free(&t);
}

/* Without a password (SCRAM) each failure counts. */
static void
test_no_password(void **state)
{
	struct throttle *t = begin();
	struct attempt a = attempt("joe", "", "192.0.2.7");

	(void)state;
	for (int i = 0; i < 12; i++)
		throttle_failed(t, &a, 0);
	assert_int_equal(throttle_wait(t, &a, 0), MAX_MS);
	throttle_free(&t);
}

/* Where joe logged in before he doesn't wait for what others try. */
static void
test_known(void **state)
{
	struct throttle *t = begin();
	struct attempt joe = attempt("joe", "right", "203.0.113.1");

	(void)state;
	throttle_succeeded(t, &joe, 0);
	fail_often(t, "joe", "198.51.100.1", 12, 0);
	assert_int_equal(wait_of(t, "joe", "203.0.113.1", 0), 0);
	assert_true(wait_of(t, "joe", "198.51.100.9", 0) > 0);
	assert_true(
	    wait_of(t, "joe", "203.0.114.1", 0) == THROTTLE_NAME_MAX_MS);
	/* But he doesn't open the door for guesses at others. */
	fail_often(t, "ann", "203.0.113.1", 12, 0);
	throttle_succeeded(t, &joe, 0);
	assert_int_equal(wait_of(t, "ann", "203.0.113.1", 0), MAX_MS);
	throttle_free(&t);
}

static void
test_trusted(void **state)
{
	static const char *const trusted[] = { "127.0.0.1", "127.255.1.1",
		"::1", "::ffff:127.0.0.1", "2001:db8:1::7" };
	struct throttle *t = begin();

	(void)state;
	for (size_t i = 0; i < NELEMS(trusted); i++) {
		fail_often(t, "joe", trusted[i], 50, 0);
		assert_int_equal(wait_of(t, "joe", trusted[i], 0), 0);
	}
	/* Nor was the name counted. */
	assert_int_equal(wait_of(t, "joe", "192.0.2.1", 0), 0);
	fail_often(t, "joe", "128.0.0.1", 50, 0);
	assert_true(wait_of(t, "joe", "128.0.0.1", 0) > 0);
	throttle_configure(t, 0, SLICE(""));
	assert_int_equal(wait_of(t, "joe", "128.0.0.1", 0), 0);
	throttle_free(&t);
}

/* A list as all others: commas and line ends separate as well. */
static void
test_trusted_list(void **state)
{
	static const char *const trusted[] = { "10.1.2.3", "192.0.2.1",
		"198.51.100.7", "2001:db8::1" };
	struct throttle *t = begin();

	(void)state;
	throttle_configure(t, MAX_MS,
	    SLICE("10.0.0.0/8,192.0.2.0/24, nonsense\n\t198.51.100.7\n"
		  "2001:db8::/32"));
	for (size_t i = 0; i < NELEMS(trusted); i++) {
		fail_often(t, "joe", trusted[i], 50, 0);
		assert_int_equal(wait_of(t, "joe", trusted[i], 0), 0);
	}
	fail_often(t, "joe", "127.0.0.1", 50, 0);
	assert_true(wait_of(t, "joe", "127.0.0.1", 0) > 0);
	throttle_free(&t);
}

/* A flood of names and networks ends in no more memory, and doesn't wash an
 * entry away that waits. */
static void
test_bounded(void **state)
{
	struct throttle *t = begin();

	(void)state;
	fail_often(t, "joe", "192.0.2.7", 15, 0);
	for (int i = 0; i < THROTTLE_ENTRIES; i++) {
		char user[32], rip[32];
		struct attempt a;

		(void)snprintf(user, sizeof(user), "u%d", i);
		(void)snprintf(
		    rip, sizeof(rip), "10.%d.%d.1", i / 256 % 256, i % 256);
		a = attempt(user, "x", rip);
		throttle_failed(t, &a, 1);
	}
	assert_int_equal(wait_of(t, "ann", "192.0.2.7", 1), MAX_MS);
	throttle_free(&t);
}

static void
test_odd_addresses(void **state)
{
	static const char *const odd[] = { "", "x", "1.2.3", "1.2.3.4.5", "::g",
		"fe80::1%eth0",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111" };
	struct throttle *t = begin();

	(void)state;
	for (size_t i = 0; i < NELEMS(odd); i++) {
		fail_often(t, "joe", odd[i], 20, 0);
		assert_true(wait_of(t, "joe", odd[i], 0) > 0);
	}
	throttle_configure(
	    t, MAX_MS, SLICE("x 1.2.3.4/33 ::/129 /8 1.2.3.4/ ::1/x"));
	throttle_free(&t);
}

/* --- the cache ----------------------------------------------------------- */

static struct query
query(const char *user, const char *password)
{
	return (struct query){ .op = QUERY_LOGIN,
		.service = SLICE("imap"),
		.user = slice_str(user),
		.password = slice_str(password) };
}

static struct answer
answer(enum verdict v)
{
	struct answer a = { .verdict = v, .uid = 5000, .gid = 5001 };

	a.field[ACCOUNT_ADDRESS] = SLICE("joe@example.com");
	a.field[ACCOUNT_HOME] = SLICE("/home/vmail");
	a.field[ACCOUNT_PASSWD2] = SLICE("secret");
	return a;
}

static const struct cache_times times = {
	.good_ms = 60000, .bad_ms = 5000, .outage_ms = 600000
};

static void
learn(struct cache *c, const char *user, const char *password, enum verdict v,
    int64_t now)
{
	struct query q = query(user, password);
	struct answer a = answer(v);

	cache_learn(c, &q, &a, now);
}

static bool
knows(struct cache *c, const char *user, const char *password, bool outage,
    int64_t now)
{
	struct query q = query(user, password);
	struct answer a;

	return cache_find(c, &q, outage, now, &a);
}

static void
test_cache(void **state)
{
	struct cache *c = cache_new(key);
	struct query q = query("joe", "secret");
	struct answer a;

	(void)state;
	cache_configure(c, &times);
	assert_false(knows(c, "joe", "secret", false, 0));
	learn(c, "joe", "secret", VERDICT_OK, 0);
	assert_true(cache_find(c, &q, false, 59999, &a));
	assert_int_equal(a.verdict, VERDICT_OK);
	assert_int_equal(a.uid, 5000);
	assert_true(
	    slice_eq(a.field[ACCOUNT_ADDRESS], SLICE("joe@example.com")));
	assert_true(slice_eq(a.field[ACCOUNT_PASSWD2], SLICE("secret")));
	assert_false(knows(c, "joe", "secret", false, 60000));
	assert_true(knows(c, "joe", "secret", true, 60000));
	assert_false(knows(c, "joe", "secret", true, 600000));
	assert_false(knows(c, "joe", "other", false, 0));
	assert_false(knows(c, "ann", "secret", false, 0));
	q.service = SLICE("pop3");
	assert_false(cache_find(c, &q, false, 0, &a));
	cache_free(&c);
}

static void
test_cache_refusals(void **state)
{
	struct cache *c = cache_new(key);

	(void)state;
	cache_configure(c, &times);
	learn(c, "joe", "wrong", VERDICT_REJECTED, 0);
	assert_true(knows(c, "joe", "wrong", false, 4999));
	assert_false(knows(c, "joe", "wrong", false, 5000));
	/* While the table is away nobody is refused by hearsay. */
	assert_false(knows(c, "joe", "wrong", true, 0));
	learn(c, "joe", "x", VERDICT_TEMPORARY, 0);
	assert_false(knows(c, "joe", "x", false, 0));
	cache_free(&c);
}

static void
test_cache_forgets(void **state)
{
	struct cache *c = cache_new(key);

	(void)state;
	cache_configure(c, &times);
	/* Another password got in: the one before it was changed. */
	learn(c, "joe", "old", VERDICT_OK, 0);
	learn(c, "Joe", "new", VERDICT_OK, 1);
	assert_false(knows(c, "joe", "old", false, 2));
	assert_true(knows(c, "Joe", "new", false, 2));
	/* The old one is refused from now on. */
	learn(c, "joe", "new", VERDICT_REJECTED, 3);
	cache_forget(c, SLICE("JOE"), SLICE(""));
	assert_false(knows(c, "Joe", "new", false, 4));
	assert_false(knows(c, "joe", "new", false, 4));
	/* Under whatever name the account was found. */
	learn(c, "joe", "old", VERDICT_OK, 5);
	learn(c, "joe@example.com", "old", VERDICT_OK, 5);
	learn(c, "ann", "wrong", VERDICT_REJECTED, 5);
	cache_forget(c, SLICE("joe@example.com"), SLICE("ann@example.com"));
	assert_true(knows(c, "joe", "old", false, 5));
	cache_forget(c, SLICE("joe@example.com"), SLICE("joe@example.com"));
	assert_false(knows(c, "joe", "old", false, 5));
	assert_false(knows(c, "joe", "old", true, 5));
	assert_true(knows(c, "ann", "wrong", false, 5));
	/* So is one that was changed in the table. */
	learn(c, "joe", "old", VERDICT_OK, 5);
	learn(c, "joe@example.com", "new", VERDICT_OK, 6);
	learn(c, "JOE@example.com", "new", VERDICT_OK, 6);
	assert_false(knows(c, "joe", "old", false, 6));
	assert_false(knows(c, "joe", "old", true, 6));
	assert_true(knows(c, "joe@example.com", "new", false, 6));
	learn(c, "joe", "new", VERDICT_OK, 5);
	cache_configure(c, &times);
	assert_false(knows(c, "joe", "new", false, 6));
	cache_free(&c);
}

/* Rows of one address, each with a password of its own, beside each other; one
 * that changes its password drops what the old one let in all the same. */
static void
test_cache_one_address(void **state)
{
	struct cache *c = cache_new(key);

	(void)state;
	cache_configure(c, &times);
	/* The second could be the first with a changed password, and back. */
	learn(c, "joe", "joe's", VERDICT_OK, 0);
	learn(c, "ann", "ann's", VERDICT_OK, 1);
	assert_false(knows(c, "joe", "joe's", false, 2));
	assert_false(knows(c, "joe", "joe's", true, 2));
	learn(c, "joe", "joe's", VERDICT_OK, 2);
	assert_false(knows(c, "ann", "ann's", false, 3));
	learn(c, "ann", "ann's", VERDICT_OK, 3);
	assert_true(knows(c, "joe", "joe's", false, 4));
	assert_true(knows(c, "ann", "ann's", false, 4));
	for (int64_t now = 5; now < 200000; now += 30000) {
		learn(c, "joe", "joe's", VERDICT_OK, now);
		assert_true(knows(c, "ann", "ann's", false, now));
		learn(c, "ann", "ann's", VERDICT_OK, now + 1);
		assert_true(knows(c, "joe", "joe's", false, now + 1));
	}
	/* Another name of joe's row, with joe's password, then a new one. */
	learn(c, "joseph", "joe's", VERDICT_OK, 200000);
	assert_true(knows(c, "joe", "joe's", false, 200000));
	learn(c, "joseph", "new", VERDICT_OK, 200001);
	assert_false(knows(c, "joseph", "joe's", false, 200002));
	assert_false(knows(c, "joe", "joe's", false, 200002));
	assert_false(knows(c, "joe", "joe's", true, 200002));
	learn(c, "joe", "joe's", VERDICT_REJECTED, 200003);
	learn(c, "joe", "new", VERDICT_OK, 200004);
	learn(c, "ann", "ann's", VERDICT_OK, 200005);
	learn(c, "joseph", "new", VERDICT_OK, 200006);
	assert_true(knows(c, "ann", "ann's", false, 200007));
	assert_true(knows(c, "joseph", "new", false, 200007));
	cache_free(&c);
}

/* A password that was changed, and changed back, is of one row all the same. */
static void
test_cache_changed_back(void **state)
{
	struct cache *c = cache_new(key);

	(void)state;
	cache_configure(c, &times);
	learn(c, "joe", "old", VERDICT_OK, 0);
	learn(c, "joseph", "new", VERDICT_OK, 1);
	learn(c, "joseph", "new", VERDICT_OK, 2);
	learn(c, "joe", "old", VERDICT_OK, 3);
	assert_true(knows(c, "joe", "old", false, 4));
	assert_false(knows(c, "joseph", "new", false, 4));
	assert_false(knows(c, "joseph", "new", true, 4));
	cache_free(&c);
}

/* A success that the table refuses now isn't believed in an outage. */
static void
test_cache_revoked(void **state)
{
	struct cache *c = cache_new(key);

	(void)state;
	cache_configure(c, &times);
	learn(c, "joe", "secret", VERDICT_OK, 0);
	learn(c, "joe", "secret", VERDICT_REJECTED, 100);
	assert_false(knows(c, "joe", "secret", true, 101));
	cache_free(&c);
}

/* App passwords: asked for each time, remembered for an outage beside the
 * account's own and beside each other. */
static void
test_cache_app_passwords(void **state)
{
	struct cache *c = cache_new(key);
	struct query q = query("joe", "phone");
	struct answer a = answer(VERDICT_OK), known;

	(void)state;
	cache_configure(c, &times);
	learn(c, "joe", "secret", VERDICT_OK, 0);
	a.field[ACCOUNT_OPTIONS] = SLICE("x=1,apppassword=phone");
	cache_learn(c, &q, &a, 1);
	assert_false(cache_find(c, &q, false, 2, &known));
	assert_true(cache_find(c, &q, true, 2, &known));
	assert_true(knows(c, "joe", "secret", false, 2));
	learn(c, "joe", "n3w", VERDICT_OK, 3);
	assert_false(knows(c, "joe", "secret", false, 4));
	assert_true(knows(c, "joe", "n3w", false, 4));
	assert_true(cache_find(c, &q, true, 4, &known));
	cache_free(&c);
}

/* Some verdicts are right for one address only. */
static void
test_cache_by_address(void **state)
{
	static const struct slice here = SLICE_INIT("192.0.2.7"),
				  there = SLICE_INIT("198.51.100.1");

	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		struct cache *c = cache_new(key);
		struct query q = query("joe", "secret");
		struct answer a = answer(bad ? VERDICT_REJECTED : VERDICT_OK),
			      known;

		cache_configure(c, &times);
		q.rip = here;
		cache_learn(c, &q, &a, 0);
		q.rip = there;
		assert_true(cache_find(c, &q, false, 1, &known));
		a.extra = SLICE("rip");
		q.rip = here;
		cache_learn(c, &q, &a, 2);
		assert_true(cache_find(c, &q, false, 3, &known));
		assert_int_equal(known.verdict, a.verdict);
		q.rip = there;
		assert_false(cache_find(c, &q, false, 3, &known));
		q.rip = SLICE("");
		assert_false(cache_find(c, &q, false, 3, &known));
		cache_free(&c);
	}
}

/* A success that the user table's file alone decided: as long as it is seen
 * not to change, but a minute at most. */
static void
test_cache_by_file(void **state)
{
	static const struct cache_times never = { .bad_ms = 2000 };
	const struct query q = { .op = QUERY_LOGIN,
		.service = SLICE("imap"),
		.user = SLICE("joe"),
		.password = SLICE("secret") };
	struct answer a = { .verdict = VERDICT_OK, .by_file = true }, known;
	struct cache *c = cache_new(key);

	(void)state;
	cache_configure(c, &never);
	cache_learn(c, &q, &a, 0);
	assert_false(cache_find(c, &q, false, 1, &known));
	cache_set_watch(c, 7);
	cache_learn(c, &q, &a, 0);
	assert_true(cache_find(c, &q, false, CACHE_BY_FILE_MS - 1, &known));
	assert_false(cache_find(c, &q, false, CACHE_BY_FILE_MS, &known));
	assert_false(cache_find(c, &q, true, 1, &known));
	cache_set_watch(c, 8);
	assert_false(cache_find(c, &q, false, 1, &known));
	cache_set_watch(c, 0);
	assert_false(cache_find(c, &q, false, 1, &known));
	cache_set_watch(c, 7);
	assert_true(cache_sweep(c, CACHE_BY_FILE_MS - 1));
	assert_true(cache_find(c, &q, false, 1, &known));
	assert_false(cache_sweep(c, CACHE_BY_FILE_MS));
	assert_false(cache_find(c, &q, false, 1, &known));
	cache_free(&c);
}

static void
test_cache_bounded(void **state)
{
	struct cache *c = cache_new(key);
	struct answer a = answer(VERDICT_OK);

	(void)state;
	cache_configure(c, &times);
	for (int i = 0; i < 2 * CACHE_ENTRIES; i++) {
		char user[32];
		struct query q;

		(void)snprintf(user, sizeof(user), "user%d", i);
		q = query(user, "x");
		a.field[ACCOUNT_ADDRESS] = slice_str(user);
		cache_learn(c, &q, &a, i);
		assert_true(knows(c, user, "x", false, i));
	}
	cache_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_v6_network),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_same_password),
		cmocka_unit_test(test_no_password),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_trusted_list),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_odd_addresses),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_cache_refusals),
		cmocka_unit_test(test_cache_forgets),
		cmocka_unit_test(test_cache_one_address),
		cmocka_unit_test(test_cache_changed_back),
		cmocka_unit_test(test_cache_revoked),
		cmocka_unit_test(test_cache_app_passwords),
		cmocka_unit_test(test_cache_by_address),
		cmocka_unit_test(test_cache_by_file),
		cmocka_unit_test(test_cache_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
