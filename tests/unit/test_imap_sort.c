/* Sorting, without a mailbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/mem.h"
#include "protocols/imap/order.h"
#include "protocols/imap/shared.h"
#include "protocols/imap/sorter.h"
#include "tests/support/dice.h"

/* --- the sorter ----------------------------------------------------------- */

static const char *const words[] = { "", "a", "aaaaaaaa", "aaaaaaaab",
	"aaaaaaaac", "b", "ba", "zz", "\xc3\xa4" };

/* Two keys, each up or down, against a comparison of all pairs. */
static void
sort_two(size_t n, bool text_down, bool number_down, size_t slice)
{
	struct imap_sorter s;
	uint32_t *word = mem_zalloc(n + 1, sizeof(*word));
	int64_t *number = mem_zalloc(n + 1, sizeof(*number));
	int rc;

	for (size_t i = 0; i < n; i++) {
		word[i] = dice(NELEMS(words));
		number[i] = (int64_t)dice(5) - 2;
	}
	imap_sorter_init(&s);
	assert_true(imap_sorter_begin(&s, false, number_down));
	for (size_t i = 0; i < n; i++)
		assert_true(imap_sorter_number(&s, number[i]));
	while ((rc = imap_sorter_run(&s, slice)) == 0)
		;
	assert_int_equal(rc, 1);
	assert_true(imap_sorter_begin(&s, true, text_down));
	for (size_t i = 0; i < n; i++)
		assert_true(imap_sorter_text(&s, slice_str(words[word[i]])));
	while ((rc = imap_sorter_run(&s, slice)) == 0)
		;
	assert_int_equal(rc, 1);
	assert_int_equal(imap_sorter_count(&s), n);
	for (size_t i = 1; i < n; i++) {
		uint32_t a = imap_sorter_item(&s, i - 1);
		uint32_t b = imap_sorter_item(&s, i);
		int d = slice_cmp(
		    slice_str(words[word[a]]), slice_str(words[word[b]]));

		if (d != 0) {
			assert_true((d < 0) != text_down);
			continue;
		}
		if (number[a] != number[b])
			assert_true((number[a] < number[b]) != number_down);
		else
			assert_true(a < b); /* RFC 5256: as in the mailbox */
	}
	imap_sorter_fini(&s);
	free(number);
	free(word);
}

static void
test_sorter(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 7, 64, 65, 1000 };

	(void)state;
	for (size_t i = 0; i < NELEMS(sizes); i++)
		for (unsigned k = 0; k < 4; k++) {
			sort_two(sizes[i], (k & 1) != 0, (k & 2) != 0, 1);
			sort_two(sizes[i], (k & 1) != 0, (k & 2) != 0, 100000);
		}
	assert_false(imap_shared_busy());
}

/* Small numbers, told before or after another key. */
static void
test_ranks(void **state)
{
	(void)state;
	for (size_t n = 1; n < 200; n += 13) {
		struct imap_sorter s;
		int rc;

		for (size_t slice = 1; slice < 1000; slice *= 30) {
			imap_sorter_init(&s);
			assert_true(imap_sorter_begin(&s, false, false));
			for (size_t k = 0; k < n; k++)
				assert_true(imap_sorter_number(
				    &s, (int64_t)(k * 7 % 9)));
			while ((rc = imap_sorter_run(&s, slice)) == 0)
				;
			assert_int_equal(rc, 1);
			for (size_t k = 1; k < n; k++) {
				uint32_t a = imap_sorter_item(&s, k - 1);
				uint32_t b = imap_sorter_item(&s, k);

				assert_true(a * 7 % 9 < b * 7 % 9 ||
				    (a * 7 % 9 == b * 7 % 9 && a < b));
			}
			/* as the second key: equals stay as they are */
			assert_true(imap_sorter_begin(&s, false, false));
			for (size_t k = 0; k < n; k++)
				assert_true(
				    imap_sorter_number(&s, (int64_t)(k % 2)));
			while ((rc = imap_sorter_run(&s, slice)) == 0)
				;
			for (size_t k = 1; k < n; k++) {
				uint32_t a = imap_sorter_item(&s, k - 1);
				uint32_t b = imap_sorter_item(&s, k);

				assert_true(a % 2 < b % 2 ||
				    (a % 2 == b % 2 && a * 7 % 9 <= b * 7 % 9));
			}
			imap_sorter_fini(&s);
		}
	}
}

/* Numbers that differ in any of their bits, negative ones too. */
static void
test_numbers(void **state)
{
	enum { N = 500 };
	int64_t number[N];

	(void)state;
	for (unsigned bits = 1; bits <= 64; bits += 9)
		for (unsigned down = 0; down < 2; down++) {
			struct imap_sorter s;
			int rc;

			imap_sorter_init(&s);
			assert_true(imap_sorter_begin(&s, false, down != 0));
			for (size_t k = 0; k < N; k++) {
				uint64_t v = (uint64_t)dice(1U << 16) << 48 |
				    (uint64_t)dice(1U << 16) << 24 |
				    dice(1U << 16);

				/* with both signs, from the lowest bit on */
				number[k] = (int64_t)v >> (64 - bits);
				assert_true(imap_sorter_number(&s, number[k]));
			}
			while ((rc = imap_sorter_run(&s, 7)) == 0)
				;
			assert_int_equal(rc, 1);
			for (size_t k = 1; k < N; k++) {
				uint32_t a = imap_sorter_item(&s, k - 1);
				uint32_t b = imap_sorter_item(&s, k);

				assert_true(number[a] == number[b]
					? a < b
					: (number[a] < number[b]) !=
					    (down != 0));
			}
			imap_sorter_fini(&s);
		}
}

/* --- the order that is kept ----------------------------------------------- */

enum { ORDERED = 300 };

/* What a UID's text is, for compare(). */
static uint32_t
text_number(uint32_t uid)
{
	return uid * 2654435761u >> 8 & 0x3f;
}

static int
compare(void *arg, uint32_t uid)
{
	const uint32_t *own = arg;
	uint32_t a = text_number(uid), b = text_number(*own);

	return a < b ? -1 : a > b;
}

/* Whoever is put in where, the ranks order as the texts do. */
static void
test_order(void **state)
{
	struct imap_order o;
	bool found;

	(void)state;
	imap_order_init(&o);
	assert_true(imap_order_append(&o, 1000, 5)); /* a gap below */
	for (uint32_t k = 1; k < ORDERED; k++) {
		uint32_t uid = k % 2 != 0 ? 1000 + k : 1000 - k;

		assert_true(imap_order_insert(&o, uid, compare, &uid));
	}
	assert_int_equal(o.n, ORDERED);
	assert_int_equal(o.n_ranks, 64);
	for (size_t a = 0; a < o.n; a++) {
		assert_int_equal(
		    imap_order_find(&o, a / 2, o.uid[a], &found), a);
		assert_true(found);
		for (size_t b = 0; b < o.n; b++) {
			uint32_t x = text_number(o.uid[a]);
			uint32_t y = text_number(o.uid[b]);

			assert_int_equal(x < y, o.rank[a] < o.rank[b]);
			assert_int_equal(x == y, o.rank[a] == o.rank[b]);
		}
	}
	(void)imap_order_find(&o, 0, 2000, &found);
	assert_false(found);
	imap_order_fini(&o);
}

/* --- the memory for it ---------------------------------------------------- */

/* The sum has an end, and is given back. */
static void
test_shared(void **state)
{
	struct imap_sorter s;
	size_t took = 0;

	(void)state;
	while (imap_shared_take((size_t)1 << 20))
		took += (size_t)1 << 20;
	assert_true(imap_shared_busy());
	imap_sorter_init(&s);
	assert_true(imap_sorter_begin(&s, true, false));
	while (imap_sorter_text(&s, SLICE("some text or other")))
		;
	assert_int_equal(imap_sorter_run(&s, 100), ERR_LIMIT);
	imap_sorter_fini(&s);
	imap_shared_give(took);
	assert_false(imap_shared_busy());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sorter),
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
