/* Compressed streams: what goes in comes out, rests in between included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/deflate.h"

enum { ALL = 300000 };

static uint8_t bytes[ALL];

static void
make_bytes(void)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < ALL; i++) {
		seed = seed * 1664525 + 1013904223;
		/* repeats at all distances, and some noise */
		bytes[i] = i > 40000 && (i / 1000) % 3 != 0
		    ? bytes[i - 1 - i % 32000]
		    : (uint8_t)(seed >> 24);
	}
}

/* Through both directions of one end to those of another. */
static void
carry(size_t piece, size_t room, bool rest)
{
	struct deflate *a = deflate_new(), *b = deflate_new();
	struct buf wire, got;

	buf_init(&wire, 1 << 20);
	buf_init(&got, 1 << 20);
	for (size_t at = 0; at < ALL; at += piece) {
		struct slice s =
		    slice_of(bytes + at, at + piece < ALL ? piece : ALL - at);

		deflate_put(a, s, true, &wire);
		while (deflate_pending(b, &wire))
			assert_int_equal(deflate_take(b, &wire, &got, room), 0);
		assert_int_equal(buf_len(&got), at + s.n);
		if (rest) {
			deflate_rest(a);
			deflate_rest(b);
		}
	}
	assert_memory_equal(buf_slice(&got).p, bytes, ALL);
	buf_fini(&got);
	buf_fini(&wire);
	deflate_free(&a);
	deflate_free(&b);
}

static void
test_carry(void **state)
{
	(void)state;
	make_bytes();
	for (int rest = 0; rest < 2; rest++) {
		carry(ALL, 100000, rest != 0);
		carry(7000, 1, rest != 0);
		carry(37, 16384, rest != 0);
	}
}

/* Rest may come at any byte that has been received. */
static void
test_rest_anywhere(void **state)
{
	struct deflate *a = deflate_new(), *b = deflate_new();
	struct buf wire, one, got;

	(void)state;
	make_bytes();
	buf_init(&wire, 1 << 20);
	buf_init(&one, 16);
	buf_init(&got, 1 << 20);
	for (size_t at = 0; at < 5000; at += 100)
		deflate_put(a, slice_of(bytes + at, 100), at % 300 == 0, &wire);
	deflate_put(a, slice_of(NULL, 0), true, &wire);
	while (buf_len(&wire) != 0) {
		buf_put(&one, slice_first(buf_slice(&wire), 1));
		buf_drain(&wire, 1);
		while (deflate_pending(b, &one))
			assert_int_equal(deflate_take(b, &one, &got, 10000), 0);
		deflate_rest(b);
	}
	assert_int_equal(buf_len(&got), 5000);
	assert_memory_equal(buf_slice(&got).p, bytes, 5000);
	buf_fini(&got);
	buf_fini(&one);
	buf_fini(&wire);
	deflate_free(&a);
	deflate_free(&b);
}

/* A megabyte of zeros in a kilobyte: it comes as there is room. */
static void
test_bomb(void **state)
{
	static const uint8_t zeros[1 << 20];
	struct deflate *a = deflate_new(), *b = deflate_new();
	struct buf wire, got;
	size_t total = 0;

	(void)state;
	buf_init(&wire, 1 << 20);
	buf_init(&got, 1000);
	deflate_put(a, slice_of(zeros, sizeof(zeros)), true, &wire);
	assert_true(buf_len(&wire) < 10000);
	while (deflate_pending(b, &wire)) {
		assert_int_equal(deflate_take(b, &wire, &got, 1000), 0);
		total += buf_len(&got);
		buf_reset(&got);
	}
	assert_int_equal(total, sizeof(zeros));
	buf_fini(&got);
	buf_fini(&wire);
	deflate_free(&a);
	deflate_free(&b);
}

static void
test_refused(void **state)
{
	/* a reserved block type; a stored block with a wrong length; a
	 * distance to before the beginning; the end of the stream */
	static const struct slice bad[] = { SLICE_INIT("\x07"),
		SLICE_INIT("\x00\x01\x00\x01\x00"), SLICE_INIT("\x4b\x04\x12"),
		SLICE_INIT("\x03\x00") };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct deflate *d = deflate_new();
		struct buf in, out;
		int rc = 0;

		buf_init(&in, 1000);
		buf_init(&out, 1000);
		buf_put(&in, bad[i]);
		while (rc == 0 && deflate_pending(d, &in))
			rc = deflate_take(d, &in, &out, 1000);
		assert_int_equal(rc, ERR_FORMAT);
		deflate_rest(d);
		buf_fini(&in);
		buf_fini(&out);
		deflate_free(&d);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_carry),
		cmocka_unit_test(test_rest_anywhere),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
