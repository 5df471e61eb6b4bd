/* The small parts: sequence sets, patterns, dates, folding, writers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/imap/casemap.h"
#include "protocols/imap/date_time.h"
#include "protocols/imap/hits.h"
#include "protocols/imap/pattern.h"
#include "protocols/imap/saved.h"
#include "protocols/imap/seqset.h"
#include "protocols/imap/writer.h"

/* --- a view without a mailbox -------------------------------------------- */

static const uint32_t uids[] = { 2, 3, 5, 8, 4294967295 };
static uint32_t n_uids;

uint32_t
view_count(const struct view *v)
{
	(void)v;
	return n_uids;
}

const struct message *
view_get(const struct view *v, uint32_t seq)
{
	static struct message m;

	(void)v;
	assert_true(seq >= 1 && seq <= n_uids);
	m.uid = uids[seq - 1];
	return &m;
}

uint32_t
view_lower_bound(const struct view *v, uint32_t uid)
{
	uint32_t seq = 1;

	(void)v;
	while (seq <= n_uids && uids[seq - 1] < uid)
		seq++;
	return seq;
}

/* --- sequence sets ------------------------------------------------------- */

struct set_case {
	const char *name;
	struct slice in;
	enum parse want;
	bool uid, resolves;
	uint32_t count; /* messages */
	struct slice out;
};

#define S(lit) SLICE_INIT(lit)

/* clang-format off */
static const struct set_case set_cases[] = {
	{ "one", S("1 "), PARSE_OK, false, true, 5, S("1") },
	{ "range", S("2:4 "), PARSE_OK, false, true, 5, S("2:4") },
	{ "backwards", S("4:2 "), PARSE_OK, false, true, 5, S("2:4") },
	{ "star", S("* "), PARSE_OK, false, true, 5, S("5") },
	{ "star range", S("*:3 "), PARSE_OK, false, true, 5, S("3:5") },
	{ "joined", S("1,3,2,5,4:5,1 "), PARSE_OK, false, true, 5, S("1:5") },
	{ "in order", S("5,1,3 "), PARSE_OK, false, true, 5, S("1,3,5") },
	{ "beyond", S("6 "), PARSE_OK, false, false, 5, S("") },
	{ "beyond the end", S("3:6 "), PARSE_OK, false, false, 5, S("") },
	{ "all of nothing", S("1:* "), PARSE_OK, false, true, 0, S("") },
	{ "star of nothing", S("* "), PARSE_OK, false, true, 0, S("") },
	{ "one of nothing", S("1 "), PARSE_OK, false, false, 0, S("") },
	{ "uids", S("1:4 "), PARSE_OK, true, true, 5, S("1:2") },
	{ "uid star", S("* "), PARSE_OK, true, true, 5, S("5") },
	{ "uid beyond with star", S("4294967295:* "), PARSE_OK, true, true, 4,
	    S("4") },
	{ "uids that aren't there", S("4,6:7,9:10 "), PARSE_OK, true, true, 5,
	    S("") },
	{ "all uids", S("1:4294967295 "), PARSE_OK, true, true, 5, S("1:5") },
	{ "uids of nothing", S("1:* "), PARSE_OK, true, true, 0, S("") },
	{ "zero", S("0 "), PARSE_BAD, false, false, 5, S("") },
	{ "zero range", S("0:* "), PARSE_BAD, false, false, 5, S("") },
	{ "empty", S(" "), PARSE_BAD, false, false, 5, S("") },
	{ "comma", S("1, "), PARSE_BAD, false, false, 5, S("") },
	{ "colon", S("1: "), PARSE_BAD, false, false, 5, S("") },
	{ "too large", S("4294967296 "), PARSE_BAD, false, false, 5, S("") },
	{ "too many", S("1,2,3,4,5,1,2,3,4,5,1 "), PARSE_LIMIT, false, false,
	    5, S("") },
	{ "cut", S("1:2"), PARSE_MORE, false, false, 5, S("") },
};
/* clang-format on */

static void
run_set(const struct set_case *c)
{
	struct imap_lex lx = imap_lex_of(c->in);
	struct imap_set set = { .n = 0 };
	struct imap_put_set w;
	struct arena a;
	struct buf out;

	arena_init(&a, 0);
	buf_init(&out, 1000);
	n_uids = c->count;
	assert_int_equal(imap_lex_set(&lx, &a, 10, &set), c->want);
	if (c->want == PARSE_OK)
		assert_true(
		    imap_set_resolve(&set, NULL, c->uid) == c->resolves);
	if (c->resolves) {
		imap_put_set_begin(&w, &out);
		for (uint32_t n = imap_set_next(&set, 1); n != 0;
		     n = imap_set_next(&set, n + 1)) {
			assert_true(imap_set_has(&set, n));
			imap_put_set_add(&w, n);
		}
		imap_put_set_end(&w);
		assert_true(slice_eq(buf_slice(&out), c->out));
	}
	buf_fini(&out);
	arena_fini(&a);
}

static void
test_sets(void **state)
{
	(void)state;
	for (size_t k = 0; k < NELEMS(set_cases); k++) {
		print_message("  %s\n", set_cases[k].name);
		run_set(&set_cases[k]);
	}
}

static void
test_big_set(void **state)
{
	struct imap_put_set w;
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	imap_put_set_begin(&w, &out);
	imap_put_set_add(&w, 4294967294);
	imap_put_set_add(&w, 4294967295);
	imap_put_set_add(&w, 7);
	imap_put_set_end(&w);
	assert_string_equal(buf_cstr(&out), "4294967294:4294967295,7");
	buf_fini(&out);
}

/* --- patterns ------------------------------------------------------------ */

/* clang-format off */
static const struct {
	const char *pattern, *name;
	bool match;
} pattern_cases[] = {
	{ "*", "INBOX", true },
	{ "%", "INBOX", true },
	{ "%", "INBOX.a", false },
	{ "*", "INBOX.a.b", true },
	{ "INBOX.%", "INBOX.a", true },
	{ "INBOX.%", "INBOX.a.b", false },
	{ "inbox.*", "INBOX.a.b", true },
	{ "iNb%", "INBOX", true },
	{ "INBOX.A", "INBOX.a", false },
	{ "%.%", "INBOX.a", true },
	{ "%.%", "INBOX", false },
	{ "*b", "INBOX.a.b", true },
	{ "*a", "INBOX.a.b", false },
	{ "INBOX%*b", "INBOX.a.b", true },
	{ "", "INBOX", false },
	{ "INBOX", "INBOX", true },
	{ "INBOX*", "INBOX", true },
	{ "INBOX**%%**", "INBOX", true },
	{ "INBO", "INBOX", false },
	{ "INBOXX", "INBOX", false },
	{ "inboxes", "Inboxes", false },
	{ "inbox*", "Inboxes", false },
	{ "I*es", "Inboxes", true },
	{ "sent", "Sent", false },
	{ "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
	    "INBOX.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
};
/* clang-format on */

static void
test_patterns(void **state)
{
	(void)state;
	for (size_t k = 0; k < NELEMS(pattern_cases); k++) {
		print_message("  %s %s\n", pattern_cases[k].pattern,
		    pattern_cases[k].name);
		assert_true(
		    imap_pattern_match(slice_str(pattern_cases[k].pattern),
			slice_str(pattern_cases[k].name)) ==
		    pattern_cases[k].match);
	}
}

/* --- dates --------------------------------------------------------------- */

/* clang-format off */
static const struct {
	struct slice in;
	bool with_time;
	enum parse want;
	int64_t out;
} date_cases[] = {
	{ S("1-Jan-1970 "), false, PARSE_OK, 0 },
	{ S("\"2-jan-1970\" "), false, PARSE_OK, 1 },
	{ S("29-Feb-2024 "), false, PARSE_OK, 19782 },
	{ S("29-Feb-2023 "), false, PARSE_BAD, 0 },
	{ S("31-Apr-2023 "), false, PARSE_BAD, 0 },
	{ S("00-Jan-2023 "), false, PARSE_BAD, 0 },
	{ S("1-Foo-2023 "), false, PARSE_BAD, 0 },
	{ S("1-Jan-23 "), false, PARSE_BAD, 0 },
	{ S("1-Jan-20233 "), false, PARSE_BAD, 0 },
	{ S("1-Jan-2023"), false, PARSE_MORE, 0 },
	{ S("\" 1-Jan-1970 00:00:01 +0000\" "), true, PARSE_OK, 1000 },
	{ S("\"01-Jan-1970 01:00:00 +0100\" "), true, PARSE_OK, 0 },
	{ S("\"31-Dec-1969 23:30:00 -0030\" "), true, PARSE_OK, 0 },
	{ S("\"1-Jan-1970 00:00:00 +0000\" "), true, PARSE_BAD, 0 },
	{ S("\"01-Jan-1970 24:00:00 +0000\" "), true, PARSE_BAD, 0 },
	{ S("\"01-Jan-1970 00:00:00 0000\" "), true, PARSE_BAD, 0 },
	{ S("\"01-Jan-1970 00:00:00 +0060\" "), true, PARSE_BAD, 0 },
	{ S("\"01-Jan-1970 00:00:00 +0000x\" "), true, PARSE_BAD, 0 },
	{ S("\"01-Jan-1970\" "), true, PARSE_BAD, 0 },
	{ S("\"\" "), true, PARSE_BAD, 0 },
};
/* clang-format on */

static void
test_dates(void **state)
{
	(void)state;
	for (size_t k = 0; k < NELEMS(date_cases); k++) {
		struct imap_lex lx = imap_lex_of(date_cases[k].in);
		int64_t v = -1;
		enum parse r = date_cases[k].with_time
		    ? imap_lex_date_time(&lx, &v)
		    : imap_lex_date(&lx, &v);

		print_message("  %.*s\n", SLICE_ARG(date_cases[k].in));
		assert_int_equal(r, date_cases[k].want);
		if (r == PARSE_OK)
			assert_int_equal(v, date_cases[k].out);
	}
}

static void
test_put_date(void **state)
{
	static const struct {
		int64_t ms;
		const char *want;
	} table[] = {
		{ 0, "\" 1-Jan-1970 00:00:00 +0000\"" },
		{ 1700000000999, "\"14-Nov-2023 22:13:20 +0000\"" },
		{ 951782400000, "\"29-Feb-2000 00:00:00 +0000\"" },
		{ INT64_MIN, "\" 1-Jan-1970 00:00:00 +0000\"" },
		{ INT64_MAX, "\"31-Dec-9999 23:59:59 +0000\"" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	for (size_t k = 0; k < NELEMS(table); k++) {
		buf_reset(&out);
		imap_put_date_time(&out, table[k].ms);
		assert_string_equal(buf_cstr(&out), table[k].want);
	}
	buf_fini(&out);
}

/* --- folding ------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *needle, *text;
	bool found;
} fold_cases[] = {
	{ "", "", true },
	{ "a", "A", true },
	{ "HELLO", "say hello", true },
	{ "aab", "aaaab", true },
	{ "abab", "abaabab", true },
	{ "abc", "ab", false },
	{ "\xc3\x84", "x\xc3\xa4", true },		/* A umlaut */
	{ "\xd0\xb4\xd0\x90", "\xd0\x94\xd0\xb0", true }, /* Cyrillic da */
	{ "\xce\xa3", "\xcf\x82", true },		/* final sigma */
	{ "\xc5\xbd", "\xc5\xbe", true },		/* Z caron */
	{ "\xc3\x97", "\xc3\xb7", false }, /* times and division */
	{ "\xf0\x9f\x98\x80", "x\xf0\x9f\x98\x80y", true },
};
/* clang-format on */

static void
test_fold(void **state)
{
	struct imap_needle needle;
	struct imap_finder f;
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (size_t k = 0; k < NELEMS(fold_cases); k++) {
		struct slice text = slice_str(fold_cases[k].text);

		print_message("  %s\n", fold_cases[k].needle);
		assert_true(imap_needle_make(
		    &needle, slice_str(fold_cases[k].needle), &a));
		for (size_t cut = 0; cut <= text.n; cut++) {
			imap_finder_init(&f, &needle);
			(void)imap_finder_feed(&f, slice_first(text, cut));
			(void)imap_finder_feed(&f, slice_skip(text, cut));
			assert_true(f.found == fold_cases[k].found);
			imap_finder_fini(&f);
		}
	}
	arena_fini(&a);
}

/* Against memmem(), at every length around those of vectors. */
static void
test_contains(void **state)
{
	uint8_t text[80], what[40];
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)round % sizeof(text);
		size_t m = (size_t)(round / 80) % sizeof(what);

		for (size_t k = 0; k < n; k++) {
			seed = seed * 1664525 + 1013904223;
			text[k] = (uint8_t)('a' + (seed >> 30 != 0));
		}
		for (size_t k = 0; k < m; k++) {
			seed = seed * 1664525 + 1013904223;
			what[k] = (uint8_t)('a' + (seed >> 30 != 0));
		}
		assert_true(
		    slice_contains(slice_of(text, n), slice_of(what, m)) ==
		    (memmem(text, n, what, m) != NULL));
	}
}

/* RFC 5051 2: its example, and what its steps come to elsewhere. */
static void
test_casemap(void **state)
{
	static const struct {
		const char *text, *prepared;
	} cases[] = {
		{ "", "" },
		{ "Re: hello, World 09", "RE: HELLO, WORLD 09" },
		{ "\xc7\x84", "Dz\xcc\x8c" },		 /* U+01C4 */
		{ "\xc3\xa4", "A\xcc\x88" },		 /* a umlaut */
		{ "\xe1\xba\xa5", "A\xcc\x82\xcc\x81" }, /* twice */
		{ "\xef\xbc\xa1", "A" },		 /* full width */
		{ "\xef\xac\x81", "fi" }, /* a ligature has no title case */
		{ "abcdefgh\xff", "ABCDEFGH\xff" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		buf_reset(&out);
		imap_casemap(slice_str(cases[i].text), &out);
		assert_string_equal(buf_cstr(&out), cases[i].prepared);
	}
	buf_fini(&out);
}

/* --- writers ------------------------------------------------------------- */

static void
test_writers(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	imap_put_astring(&out, SLICE("Subject"));
	buf_putc(&out, ' ');
	imap_put_astring(&out, SLICE("a b\"c"));
	buf_putc(&out, ' ');
	imap_put_astring(&out, SLICE("nil"));
	buf_putc(&out, ' ');
	imap_put_astring(&out, SLICE(""));
	buf_putc(&out, ' ');
	imap_put_astring(&out, SLICE("x\r\ny"));
	assert_string_equal(
	    buf_cstr(&out), "Subject \"a b\\\"c\" \"nil\" \"\" {4}\r\nx\r\ny");
	buf_reset(&out);
	imap_put_text(&out, SLICE("[x]\r\n\033\xc3z"));
	assert_string_equal(buf_cstr(&out), "(x]????z");
	buf_reset(&out);
	imap_put_tagged(&out, SLICE("a"), "OK", "%d", 7);
	imap_put_tagged(&out, SLICE(""), "BAD", "x");
	imap_put_untagged(&out, "%u EXISTS", 3);
	assert_string_equal(
	    buf_cstr(&out), "a OK 7\r\n* BAD x\r\n* 3 EXISTS\r\n");
	buf_fini(&out);
}

/* --- search results ------------------------------------------------------ */

/* Against a list of all numbers, found or not. */
static void
test_hits(void **state)
{
	enum { ALL = 300 };
	static const unsigned every[] = { 1, 2, 7, 64, 65, 299, 1000 };

	(void)state;
	for (size_t e = 0; e < NELEMS(every); e++) {
		struct imap_hits h;
		uint32_t list[ALL], n = 0, next = 0;

		imap_hits_init(&h, ALL);
		assert_int_equal(imap_hits_next(&h, 1), 0);
		assert_int_equal(imap_hits_last(&h, ALL), 0);
		for (uint32_t seq = every[e]; seq <= ALL; seq += every[e]) {
			imap_hits_add(&h, seq);
			list[n++] = seq;
		}
		assert_int_equal(h.n, n);
		for (uint32_t seq = 1; seq <= ALL + 2; seq++) {
			while (next < n && list[next] < seq)
				next++;
			assert_int_equal(
			    imap_hits_next(&h, seq), next < n ? list[next] : 0);
			assert_int_equal(imap_hits_last(&h, seq - 1),
			    next != 0 ? list[next - 1] : 0);
		}
		for (uint32_t k = 1; k <= n; k++) {
			assert_int_equal(
			    imap_hits_nth(&h, k, false), list[k - 1]);
			assert_int_equal(
			    imap_hits_nth(&h, k, true), list[n - k]);
		}
		assert_int_equal(imap_hits_nth(&h, n + 1, false), 0);
		assert_int_equal(imap_hits_nth(&h, 0, true), 0);
		imap_hits_fini(&h);
	}
}

static void
test_saved(void **state)
{
	struct imap_saved s;
	struct imap_set set;
	struct arena a;

	(void)state;
	imap_saved_init(&s);
	arena_init(&a, 1 << 20);
	n_uids = 5; /* 2 3 5 8 4294967295 */
	assert_true(imap_saved_resolve(&s, NULL, &a, &set));
	assert_int_equal(set.n, 0);
	assert_true(imap_saved_add(&s, 1, 3));
	assert_true(imap_saved_add(&s, 4, 4)); /* gone */
	assert_true(imap_saved_add(&s, 8, 300));
	assert_true(imap_saved_add(&s, 100000, UINT32_MAX));
	assert_true(imap_saved_resolve(&s, NULL, &a, &set));
	assert_int_equal(set.n, 2);
	assert_int_equal(set.v[0].lo, 1);
	assert_int_equal(set.v[0].hi, 2);
	assert_int_equal(set.v[1].lo, 4);
	assert_int_equal(set.v[1].hi, 5);
	n_uids = 0;
	assert_true(imap_saved_resolve(&s, NULL, &a, &set));
	assert_int_equal(set.n, 0);
	/* a byte for a gap and one for a run: so many and no more */
	imap_saved_clear(&s);
	for (uint32_t k = 0; k < IMAP_SAVED_MAX / 2; k++)
		assert_true(imap_saved_add(&s, 2 * k + 1, 2 * k + 1));
	assert_false(imap_saved_add(&s, IMAP_SAVED_MAX + 1, UINT32_MAX));
	imap_saved_fini(&s);
	arena_fini(&a);
}

static void
test_partial(void **state)
{
	static const struct {
		const char *text;
		bool ok, from_end;
		uint32_t first, last;
	} cases[] = {
		{ "1:500 ", true, false, 1, 500 },
		{ "500:400 ", true, false, 400, 500 },
		{ "7:7 ", true, false, 7, 7 },
		{ "-1:-100 ", true, true, 1, 100 },
		{ "-100:-1 ", true, true, 1, 100 },
		{ "1:4294967295 ", true, false, 1, UINT32_MAX },
		{ "1:4294967296 ", false, false, 0, 0 },
		{ "0:1 ", false, false, 0, 0 },
		{ "1:-1 ", false, false, 0, 0 },
		{ "-1:1 ", false, false, 0, 0 },
		{ "1:* ", false, false, 0, 0 },
		{ "1 ", false, false, 0, 0 },
		{ "--1:-2 ", false, false, 0, 0 },
	};

	(void)state;
	for (size_t k = 0; k < NELEMS(cases); k++) {
		struct imap_lex lx = imap_lex_of(slice_str(cases[k].text));
		struct imap_partial p = { .first = 0 };
		enum parse r = imap_lex_partial(&lx, &p);

		assert_int_equal(r == PARSE_OK, cases[k].ok);
		if (!cases[k].ok) {
			assert_non_null(lx.why);
			continue;
		}
		assert_int_equal(p.first, cases[k].first);
		assert_int_equal(p.last, cases[k].last);
		assert_int_equal(p.from_end, cases[k].from_end);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_big_set),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_put_date),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_casemap),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_writers),
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_saved),
		cmocka_unit_test(test_partial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
