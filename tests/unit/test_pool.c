/* The pool of small things: what it gives, and what it gives back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"
#include "tests/support/dice.h"

enum { PIECES = 3000, LARGEST = 5000, STEPS = 200000 };

static struct {
	unsigned char *p;
	size_t n;
	unsigned char fill;
} pieces[PIECES];

static void
check(size_t i)
{
	for (size_t k = 0; k < pieces[i].n; k++)
		assert_int_equal(pieces[i].p[k], pieces[i].fill);
}

/* No piece lies in another, or loses bytes. */
static void
pieces_are_apart(void **state)
{
	(void)state;
	for (int step = 0; step < STEPS; step++) {
		size_t i = dice(PIECES), n = dice(dice(8) == 0 ? LARGEST : 300);

		if (pieces[i].p != NULL && dice(3) == 0) {
			size_t kept = pieces[i].n < n ? pieces[i].n : n;

			pieces[i].p = pool_realloc(pieces[i].p, n);
			pieces[i].n = kept;
			check(i);
		} else if (pieces[i].p != NULL) {
			check(i);
			pool_free(pieces[i].p);
			pieces[i].p = NULL;
			continue;
		} else {
			pieces[i].p = pool_alloc(n);
			pieces[i].n = n;
			pieces[i].fill = 0;
			check(i);
		}
		assert_int_equal(
		    (uintptr_t)pieces[i].p % _Alignof(max_align_t), 0);
		pieces[i].n = n;
		pieces[i].fill = (unsigned char)dice(256);
		memset(pieces[i].p, pieces[i].fill, n);
	}
	for (size_t i = 0; i < PIECES; i++)
		pool_free(pieces[i].p);
}

static void
slabs_are_given_back(void **state)
{
	static void *p[PIECES];
	size_t before = pool_size(), full;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < PIECES; i++)
			p[i] = pool_alloc(1000);
		full = pool_size();
		for (size_t i = 0; i < PIECES; i++)
			pool_free(p[i]);
		/* one of this size stays */
		assert_true(pool_size() <= before + 16 * 1024);
	}
	/* with a sanitizer there is no pool */
	assert_true(full == 0 || full >= before + (size_t)PIECES * 1000);
	assert_true(full <= before + (size_t)PIECES * 1200);
}

static void
strings(void **state)
{
	char *s = pool_strdup("a string");

	(void)state;
	assert_string_equal(s, "a string");
	pool_free(s);
	pool_free(NULL);
	s = pool_realloc(NULL, 0);
	pool_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_apart),
		cmocka_unit_test(slabs_are_given_back),
		cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
