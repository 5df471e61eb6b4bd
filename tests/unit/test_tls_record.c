/* How much of a handshake's records must be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "server/net/tls_record.h"

static const struct {
	const char *name;
	struct slice seen;
	bool hello;
	enum parse want;
	size_t needed;
} cases[] = {
	{ "nothing", SLICE_INIT(""), true, PARSE_MORE, 5 },
	{ "one byte", SLICE_INIT("\x16"), true, PARSE_MORE, 5 },
	{ "head of a record", SLICE_INIT("\x16\3\1\0\x40"), true, PARSE_MORE,
	    9 },
	{ "its message", SLICE_INIT("\x16\3\1\0\x40\1\0\0\x3c"), true,
	    PARSE_MORE, 69 },
	{ "whole", SLICE_INIT("\x16\3\1\0\6\1\0\0\2ab"), true, PARSE_OK, 0 },
	{ "two, the second begun", SLICE_INIT("\x16\3\1\0\6\1\0\0\2ab\x14\3"),
	    true, PARSE_MORE, 16 },
	{ "two",
	    SLICE_INIT("\x16\3\1\0\6\1\0\0\x40"
		       "ab\x16\3\1\0\1c"),
	    true, PARSE_OK, 0 },
	{ "longest message", SLICE_INIT("\x16\3\1\0\5\1\0\x40\0x"), true,
	    PARSE_OK, 0 },
	{ "too long a message", SLICE_INIT("\x16\3\1\0\5\1\0\x40\1"), true,
	    PARSE_BAD, 0 },
	{ "much too long", SLICE_INIT("\x16\3\1\0\5\1\1\0\0"), true, PARSE_BAD,
	    0 },
	{ "the same, encrypted", SLICE_INIT("\x16\3\1\0\5\1\1\0\0x"), false,
	    PARSE_OK, 0 },
	{ "the same behind another record",
	    SLICE_INIT("\x14\3\1\0\1\1\x16\3\1\0\5\1\1\0\0"), true, PARSE_BAD,
	    0 },
	{ "cut within its head", SLICE_INIT("\x16\3\1\0\3\1\0\0"), true,
	    PARSE_BAD, 0 },
	{ "another message", SLICE_INIT("\x16\3\1\0\4\2\1\0\0"), true, PARSE_OK,
	    0 },
	{ "an alert", SLICE_INIT("\x15\3\1\0\2\1"), true, PARSE_MORE, 7 },
	{ "of SSL 2", SLICE_INIT("\x80\x2e\1\3\1"), true, PARSE_BAD, 0 },
	{ "no TLS", SLICE_INIT("GET / HTTP/1.0\r\n"), true, PARSE_OK, 0 },
	{ "longer than a record may be", SLICE_INIT("\x17\3\3\x41\1"), false,
	    PARSE_OK, 0 },
	{ "as long as it may be", SLICE_INIT("\x17\3\3\x41\0"), false,
	    PARSE_MORE, TLS_RECORD_MAX },
};

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		size_t needed = 0;
		enum parse got =
		    tls_records_whole(cases[i].seen, cases[i].hello, &needed);

		if (got != cases[i].want ||
		    (got == PARSE_MORE && needed != cases[i].needed))
			fail_msg(
			    "%s: got %d, %zu", cases[i].name, (int)got, needed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
