/* Threading, without a mailbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "base/mem.h"
#include "protocols/imap/forest.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/node_table.h"
#include "protocols/imap/shared.h"
#include "protocols/imap/thread.h"
#include "tests/support/dice.h"

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
		uint32_t a = 1 + dice(N), b = 1 + dice(N);

		if (dice(4) == 0) {
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
		struct mail m = { .date = dice(100), .reply = dice(2) == 0 };

		buf_reset(&refs);
		buf_reset(&id);
		buf_reset(&base);
		for (uint32_t k = dice(6); k > 0; k--)
			buf_putf(&refs, "%u ", dice(n_ids));
		if (dice(5) != 0)
			buf_putf(&id, "%u", dice(n_ids));
		if (dice(3) != 0)
			buf_putf(&base, "%u", dice(n_ids));
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
longest_run(const struct imap_node_table *h)
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

/* --- the table of nodes --------------------------------------------------- */

enum { NODES = 300000 };

static uint64_t
key_of_node(const void *arg, uint32_t node)
{
	return ((const uint64_t *)arg)[node];
}

static void
add_node(struct imap_node_table *h, const uint64_t *keys, uint32_t node)
{
	uint32_t *place = imap_node_table_place(h, keys[node]);

	assert_non_null(place);
	assert_int_equal(*place, 0);
	*place = node;
	imap_node_table_added(h);
}

static void
expect_node(struct imap_node_table *h, const uint64_t *keys, uint32_t node)
{
	uint32_t *place = imap_node_table_place(h, keys[node]);

	assert_non_null(place);
	assert_int_equal(*place, node);
}

/* No call goes through all of it, and what is where stays known meanwhile. */
static void
table_grows_in_pieces(void **state)
{
	uint64_t *keys = mem_zalloc(NODES, sizeof(*keys));
	struct imap_node_table h;
	unsigned growths = 0;

	(void)state;
	imap_node_table_init(&h, key_of_node, keys);
	for (uint32_t i = 1; i < NODES; i++) {
		size_t had = h.moved, size = h.size;

		keys[i] = (uint64_t)i << 32; /* alike where they end */
		add_node(&h, keys, i);
		expect_node(&h, keys, 1 + dice(i));
		if (h.size != size) {
			growths++;
			had = 0;
		}
		assert_true(h.moved <= had + 16);
		assert_true(h.used * 2 <= h.size);
	}
	assert_int_equal(growths, 12); /* 512 to 1024 * 1024 */
	for (uint32_t i = 1; i < NODES; i++)
		expect_node(&h, keys, i);
	assert_null(h.old);
	assert_int_equal(h.used, NODES - 1);
	imap_node_table_fini(&h);
	assert_int_equal(imap_shared_in_use(), 0);
	free(keys);
}

/* What the caller puts into a taken place is what moves. */
static void
table_takes_another_node(void **state)
{
	uint64_t *keys = mem_zalloc(NODES, sizeof(*keys));
	struct imap_node_table h;
	uint32_t n = 1;

	(void)state;
	imap_node_table_init(&h, key_of_node, keys);
	while (n < 1000 || h.old == NULL || h.moved > 64) {
		keys[n] = 1 + n;
		add_node(&h, keys, n);
		n++;
	}
	for (uint32_t i = 1; i < n; i++) {
		uint32_t *place = imap_node_table_place(&h, keys[i]);

		assert_non_null(place);
		keys[n + i] = keys[i];
		*place = n + i;
	}
	for (uint32_t i = 1; i < n; i++)
		expect_node(&h, keys, n + i);
	assert_null(h.old);
	imap_node_table_fini(&h);
	free(keys);
}

static void
table_that_is_expected_never_grows(void **state)
{
	uint64_t *keys = mem_zalloc(NODES, sizeof(*keys));
	struct imap_node_table h;
	size_t size;

	(void)state;
	imap_node_table_init(&h, key_of_node, keys);
	assert_true(imap_node_table_expect(&h, NODES));
	size = h.size;
	for (uint32_t i = 1; i < NODES; i++) {
		keys[i] = i;
		add_node(&h, keys, i);
	}
	assert_int_equal(h.size, size);
	imap_node_table_fini(&h);
	free(keys);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forest),
		cmocka_unit_test(test_ordered_subject),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_crafted_ids),
		cmocka_unit_test(table_grows_in_pieces),
		cmocka_unit_test(table_takes_another_node),
		cmocka_unit_test(table_that_is_expected_never_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
