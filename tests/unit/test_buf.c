/* Buffers: growing, and what is left of those that had secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

void __real_free(void *p);
void __wrap_free(void *p);

/* The block whose release is looked at; what was not zero in it. */
static uint8_t *watched;
static size_t watched_n, n_left;

void
__wrap_free(void *p)
{
	if (p != NULL && p == watched) {
		for (size_t i = 0; i < watched_n; i++)
			n_left += watched[i] != 0;
		watched = NULL;
	}
	__real_free(p);
}

static void
watch(const struct buf *b)
{
	watched = b->p;
	watched_n = b->cap;
	n_left = 0;
}

static void
assert_wiped(void)
{
	assert_null(watched);
	assert_int_equal(n_left, 0);
}

static void
a_secret_is_wiped(void **state)
{
	struct buf b;

	(void)state;
	buf_init_secret(&b, 1000);
	buf_puts(&b, "password");
	watch(&b);
	for (unsigned i = 0; i < 100; i++)
		buf_puts(&b, "more"); /* it moves */
	assert_wiped();
	assert_int_equal(buf_len(&b), 408);
	assert_memory_equal(b.p, "passwordmore", 12);

	buf_drain(&b, 400);
	watch(&b);
	buf_trim(&b);
	assert_wiped();
	assert_true(slice_eq(buf_slice(&b), SLICE("moremore")));

	buf_reset(&b);
	for (size_t i = 0; i < b.cap; i++)
		assert_int_equal(b.p[i], 0);
	buf_puts(&b, "password");
	watch(&b);
	buf_fini(&b);
	assert_wiped();
	/* and it is for secrets still */
	buf_puts(&b, "password");
	watch(&b);
	buf_fini(&b);
	assert_wiped();
}

/* Where the bytes were before they were moved to the front. */
static void
a_secret_is_wiped_where_it_was(void **state)
{
	struct buf b;

	(void)state;
	buf_init_secret(&b, 64);
	for (unsigned i = 0; i < 8; i++)
		buf_puts(&b, "password");
	buf_drain(&b, 56);
	assert_non_null(buf_reserve(&b, 16));
	assert_true(slice_eq(buf_slice(&b), SLICE("password")));
	for (size_t i = buf_len(&b); i < b.cap; i++)
		assert_int_equal(b.p[i], 0);
	buf_fini(&b);
}

static void
grows_up_to_its_maximum(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (unsigned i = 0; i < 100; i++)
		buf_putc(&b, 'x');
	assert_true(buf_ok(&b));
	assert_int_equal(b.cap, 100);
	buf_drain(&b, 10);
	buf_puts(&b, "0123456789");
	assert_true(buf_ok(&b));
	assert_int_equal(buf_len(&b), 100);
	buf_putc(&b, 'y');
	assert_false(buf_ok(&b));
	assert_null(buf_reserve(&b, 0));
	assert_int_equal(buf_len(&b), 100);
	buf_reset(&b);
	assert_non_null(buf_reserve(&b, 100));
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_fini(&b);
}

static void
numbers_are_written(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x0f, 0xa5, 0xff };
	struct buf b;

	(void)state;
	buf_init(&b, 16);
	buf_put_hex(&b, slice_of(bytes, sizeof(bytes)));
	buf_putu(&b, 0);
	buf_putu(&b, 1027);
	assert_true(slice_eq(buf_slice(&b), SLICE("000fa5ff01027")));
	buf_put_hex(&b, slice_of(bytes, 2));
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_wiped),
		cmocka_unit_test(a_secret_is_wiped_where_it_was),
		cmocka_unit_test(grows_up_to_its_maximum),
		cmocka_unit_test(numbers_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
