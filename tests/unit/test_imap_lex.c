/* The lexer, each case cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/imap/lex.h"

enum rule {
	TAG,
	ATOM,
	FLAG,
	NUMBER,
	NZ_NUMBER,
	STRING,
	ASTRING,
	NSTRING,
	LIST_MAILBOX,
	CRLF,
};

struct lex_case {
	const char *name;
	enum rule rule;
	struct slice in;
	enum parse want;
	struct slice out; /* without escapes */
	size_t used;
};

#define S(lit) SLICE_INIT(lit)

/* clang-format off */
static const struct lex_case cases[] = {
	{ "tag", TAG, S("A1 x"), PARSE_OK, S("A1"), 2 },
	{ "tag with brackets", TAG, S("a]b. x"), PARSE_OK, S("a]b."), 4 },
	{ "tag with plus", TAG, S("a+ x"), PARSE_OK, S("a"), 1 },
	{ "no tag", TAG, S(" x"), PARSE_BAD, S(""), 0 },
	{ "8-bit tag", TAG, S("\xc3 x"), PARSE_BAD, S(""), 0 },
	{ "atom", ATOM, S("UID\r"), PARSE_OK, S("UID"), 3 },
	{ "atom ends at bracket", ATOM, S("a]b "), PARSE_OK, S("a"), 1 },
	{ "atom ends at wildcard", ATOM, S("a% "), PARSE_OK, S("a"), 1 },
	{ "del is no atom", ATOM, S("\x7f "), PARSE_BAD, S(""), 0 },
	{ "system flag", FLAG, S("\\Seen)"), PARSE_OK, S("\\Seen"), 5 },
	{ "keyword", FLAG, S("$Label1)"), PARSE_OK, S("$Label1"), 7 },
	{ "bare backslash", FLAG, S("\\ "), PARSE_BAD, S(""), 0 },
	{ "number", NUMBER, S("0 "), PARSE_OK, S("0"), 1 },
	{ "largest number", NUMBER, S("4294967295 "), PARSE_OK,
	    S("4294967295"), 10 },
	{ "too large", NUMBER, S("4294967296 "), PARSE_BAD, S(""), 0 },
	{ "far too large", NUMBER, S("99999999999999999999999 "), PARSE_BAD,
	    S(""), 0 },
	{ "negative", NUMBER, S("-1 "), PARSE_BAD, S(""), 0 },
	{ "zero", NZ_NUMBER, S("0 "), PARSE_BAD, S(""), 0 },
	{ "one", NZ_NUMBER, S("1 "), PARSE_OK, S("1"), 1 },
	{ "quoted", STRING, S("\"a b\" "), PARSE_OK, S("a b"), 5 },
	{ "empty quoted", STRING, S("\"\" "), PARSE_OK, S(""), 2 },
	{ "escapes", STRING, S("\"a\\\"\\\\b\" "), PARSE_OK, S("a\"\\b"), 8 },
	{ "8-bit quoted", STRING, S("\"\xc3\xa4\" "), PARSE_OK,
	    S("\xc3\xa4"), 4 },
	{ "8-bit quoted, escapes", STRING, S("\"\\\"\xf0\x9f\x98\x80\" "),
	    PARSE_OK, S("\"\xf0\x9f\x98\x80"), 8 },
	{ "Latin-1 quoted", STRING, S("\"\xe4\" "), PARSE_BAD, S(""), 0 },
	{ "overlong quoted", STRING, S("\"\xc0\xaf\" "), PARSE_BAD, S(""), 0 },
	{ "UTF-8 cut by an escape", STRING, S("\"\xc3\\\"\xa4\" "),
	    PARSE_BAD, S(""), 0 },
	{ "half of UTF-8 so far", STRING, S("\"\xc3"), PARSE_MORE, S(""), 0 },
	{ "Latin-1 literal", STRING, S("{1}\r\n\xe4 "), PARSE_OK, S("\xe4"), 6 },
	{ "wrong escape", STRING, S("\"\\a\" "), PARSE_BAD, S(""), 0 },
	{ "line ends in quoted", STRING, S("\"a\r\n"), PARSE_BAD, S(""), 0 },
	{ "nul in quoted", STRING, S("\"a\0b\" "), PARSE_BAD, S(""), 0 },
	{ "atom is no string", STRING, S("abc "), PARSE_BAD, S(""), 0 },
	{ "literal", STRING, S("{3}\r\na\r\n x"), PARSE_OK, S("a\r\n"), 8 },
	{ "non-synchronizing", STRING, S("{3+}\r\nabc x"), PARSE_OK,
	    S("abc"), 9 },
	{ "empty literal", STRING, S("{0}\r\n x"), PARSE_OK, S(""), 5 },
	{ "nul in literal", STRING, S("{3}\r\na\0c x"), PARSE_BAD, S(""), 0 },
	{ "literal8", STRING, S("~{3}\r\nabc x"), PARSE_BAD, S(""), 0 },
	{ "literal without line break", STRING, S("{3} abc"), PARSE_BAD,
	    S(""), 0 },
	{ "literal with sign", STRING, S("{-3}\r\nabc"), PARSE_BAD, S(""), 0 },
	{ "literal of 2^64", STRING, S("{18446744073709551616}\r\n"),
	    PARSE_BAD, S(""), 0 },
	{ "literal not all there", STRING, S("{30}\r\nabc"), PARSE_LITERAL,
	    S(""), 0 },
	{ "huge literal", STRING, S("{18446744073709551615}\r\n"),
	    PARSE_LITERAL, S(""), 0 },
	{ "astring atom", ASTRING, S("INBOX]x "), PARSE_OK, S("INBOX]x"), 7 },
	{ "astring quoted", ASTRING, S("\"x\" "), PARSE_OK, S("x"), 3 },
	{ "astring brace", ASTRING, S("}x "), PARSE_OK, S("}x"), 2 },
	{ "astring paren", ASTRING, S("(x "), PARSE_BAD, S(""), 0 },
	{ "nil", NSTRING, S("nil "), PARSE_OK, S(""), 3 },
	{ "not nil", NSTRING, S("nilly "), PARSE_BAD, S(""), 0 },
	{ "quoted nil", NSTRING, S("\"NIL\" "), PARSE_OK, S("NIL"), 5 },
	{ "pattern", LIST_MAILBOX, S("INBOX.%*\r"), PARSE_OK,
	    S("INBOX.%*"), 8 },
	{ "crlf", CRLF, S("\r\n"), PARSE_OK, S(""), 2 },
	{ "lf", CRLF, S("\n"), PARSE_OK, S(""), 1 },
	{ "lone cr", CRLF, S("\rx"), PARSE_BAD, S(""), 0 },
};
/* clang-format on */

static enum parse
take(enum rule rule, struct imap_lex *lx, struct slice *out)
{
	uint32_t n;
	bool nil;

	switch (rule) {
	case TAG:
		return imap_lex_tag(lx, out);
	case ATOM:
		return imap_lex_atom(lx, out);
	case FLAG:
		return imap_lex_flag(lx, out);
	case NUMBER:
		return imap_lex_number(lx, &n);
	case NZ_NUMBER:
		return imap_lex_nz_number(lx, &n);
	case STRING:
		return imap_lex_string(lx, out);
	case ASTRING:
		return imap_lex_astring(lx, out);
	case NSTRING:
		return imap_lex_nstring(lx, out, &nil);
	case LIST_MAILBOX:
		return imap_lex_list_mailbox(lx, out);
	case CRLF:
		return imap_lex_crlf(lx);
	}
	abort();
}

/* The first n bytes of it, in a block of their own. */
static void
run_cut(const struct lex_case *c, size_t n)
{
	uint8_t *copy = malloc(n + 1);
	struct imap_lex lx;
	struct slice out = SLICE("unset");
	enum parse r;

	assert_non_null(copy);
	memcpy(copy, c->in.p, n);
	lx = imap_lex_of(slice_of(copy, n));
	r = take(c->rule, &lx, &out);
	if (r != PARSE_OK)
		assert_int_equal(lx.pos, 0);
	if (r == PARSE_BAD)
		assert_non_null(lx.why);
	/* what was taken whole stays what it is */
	if (r == PARSE_OK)
		assert_int_equal(c->want, PARSE_OK);
	/* never a token that more bytes would have made longer */
	if (r == PARSE_OK)
		assert_int_equal(lx.pos, c->used);
	free(copy);
}

static void
test_arena_rewinds(void **state)
{
	struct arena a;
	struct arena_mark empty, mark;
	struct slice kept;

	(void)state;
	arena_init(&a, 100000);
	empty = arena_mark(&a);
	kept = arena_dup(&a, SLICE("kept"));
	mark = arena_mark(&a);
	for (int i = 0; i < 1000; i++) { /* far more than the maximum */
		assert_non_null(arena_alloc(&a, 90000));
		assert_non_null(arena_alloc(&a, 10));
		arena_rewind(&a, mark);
	}
	assert_true(slice_eq(kept, SLICE("kept")));
	arena_rewind(&a, empty);
	assert_int_equal(a.used, 0);
	assert_non_null(arena_alloc(&a, 99000));
	arena_fini(&a);
}

static void
run_whole(const struct lex_case *c)
{
	struct imap_lex lx = imap_lex_of(c->in);
	struct slice out = SLICE("");
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(take(c->rule, &lx, &out), c->want);
	assert_int_equal(lx.pos, c->used);
	if (c->want == PARSE_OK && c->rule != NUMBER && c->rule != NZ_NUMBER) {
		out = imap_unquote(&lx, out, &a);
		assert_true(slice_eq(out, c->out));
	}
	arena_fini(&a);
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t k = 0; k < NELEMS(cases); k++) {
		print_message("  %s\n", cases[k].name);
		run_whole(&cases[k]);
		for (size_t n = 0; n < cases[k].in.n; n++)
			run_cut(&cases[k], n);
	}
}

static void
test_literal(void **state)
{
	struct imap_lex lx = imap_lex_of(SLICE("~{12+}\r\nxy"));

	(void)state;
	assert_int_equal(imap_lex_literal(&lx), PARSE_LITERAL);
	assert_int_equal(lx.literal.size, 12);
	assert_true(lx.literal.binary);
	assert_false(lx.literal.sync);
	assert_int_equal(lx.pos, 8);
	lx = imap_lex_of(SLICE("{7}\n"));
	assert_int_equal(imap_lex_literal(&lx), PARSE_LITERAL);
	assert_true(lx.literal.sync);
}

static void
test_line_literal(void **state)
{
	struct imap_literal lit;

	(void)state;
	assert_true(imap_line_literal(SLICE("a b {3+}\r\n"), &lit));
	assert_int_equal(lit.size, 3);
	assert_false(lit.sync);
	assert_true(imap_line_literal(SLICE("{0}"), &lit));
	assert_true(lit.sync);
	assert_true(imap_line_literal(SLICE("a ~{9}\n"), &lit));
	assert_true(lit.binary);
	assert_false(imap_line_literal(SLICE("a {3}x\r\n"), &lit));
	assert_false(imap_line_literal(SLICE("a {x}\r\n"), &lit));
	assert_false(imap_line_literal(SLICE("a {}\r\n"), &lit));
	assert_false(imap_line_literal(SLICE("}"), &lit));
	assert_false(imap_line_literal(SLICE(""), &lit));
}

static void
test_word(void **state)
{
	struct imap_lex lx = imap_lex_of(SLICE("not (x"));

	(void)state;
	assert_false(imap_lex_word(&lx, SLICE("NO")));
	assert_true(imap_lex_word(&lx, SLICE("NOT")));
	assert_int_equal(imap_lex_space(&lx), PARSE_OK);
	assert_int_equal(imap_lex_open(&lx), PARSE_OK);
	assert_int_equal(imap_lex_close(&lx), PARSE_BAD);
	assert_int_equal(imap_lex_peek(&lx), 'x');
}

static void
test_long_tag(void **state)
{
	uint8_t tag[IMAP_TAG_MAX + 2];
	struct imap_lex lx = imap_lex_of(slice_of(tag, sizeof(tag)));
	struct slice out;

	(void)state;
	memset(tag, 'a', sizeof(tag));
	tag[sizeof(tag) - 1] = ' ';
	assert_int_equal(imap_lex_tag(&lx, &out), PARSE_LIMIT);
	tag[sizeof(tag) - 2] = ' ';
	assert_int_equal(imap_lex_tag(&lx, &out), PARSE_OK);
	assert_int_equal(out.n, IMAP_TAG_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_literal),
		cmocka_unit_test(test_line_literal),
		cmocka_unit_test(test_word),
		cmocka_unit_test(test_long_tag),
		cmocka_unit_test(test_arena_rewinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
