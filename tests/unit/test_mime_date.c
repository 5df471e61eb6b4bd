/* Dates of header fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/mime/date.h"

struct date_case {
	const char *in;
	int64_t epoch; /* -1: no date */
	int zone;
	bool known;
};

static const struct date_case date_cases[] = {
	/* RFC 5322 appendix A */
	{ "Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360, true },
	{ "Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 120, true },
	{ "Thu, 13 Feb 1969 23:32:54 -0330", -27723426, -210, true },
	{ "Mon, 24 Nov 1997 14:22:01 -0800", 880410121, -480, true },
	{ "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      "
	  "23:32\r\n               -0330 (Newfoundland Time)",
	    -27723480, -210, true },
	{ "21 Nov 97 09:55:06 GMT", 880106106, 0, true },
	{ "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706, -360,
	    true },
	/* zones */
	{ "1 Jan 1970 00:00:00 +0000", 0, 0, true },
	{ "1 Jan 1970 00:00:00 -0000", 0, 0, false },
	{ "1 Jan 1970 00:00:00 UT", 0, 0, true },
	{ "1 Jan 1970 00:00 EST", 18000, -300, true },
	{ "1 Jan 1970 00:00 edt", 14400, -240, true },
	{ "1 Jan 1970 00:00 CST", 21600, -360, true },
	{ "1 Jan 1970 00:00 CDT", 18000, -300, true },
	{ "1 Jan 1970 00:00 MST", 25200, -420, true },
	{ "1 Jan 1970 00:00 MDT", 21600, -360, true },
	{ "1 Jan 1970 00:00 PST", 28800, -480, true },
	{ "1 Jan 1970 00:00 PDT", 25200, -420, true },
	{ "1 Jan 1970 00:00 Z", 0, 0, true },
	{ "1 Jan 1970 00:00 A", 0, 0, false },
	{ "1 Jan 1970 00:00 XYZT", 0, 0, false },
	{ "1 Jan 1970 00:00 +01:30", -5400, 90, true },
	{ "1 Jan 1970 00:00 +01", -3600, 60, true },
	{ "1 Jan 1970 00:00 GMT+0200", -7200, 120, true },
	{ "1 Jan 1970 00:00", 0, 0, false },
	{ "1 Jan 1970", 0, 0, false },
	{ "1 Jan 1970 00:00 +", 0, 0, false },
	/* years */
	{ "1 Jan 49 00:00:00 Z", 2493072000, 0, true },
	{ "1 Jan 50 00:00:00 Z", -631152000, 0, true },
	{ "1 Jan 100 00:00:00 Z", 946684800, 0, true },
	{ "29 Feb 2000 00:00:00 Z", 951782400, 0, true },
	{ "31 Dec 9999 23:59:60 Z", 253402300800, 0, true },
	{ "1 Mar 0000 00:00:00 Z", -62162035200, 0, true },
	/* seen in the wild */
	{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777, 0, true },
	{ "Sun Nov  6 08:49:37 1994", 784111777, 0, false },
	{ "Sun Nov  6 08:49:37 PST 1994", 784140577, -480, true },
	{ "Nov 6, 1994 08:49:37 GMT", 784111777, 0, true },
	{ "Sun, 06 NOVEMBER 1994 08:49:37 GMT rubbish", 784111777, 0, true },
	{ "06 Nov 1994 08:49:37 (x) GMT", 784111777, 0, true },
	{ "Sun, 06 Nov 1994 08:49:37.123 +0200", 784104577, 120, true },
	{ "Sun, 06 Nov 1994 08:49:37,5 GMT", 784111777, 0, true },
	{ "Sun, 06 Nov 1994 08:49:37 AM GMT", 784111777, 0, true },
	{ "Sun, 6 Nov 1994 12:49:37am +0000", 784082977, 0, true },
	{ "Sun Nov 6 08:49:37.0 PM 1994", 784154977, 0, false },
	{ "Nov 6, 1994 8:49 PM -0800", 784183740, -480, true },
	{ "Sun, 6 Nov 1994 12:49:37 PM GMT", 784126177, 0, true },
	{ "Sun, 6 Nov 1994 20:49:37 PM +0200", 784147777, 120, true },
	/* not dates */
	{ "", -1, 0, false },
	{ "yesterday", -1, 0, false },
	{ "31 Feb 2000 00:00:00 Z", -1, 0, false },
	{ "29 Feb 1900 00:00:00 Z", -1, 0, false },
	{ "0 Jan 2000 00:00:00 Z", -1, 0, false },
	{ "1 Jan 2000 24:00:00 Z", -1, 0, false },
	{ "1 Jan 2000 00:60:00 Z", -1, 0, false },
	{ "1 Jan 2000 00:00:61 Z", -1, 0, false },
	{ "1 Jan 99999 00:00:00 Z", -1, 0, false },
	{ "111 Jan 1999 00:00:00 Z", -1, 0, false },
	{ "1 Jux 1999", -1, 0, false },
	{ "1 Jan", -1, 0, false },
	{ "(((((", -1, 0, false },
};

static void
test_date(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(date_cases); i++) {
		const struct date_case *c = &date_cases[i];
		struct mime_date d = { .epoch = -1 };
		bool ok = mime_date_parse(slice_str(c->in), &d);
		if (ok != (c->epoch != -1) || d.epoch != c->epoch ||
		    (ok && (d.zone_min != c->zone || d.zone_known != c->known)))
			fail_msg("%s: %d %lld %d %d", c->in, ok,
			    (long long)d.epoch, d.zone_min, d.zone_known);
		/* every beginning ends, and reads nothing behind itself */
		for (size_t n = 0; n < strlen(c->in); n++)
			(void)!mime_date_parse(slice_of(c->in, n), &d);
	}
}

static void
test_date_fields(void **state)
{
	struct mime_date d;

	(void)state;
	assert_true(
	    mime_date_parse(SLICE("Mon, 31 Dec 2012 23:30:05 -0800"), &d));
	/* RFC 3501 6.4.4: SENTSINCE disregards time and timezone */
	assert_int_equal(d.year, 2012);
	assert_int_equal(d.month, 12);
	assert_int_equal(d.day, 31);
	assert_int_equal(d.hour, 23);
	assert_int_equal(d.minute, 30);
	assert_int_equal(d.second, 5);
	assert_int_equal(mime_date_days(1970, 1, 1), 0);
	assert_int_equal(mime_date_days(2000, 3, 1), 11017);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_date_fields),
	};

	return cmocka_run_group_tests_name("mime_date", tests, NULL, NULL);
}
