/* Sorting and threading, without a mailbox. */
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
#include "protocols/imap/forest.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/order.h"
#include "protocols/imap/shared.h"
#include "protocols/imap/sorter.h"
#include "protocols/imap/thread.h"

static uint32_t seed = 1;

static uint32_t
random_below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

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
		word[i] = random_below(NELEMS(words));
		number[i] = (int64_t)random_below(5) - 2;
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

/* --- the forest ----------------------------------------------------------- */

static bool
is_above(const uint32_t *parent, uint32_t node, uint32_t above)
{
	for (; node != 0; node = parent[node])
		if (node == above)
			return true;
	return false;
}

static void
test_forest(void **state)
{
	enum { N = 60 };
	uint32_t parent[N + 1] = { 0 };
	struct imap_forest f;

	(void)state;
	imap_forest_init(&f);
	for (uint32_t i = 1; i <= N; i++)
		assert_int_equal(imap_forest_add(&f), i);
	for (int k = 0; k < 100000; k++) {
		uint32_t a = 1 + random_below(N), b = 1 + random_below(N);

		if (random_below(4) == 0) {
			imap_forest_cut(&f, a);
			parent[a] = 0;
		} else if (parent[a] == 0) {
			bool loop = is_above(parent, b, a);

			assert_true(imap_forest_join(&f, a, b) == !loop);
			if (!loop)
				parent[a] = b;
		}
		assert_int_equal(imap_forest_parent(&f, a), parent[a]);
	}
	imap_forest_fini(&f);
}

/* --- threads -------------------------------------------------------------- */

struct mail {
	const char *id, *refs; /* words; refs from the oldest on */
	const char *base;
	bool reply;
	int64_t date;
};

static void
put_le64(struct buf *b, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		buf_putc(b, (uint8_t)(v >> 8 * i & 0xff));
}

static void
add_mail(struct imap_thread *t, const struct mail *m, uint32_t number)
{
	struct imap_thread_message msg = { .number = number,
		.sent = m->date,
		.internal = m->date,
		.reply = m->reply,
		.base = slice_str(m->base) };
	struct slice rest = slice_str(m->refs), word;
	struct buf ids;

	buf_init(&ids, 1 << 20);
	put_le64(&ids, m->id[0] != '\0' ? imap_key_hash(slice_str(m->id)) : 0);
	while (slice_split(&rest, ' ', &word))
		if (word.n != 0)
			put_le64(&ids, imap_key_hash(word));
	msg.ids = buf_slice(&ids);
	assert_true(imap_thread_add(t, &msg));
	buf_fini(&ids);
}

static void
check_threads(enum imap_thread_kind kind, const struct mail *v, size_t n,
    const char *want)
{
	for (size_t work = 1; work <= 1000; work += 999) {
		struct imap_thread t;
		struct buf out;
		int rc;

		buf_init(&out, 1 << 20);
		imap_thread_init(&t, kind);
		for (size_t i = 0; i < n; i++)
			add_mail(&t, &v[i], (uint32_t)i + 1);
		while ((rc = imap_thread_run(&t, work)) == 0)
			;
		assert_int_equal(rc, 1);
		while (!imap_thread_put(&t, &out, work))
			;
		assert_string_equal(buf_cstr(&out), want);
		imap_thread_fini(&t);
		buf_fini(&out);
	}
}

#define CHECK(kind, v, want) check_threads(kind, v, NELEMS(v), want)

static void
test_ordered_subject(void **state)
{
	static const struct mail v[] = {
		{ "", "", "x", false, 5 },
		{ "", "", "y", false, 1 },
		{ "", "", "x", true, 3 },
		{ "", "", "", false, 2 },
		{ "", "", "x", true, 9 },
		{ "", "", "", false, 4 },
	};

	(void)state;
	CHECK(IMAP_THREAD_ORDEREDSUBJECT, v, "(2)(4 6)(3 (1)(5))");
	check_threads(IMAP_THREAD_ORDEREDSUBJECT, v, 0, "");
}

static void
test_references(void **state)
{
	/* RFC 5256 4 (BASE.7.2.THREAD): the two examples of a response */
	static const struct mail nested[] = {
		{ "1", "", "a", false, 2 },
		{ "2", "1", "a", true, 3 },
		{ "3", "1 2", "a", true, 4 },
		{ "4", "1 2 3", "a", true, 5 },
		{ "5", "1 2", "a", true, 6 },
		{ "6", "1 2 5", "a", true, 7 },
		{ "7", "1 2 5 6", "a", true, 8 },
		{ "8", "", "b", false, 1 },
	};
	static const struct mail siblings[] = {
		{ "3", "1", "a", true, 1 },
		{ "5", "1", "b", true, 2 },
	};
	static const struct mail reversed[] = {
		{ "3", "2", "a", true, 3 },
		{ "2", "1", "a", true, 2 },
		{ "1", "", "a", false, 1 },
	};
	/* only the last reference counts against an earlier link */
	static const struct mail truncated[] = {
		{ "3", "1 2", "a", true, 3 },
		{ "2", "9", "a", true, 2 },
		{ "1", "", "a", false, 1 },
		{ "9", "", "a", false, 0 },
	};
	/* an only child of a dummy takes its place */
	static const struct mail promoted[] = {
		{ "2", "1", "a", true, 1 },
		{ "4", "2 3", "a", true, 2 },
	};
	static const struct mail twice[] = {
		{ "1", "", "a", false, 1 },
		{ "1", "", "b", false, 2 },
		{ "2", "1", "c", true, 3 },
	};

	(void)state;
	CHECK(IMAP_THREAD_REFERENCES, nested, "(8)(1 2 (3 4)(5 6 7))");
	CHECK(IMAP_THREAD_REFERENCES, siblings, "((1)(2))");
	CHECK(IMAP_THREAD_REFERENCES, reversed, "(3 2 1)");
	CHECK(IMAP_THREAD_REFS, truncated, "(3)(4 2 1)");
	CHECK(IMAP_THREAD_REFERENCES, promoted, "(1 2)");
	CHECK(IMAP_THREAD_REFERENCES, twice, "(1 3)(2)");
}

static void
test_loops(void **state)
{
	static const struct mail self[] = {
		{ "1", "1", "a", false, 1 },
		{ "2", "2 1 2", "b", false, 2 },
	};
	static const struct mail circle[] = {
		{ "1", "3", "a", false, 1 },
		{ "2", "1", "b", false, 2 },
		{ "3", "2", "c", false, 3 },
	};

	(void)state;
	CHECK(IMAP_THREAD_REFERENCES, self, "(2 1)");
	CHECK(IMAP_THREAD_REFERENCES, circle, "(3 1 2)");
}

static void
test_subjects(void **state)
{
	/* a reply finds its original */
	static const struct mail reply[] = {
		{ "1", "", "a", true, 1 },
		{ "2", "", "a", false, 2 },
		{ "3", "", "a", true, 3 },
	};
	/* two of the same rank get a dummy */
	static const struct mail equal[] = {
		{ "1", "", "a", false, 1 },
		{ "2", "", "a", false, 2 },
		{ "3", "", "a", false, 3 },
		{ "4", "", "", false, 4 },
		{ "5", "", "", false, 5 },
	};
	/* two dummies become one, and a message joins it */
	static const struct mail dummies[] = {
		{ "1", "x", "a", true, 1 },
		{ "2", "x", "a", true, 2 },
		{ "3", "y", "a", true, 3 },
		{ "4", "y", "b", true, 4 },
		{ "5", "", "a", false, 5 },
	};

	(void)state;
	CHECK(IMAP_THREAD_REFERENCES, reply, "(2 (1)(3))");
	CHECK(IMAP_THREAD_REFERENCES, equal, "((1)(2)(3))(4)(5)");
	CHECK(IMAP_THREAD_REFERENCES, dummies, "((1)(2)(3)(4)(5))");
	/* REFS doesn't look at subjects */
	CHECK(IMAP_THREAD_REFS, equal, "(1)(2)(3)(4)(5)");
}

/* The thread with the latest message is last, whatever its first one is. */
static void
test_refs(void **state)
{
	static const struct mail v[] = {
		{ "1", "", "a", false, 1 },
		{ "2", "", "b", false, 2 },
		{ "3", "1", "c", false, 9 },
		{ "4", "x", "d", false, 3 },
		{ "5", "x", "e", false, 8 },
	};

	(void)state;
	CHECK(IMAP_THREAD_REFS, v, "(2)((4)(5))(1 3)");
}

/* Whatever refers to whatever: every message once, and parentheses match. */
static void
random_threads(enum imap_thread_kind kind, uint32_t n, uint32_t n_ids)
{
	struct imap_thread t;
	struct buf out, refs, id, base;
	bool *seen = mem_zalloc(n + 1, sizeof(*seen));
	size_t depth = 0, found = 0;
	uint64_t number = 0;

	buf_init(&out, 1 << 24);
	buf_init(&refs, 1000);
	buf_init(&id, 20);
	buf_init(&base, 20);
	imap_thread_init(&t, kind);
	for (uint32_t i = 1; i <= n; i++) {
		struct mail m = { .date = random_below(100),
			.reply = random_below(2) == 0 };

		buf_reset(&refs);
		buf_reset(&id);
		buf_reset(&base);
		for (uint32_t k = random_below(6); k > 0; k--)
			buf_putf(&refs, "%u ", random_below(n_ids));
		if (random_below(5) != 0)
			buf_putf(&id, "%u", random_below(n_ids));
		if (random_below(3) != 0)
			buf_putf(&base, "%u", random_below(n_ids));
		m.refs = buf_cstr(&refs);
		m.id = buf_cstr(&id);
		m.base = buf_cstr(&base);
		add_mail(&t, &m, i);
	}
	while (imap_thread_run(&t, 100) == 0)
		;
	while (!imap_thread_put(&t, &out, 100))
		;
	for (size_t i = 0; i < buf_len(&out); i++) {
		uint8_t c = buf_slice(&out).p[i];

		if (c >= '0' && c <= '9') {
			number = number * 10 + (c - '0');
			continue;
		}
		if (number != 0) {
			assert_true(number <= n && !seen[number]);
			seen[number] = true;
			found++;
			number = 0;
		}
		if (c == '(')
			depth++;
		if (c == ')')
			assert_true(depth-- > 0);
	}
	assert_int_equal(depth, 0);
	assert_int_equal(found, n);
	imap_thread_fini(&t);
	buf_fini(&base);
	buf_fini(&id);
	buf_fini(&refs);
	buf_fini(&out);
	free(seen);
}

static void
test_random(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind <= IMAP_THREAD_REFS; kind++)
		for (uint32_t n = 1; n < 200; n += 3)
			random_threads(
			    (enum imap_thread_kind)kind, n, 1 + n / 3);
	assert_false(imap_shared_busy());
}

/*
 * Half of the messages a chain, the other half ask of its end whether it is
 * below them: quadratic for who walks up to the root.
 */
static void
test_deep(void **state)
{
	enum { N = 40000 };
	struct imap_thread t;
	struct buf out;
	char id[20], refs[40];

	(void)state;
	imap_thread_init(&t, IMAP_THREAD_REFS);
	for (uint32_t i = 1; i <= N; i++) {
		struct mail m = { id, refs, "", false, i };

		(void)snprintf(id, sizeof(id), "%u", i);
		(void)snprintf(refs, sizeof(refs), "%u", i - 1);
		add_mail(&t, &m, i);
	}
	for (uint32_t i = 1; i <= N; i++) {
		struct mail child = { id, refs, "", false, N + i };
		struct mail m = { id, refs, "", false, N + i };

		(void)snprintf(id, sizeof(id), "c%u", i);
		(void)snprintf(refs, sizeof(refs), "p%u", i);
		add_mail(&t, &child, N + 2 * i - 1);
		(void)snprintf(id, sizeof(id), "p%u", i);
		(void)snprintf(refs, sizeof(refs), "%u", N);
		add_mail(&t, &m, N + 2 * i);
	}
	while (imap_thread_run(&t, 100000) == 0)
		;
	buf_init(&out, 1 << 24);
	while (!imap_thread_put(&t, &out, 4096))
		;
	assert_true(slice_starts(buf_slice(&out), SLICE("(1 2 3 4 ")));
	buf_fini(&out);
	imap_thread_fini(&t);
}

/* --- ids that are made to collide ----------------------------------------- */

/* The most places of a table that are taken one after the other. */
static size_t
longest_run(const struct imap_thread_table *h)
{
	size_t longest = 0, run = 0;

	for (size_t i = 0; i < h->size; i++) {
		run = h->v[i] != 0 ? run + 1 : 0;
		if (run > longest)
			longest = run;
	}
	return longest;
}

/* Ids whose keys differ in some bits only: they must not crowd all the same,
 * or each of them looks at all those before. */
static void
test_crafted_ids(void **state)
{
	enum { N = 20000, RUN_MAX = 1000 };
	static const unsigned shifts[] = { 0, 8, 16, 20, 32, 40, 48 };

	(void)state;
	for (size_t k = 0; k < NELEMS(shifts); k++) {
		struct imap_thread t;
		struct buf ids;

		imap_thread_init(&t, IMAP_THREAD_REFERENCES);
		buf_init(&ids, 64);
		for (uint32_t i = 1; i <= N; i++) {
			struct imap_thread_message m = { .number = i };

			buf_reset(&ids);
			put_le64(&ids, (uint64_t)i << shifts[k] | 1);
			m.ids = buf_slice(&ids);
			assert_true(imap_thread_add(&t, &m));
		}
		assert_in_range(longest_run(&t.ids), 1, RUN_MAX);
		buf_fini(&ids);
		imap_thread_fini(&t);
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
				uint64_t v = (uint64_t)random_below(1U << 16)
					<< 48 |
				    (uint64_t)random_below(1U << 16) << 24 |
				    random_below(1U << 16);

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
		cmocka_unit_test(test_forest),
		cmocka_unit_test(test_ordered_subject),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_crafted_ids),
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
