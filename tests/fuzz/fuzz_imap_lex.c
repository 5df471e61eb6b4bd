/*
 * Every rule of the lexer at every byte of the input.
 *
 * Checked: a token lies within the input and is taken whole or not at all;
 * strings hold no NUL; what imap_put_astring() writes of a token reads back
 * as the same; so does a time, and text of others is one line of ASCII.
 */
#include <stdlib.h>
#include <string.h>

#include "protocols/imap/date_time.h"
#include "protocols/imap/lex.h"
#include "protocols/imap/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum parse rule(struct imap_lex *lx, struct slice *out);

static rule *const rules[] = { imap_lex_tag, imap_lex_atom, imap_lex_flag,
	imap_lex_string, imap_lex_astring, imap_lex_list_mailbox };

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* What is written reads back. */
static void
write_then_parse(struct slice s)
{
	struct slice back = SLICE("");
	struct imap_lex lx;
	struct arena a;
	struct buf out;

	arena_init(&a, 0);
	buf_init(&out, 4 * s.n + 100);
	imap_put_astring(&out, s);
	buf_putc(&out, ' ');
	lx = imap_lex_of(buf_slice(&out));
	check(imap_lex_astring(&lx, &back) == PARSE_OK);
	check(slice_eq(imap_unquote(&lx, back, &a), s));
	check(imap_lex_peek(&lx) == ' ' && lx.pos + 1 == lx.in.n);
	buf_fini(&out);
	arena_fini(&a);
}

static void
one_rule(rule *r, struct slice in)
{
	struct imap_lex lx = imap_lex_of(in);
	struct slice out = SLICE("");
	struct arena a;
	enum parse got = r(&lx, &out);

	check(lx.pos <= in.n);
	check(got == PARSE_OK || lx.pos == 0);
	check((got != PARSE_BAD && got != PARSE_LIMIT) || lx.why != NULL);
	if (got != PARSE_OK)
		return;
	check(lx.pos > 0);
	check(out.p >= in.p && out.p + out.n <= in.p + lx.pos);
	check(!slice_has(out, '\0'));
	arena_init(&a, 0);
	write_then_parse(imap_unquote(&lx, out, &a));
	arena_fini(&a);
}

static void
other_rules(struct slice in)
{
	struct imap_lex lx = imap_lex_of(in);
	struct imap_literal lit;
	int64_t when;
	uint32_t n;

	if (imap_lex_number(&lx, &n) != PARSE_OK)
		check(lx.pos == 0);
	if (imap_lex_date(&lx, &when) == PARSE_OK)
		check(when > -800000 && when < 3000000);
	lx = imap_lex_of(in);
	if (imap_lex_date_time(&lx, &when) != PARSE_OK)
		check(lx.pos == 0);
	if (imap_line_literal(in, &lit))
		check(in.n >= 3);
	lx = imap_lex_of(in);
	check((imap_lex_literal(&lx) == PARSE_LITERAL) == (lx.pos != 0));
}

/* What stands in replies: text of others is one line, a time reads back. */
static void
writers(struct slice in)
{
	const int64_t max_ms = INT64_C(253402300799) * 1000;
	int64_t ms = 0, back;
	struct imap_lex lx;
	struct buf out;

	buf_init(&out, 4096);
	imap_put_text(&out, in);
	check(buf_len(&out) <= IMAP_TEXT_MAX);
	check(!slice_starts(buf_slice(&out), SLICE("[")));
	for (size_t k = 0; k < buf_len(&out); k++)
		check(
		    buf_slice(&out).p[k] >= ' ' && buf_slice(&out).p[k] <= '~');
	buf_reset(&out);
	if (in.n >= sizeof(ms))
		memcpy(&ms, in.p, sizeof(ms));
	imap_put_date_time(&out, ms);
	lx = imap_lex_of(buf_slice(&out));
	check(imap_lex_date_time(&lx, &back) == PARSE_OK && lx.pos == lx.in.n);
	ms = ms < 0 ? 0 : ms > max_ms ? max_ms : ms / 1000 * 1000;
	check(back == ms);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);

	writers(in);
	for (size_t at = 0; at < size && at < 200; at++) {
		for (size_t k = 0; k < sizeof(rules) / sizeof(rules[0]); k++)
			one_rule(rules[k], slice_skip(in, at));
		other_rules(slice_skip(in, at));
	}
	return 0;
}
