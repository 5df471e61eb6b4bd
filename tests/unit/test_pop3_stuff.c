/* CRLF, doubled dots and TOP's cut, with the file cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocols/pop3/stuff.h"

struct stuff_case {
	const char *name;
	struct slice in;
	struct slice want;
	uint64_t lines;
};

#define ALL UINT64_MAX

/* clang-format off */
static const struct stuff_case cases[] = {
	{ "empty", SLICE_INIT(""), SLICE_INIT(".\r\n"), ALL },
	{ "lf", SLICE_INIT("A: b\n\nc\n"),
	  SLICE_INIT("A: b\r\n\r\nc\r\n.\r\n"), ALL },
	{ "crlf", SLICE_INIT("A: b\r\n\r\nc\r\n"),
	  SLICE_INIT("A: b\r\n\r\nc\r\n.\r\n"), ALL },
	{ "no final newline", SLICE_INIT("A: b\n\nc"),
	  SLICE_INIT("A: b\r\n\r\nc\r\n.\r\n"), ALL },
	{ "final cr", SLICE_INIT("c\r"), SLICE_INIT("c\r\r\n.\r\n"), ALL },
	{ "dots", SLICE_INIT("a\n\n.\n..\n.x\nx.\n"),
	  SLICE_INIT("a\r\n\r\n..\r\n...\r\n..x\r\nx.\r\n.\r\n"), ALL },
	{ "dot in the very first line", SLICE_INIT(".a\n"),
	  SLICE_INIT("..a\r\n.\r\n"), ALL },
	{ "dot is all", SLICE_INIT("."), SLICE_INIT("..\r\n.\r\n"), ALL },
	{ "dot after lone cr and nul", SLICE_INIT("a\r.\nb\0.\n\r\r\n.\n"),
	  SLICE_INIT("a\r.\r\nb\0.\r\n\r\r\n..\r\n.\r\n"), ALL },
	{ "smuggled end", SLICE_INIT("a\n.\r\nQUIT\n.\nb\n"),
	  SLICE_INIT("a\r\n..\r\nQUIT\r\n..\r\nb\r\n.\r\n"), ALL },
	{ "top 0", SLICE_INIT("A: b\nC: d\n\ne\nf\n"),
	  SLICE_INIT("A: b\r\nC: d\r\n\r\n.\r\n"), 0 },
	{ "top 1", SLICE_INIT("A: b\r\n\r\n.e\r\nf\r\n"),
	  SLICE_INIT("A: b\r\n\r\n..e\r\n.\r\n"), 1 },
	{ "top counts blank lines", SLICE_INIT("A: b\n\n\n\ne\n"),
	  SLICE_INIT("A: b\r\n\r\n\r\n\r\n.\r\n"), 2 },
	{ "top beyond the end", SLICE_INIT("A: b\n\ne"),
	  SLICE_INIT("A: b\r\n\r\ne\r\n.\r\n"), 5 },
	{ "top without body", SLICE_INIT("A: b\nC: d\n"),
	  SLICE_INIT("A: b\r\nC: d\r\n.\r\n"), 0 },
	{ "top without header", SLICE_INIT("\na\nb\n"),
	  SLICE_INIT("\r\na\r\n.\r\n"), 1 },
	{ "a line of one cr is not blank", SLICE_INIT("A: b\n\r\r\nc\n\nd\n"),
	  SLICE_INIT("A: b\r\n\r\r\nc\r\n\r\n.\r\n"), 0 },
};
/* clang-format on */

static void
run_case(const struct stuff_case *c, size_t cut)
{
	struct slice rest = c->in;
	struct pop3_stuff s;
	struct buf out;

	buf_init(&out, 1024);
	pop3_stuff_init(&s, c->lines);
	for (int i = 0; rest.n != 0 && !s.done; i++) {
		struct slice piece = slice_first(rest,
		    cut == 0	 ? 1
			: i == 0 ? cut
				 : rest.n);
		size_t had = buf_len(&out);
		size_t used = pop3_stuff_feed(&s, piece, &out);

		assert_true(s.done || used == piece.n);
		assert_true(buf_len(&out) - had <= 2 * piece.n);
		rest = slice_skip(rest, used);
	}
	pop3_stuff_end(&s, &out);
	if (!slice_eq(buf_slice(&out), c->want))
		fail_msg("%s, cut at %zu: %.*s", c->name, cut,
		    SLICE_ARG(buf_slice(&out)));
	buf_fini(&out);
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		for (size_t cut = 0; cut <= cases[i].in.n; cut++)
			run_case(&cases[i], cut);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
