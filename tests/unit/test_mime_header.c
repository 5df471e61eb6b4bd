/* Parameters, encoded words, message ids, header fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocols/mime/header.h"
#include "protocols/mime/msgid.h"
#include "protocols/mime/param.h"
#include "protocols/mime/words.h"

struct text_case {
	const char *in;
	const char *want;
};

/* --- parameters ---------------------------------------------------------- */

/* name=value of each, separated by "|" */
static const struct text_case param_cases[] = {
	{ "", "" },
	{ "; charset=us-ascii", "charset=us-ascii|" },
	/* RFC 2045 5.1 */
	{ "; charset=us-ascii (Plain text)", "charset=us-ascii|" },
	{ "; charset=\"us-ascii\"", "charset=us-ascii|" },
	{ " ; a = b ;c=\"d;e\" ; f", "a=b|c=d;e|" },
	{ "; a=\"b\\\"\\c\"x; d=e", "a=b\"c|d=e|" },
	{ ";;; a=b;;", "a=b|" },
	{ "a=b", "a=b|" },
	{ "; name=my file.pdf; x=y", "name=my file.pdf|x=y|" },
	{ "; boundary=b charset=x; c=d", "boundary=b|c=d|" },
	{ "; FileName=my file.pdf", "FileName=my file.pdf|" },
	{ "; filename*0=my file; filename*1=.pdf", "filename=my file.pdf|" },
	{ "; name=my(1).pdf", "name=my(1).pdf|" },
	{ "; name=my file (1).pdf; x=y", "name=my file (1).pdf|x=y|" },
	{ "; name=a (b) (c) d (e)\r\n (f); x=y", "name=a (b) (c) d|x=y|" },
	{ "; name=a (b; x=y", "name=a|" },
	{ "; a=\"unclosed; b=c", "a=unclosed; b=c|" },
	{ "; =b; c=d", "c=d|" },
	{ "; a=; b=\"\"", "a=|b=|" },
	{ "; a=b; A=c", "a=b|" },
	{ "; a=\"x\r\n y\"", "a=x y|" },
	/* RFC 2231 */
	{ "; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub\"",
	    "URL=ftp://cs.utk.edu/pub|" },
	{ "; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
	    "title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A|" },
	{ "; title*0*=us-ascii'en'This%20is%20even%20more%20; "
	  "title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
	    "title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A"
	    "%2A%20isn%27t%20it!|" },
	{ "; a*2=z; a*1=y; b=c; a*0=x", "b=c|a=xyz|" },
	{ "; a*0=x; a*2=z", "a=x|" },
	{ "; a*1=y", "" },
	{ "; a*0=x; a*0=y; a*1=z", "a=xz|" },
	{ "; a*0=x; a*1*=%41", "a=xA|" },
	{ "; a=short; a*0=lo; a*1=ng", "a=long|" },
	{ "; a=b; a*=utf-8''c", "a=b|a*=utf-8''c|" },
	{ "; a*x=b", "a*x=b|" },
	{ "; *=b; *0=c", "*=b|*0=c|" },
	{ "; a*4294967296=b", "a*4294967296=b|" },
};

static void
test_param(void **state)
{
	struct mime_params params;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(param_cases); i++) {
		const struct text_case *c = &param_cases[i];
		for (size_t n = 0; n <= strlen(c->in); n++) {
			buf_reset(&out);
			mime_params_parse(&params, slice_of(c->in, n));
			for (size_t k = 0; k < params.n; k++) {
				buf_put(&out, params.v[k].name);
				buf_putc(&out, '=');
				buf_put(&out, params.v[k].value);
				buf_putc(&out, '|');
			}
			mime_params_fini(&params);
		}
		if (!slice_eq(buf_slice(&out), slice_str(c->want)))
			fail_msg("%s\n have %s\n want %s", c->in,
			    buf_cstr(&out), c->want);
	}
	buf_fini(&out);
}

static const struct text_case param_text_cases[] = {
	{ "; n=plain", "plain" },
	{ "; N=\"=?iso-8859-1?q?=E4?=\"", "\xc3\xa4" },
	{ "; n=x; n*=iso-8859-1'de'%E4%20", "\xc3\xa4 " },
	{ "; n*=utf-8''%e2%82%ac", "\xe2\x82\xac" },
	{ "; n*=no%20charset", "no charset" },
	{ "; n*=x-unknown''%41", "A" },
	{ "; n*=utf-8''100%; m=x", "100%" },
	{ "; nn=x", NULL },
};

static void
test_param_text(void **state)
{
	struct mime_params params;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(param_text_cases); i++) {
		const struct text_case *c = &param_text_cases[i];
		bool found;
		buf_reset(&out);
		mime_params_parse(&params, slice_str(c->in));
		found = mime_params_text(&params, SLICE("n"), &out);
		if (found != (c->want != NULL) ||
		    (found && !slice_eq(buf_slice(&out), slice_str(c->want))))
			fail_msg("%s: %s", c->in, buf_cstr(&out));
		mime_params_fini(&params);
	}
	buf_fini(&out);
}

static void
test_content_type(void **state)
{
	static const struct text_case cases[] = {
		{ "text/plain", "text|plain|" },
		{ " (c) TEXT (d) / (e) Html ; x=y", "TEXT|Html| ; x=y" },
		{ "text/plain charset=x", "text|plain| charset=x" },
		{ "text", NULL },
		{ "text/", NULL },
		{ "/plain", NULL },
		{ "", NULL },
		{ "a b/c", NULL },
	};
	struct slice type, subtype, rest;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		bool ok = mime_content_type_parse(
		    slice_str(cases[i].in), &type, &subtype, &rest);
		assert_int_equal(ok, cases[i].want != NULL);
		if (!ok)
			continue;
		buf_reset(&out);
		buf_put(&out, type);
		buf_putc(&out, '|');
		buf_put(&out, subtype);
		buf_putc(&out, '|');
		buf_put(&out, rest);
		assert_string_equal(buf_cstr(&out), cases[i].want);
	}
	assert_true(
	    mime_disposition_parse(SLICE(" inline; a=b"), &type, &rest));
	assert_true(slice_eq(type, SLICE("inline")));
	assert_false(mime_disposition_parse(SLICE("; a=b"), &type, &rest));
	buf_fini(&out);
}

/* --- encoded words ------------------------------------------------------- */

static const struct text_case words_cases[] = {
	{ "plain text", "plain text" },
	{ "\xc3\xa4 \xe4", "\xc3\xa4 \xef\xbf\xbd" },
	/* RFC 2047 8 */
	{ "(=?ISO-8859-1?Q?a?=)", "(a)" },
	{ "(=?ISO-8859-1?Q?a?= b)", "(a b)" },
	{ "(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)" },
	{ "(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)" },
	{ "(=?ISO-8859-1?Q?a?=\r\n\t=?ISO-8859-1?Q?b?=)", "(ab)" },
	{ "(=?ISO-8859-1?Q?a_b?=)", "(a b)" },
	{ "(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)" },
	{ "=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=",
	    "Keld J\xc3\xb8rn Simonsen" },
	{ "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\n "
	  "=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
	    "If you can read this you understand the example." },
	{ "=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=",
	    "\xd7\x9d\xd7\x95\xd7\x9c\xd7\xa9 \xd7\x9f\xd7\x91 "
	    "\xd7\x99\xd7\x9c\xd7\x98\xd7\xa4\xd7\xa0" },
	/* RFC 2231 5 */
	{ "=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore" },
	/* a character cut in two */
	{ "=?utf-8?q?=c3?= =?UTF-8?q?=a4?=", "\xc3\xa4" },
	{ "=?utf-8?q?=c3?= x", "\xef\xbf\xbd x" },
	{ "a =?utf-8?q?b?= c", "a b c" },
	{ "=?utf-8?q?b?=c", "bc" },
	{ "=?utf-8?q?b?= ", "b " },
	{ "=?x-none?q?=41?= =?x-none?q?b?=",
	    "=?x-none?q?=41?= =?x-none?q?b?=" },
	{ "=?../../x?q?a?=", "=?../../x?q?a?=" },
	{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
	{ "=?utf-8?q?a", "=?utf-8?q?a" },
	{ "=?utf-8?q?a?", "=?utf-8?q?a?" },
	{ "=?=?=?=?", "=?=?=?=?" },
	{ "=??q?a?=", "=??q?a?=" },
	{ "=?utf-8?q?"
	  "?=",
	    "" },
	{ "=?utf-8?q?=4?=", "=4" },
	{ "=?gb2312?b?xOO6ww==?=", "\xe4\xbd\xa0\xe5\xa5\xbd" },
	{ "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "\xe6\x97\xa5\xe6\x9c\xac" },
};

static void
test_words(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(words_cases); i++) {
		const struct text_case *c = &words_cases[i];
		for (size_t n = 0; n <= strlen(c->in); n++) {
			buf_reset(&out);
			mime_words_decode(slice_of(c->in, n), &out);
		}
		if (!slice_eq(buf_slice(&out), slice_str(c->want)))
			fail_msg("%s\n have %s\n want %s", c->in,
			    buf_cstr(&out), c->want);
	}
	buf_fini(&out);
}

/* --- message ids --------------------------------------------------------- */

static const struct text_case msgid_cases[] = {
	{ "", "" },
	{ "<a@b>", "a@b|" },
	{ "<a@b><c@d> <e@f>", "a@b|c@d|e@f|" },
	{ "\r\n <a@b>\r\n\t(<x@y>) <c@d>", "a@b|c@d|" },
	{ "<1234   @   local(blah)  .machine .example>",
	    "1234@local.machine.example|" },
	{ "<\"a\"@b>", "a@b|" },
	{ "Message of 1 Jan from \"x <y@z>\" <a@b>", "a@b|" },
	{ "<a> <b@c", "" },
	{ "<a <b@c>", "b@c|" },
	{ "<>", "" },
	{ "a@b", "" },
};

static void
test_msgid(void **state)
{
	struct buf out, id;

	(void)state;
	buf_init(&out, 4096);
	buf_init(&id, 4096);
	for (size_t i = 0; i < NELEMS(msgid_cases); i++) {
		const struct text_case *c = &msgid_cases[i];
		for (size_t n = 0; n <= strlen(c->in); n++) {
			struct slice rest = slice_of(c->in, n);
			buf_reset(&out);
			while (mime_msgid_next(&rest, &id)) {
				buf_put(&out, buf_slice(&id));
				buf_putc(&out, '|');
			}
		}
		if (!slice_eq(buf_slice(&out), slice_str(c->want)))
			fail_msg("%s: %s", c->in, buf_cstr(&out));
	}
	buf_fini(&out);
	buf_fini(&id);
}

/* --- header fields ------------------------------------------------------- */

static const char header[] = "From x Mon\nSubject: a\n b\r\n\tc\nTo : d\n"
			     "X-Long:\n e\nrubbish\n more\nsubject: again\n\n";

static void
test_header_walk(void **state)
{
	static const struct text_case want[] = {
		{ "", "From x Mon" },
		{ "Subject", " a\n b\r\n\tc" },
		{ "To", " d" },
		{ "X-Long", "\n e" },
		{ "", "rubbish\n more" },
		{ "subject", " again" },
	};
	struct slice rest = slice_str(header);
	struct mime_header_field field;
	size_t n = 0;

	(void)state;
	while (mime_header_next(&rest, &field)) {
		assert_true(n < NELEMS(want));
		assert_true(slice_eq(field.name, slice_str(want[n].in)));
		assert_true(slice_eq(field.value, slice_str(want[n].want)));
		n++;
	}
	assert_int_equal(n, NELEMS(want));
	assert_true(slice_eq(rest, SLICE("\n")));
}

struct filter_case {
	const char *names; /* separated by blanks */
	bool except;
	const char *in;
	const char *want;
};

static const struct filter_case filter_cases[] = {
	{ "SUBJECT X-None", false, header,
	    "Subject: a\r\n b\r\n\tc\r\nsubject: again\r\n\r\n" },
	{ "to x-long to", false, header, "To : d\r\nX-Long:\r\n e\r\n\r\n" },
	{ "to", true, "To: a\n b\nX: y\nrubbish\n z\n\n",
	    "X: y\r\nrubbish\r\n z\r\n\r\n" },
	{ "", true, "A: b\r\n\r\n", "A: b\r\n\r\n" },
	{ "", false, "A: b\r\n\r\n", "\r\n" },
	{ "a", false, "A: b", "A: b\r\n" },
	{ "a", false, "A", "" },
	{ "a", true, "A: b\nB", "B\r\n" },
	{ "a", false, "", "" },
	{ "a", false, " x\nA: b\r", "A: b\r\n" },
	{ "subj", false, header, "\r\n" },
	{ "subjects", false, header, "\r\n" },
};

static void
filter_run(const struct filter_case *c, size_t cut, struct buf *out)
{
	struct slice rest = slice_str(c->names), names[8] = { { NULL, 0 } };
	struct slice in = slice_str(c->in);
	struct mime_filter f, sizes;
	size_t n = 0;

	while (rest.n != 0 && slice_split(&rest, ' ', &names[n]))
		n++;
	mime_filter_init(&f, names, n, c->except);
	mime_filter_feed(&f, slice_first(in, cut), out);
	mime_filter_feed(&f, slice_skip(in, cut), out);
	mime_filter_finish(&f, out);
	mime_filter_init(&sizes, names, n, c->except);
	mime_filter_feed(&sizes, in, NULL);
	mime_filter_finish(&sizes, NULL);
	assert_int_equal(mime_filter_len(&f), buf_len(out));
	assert_int_equal(mime_filter_len(&sizes), buf_len(out));
	mime_filter_fini(&f);
	mime_filter_fini(&sizes);
}

static void
test_filter(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(filter_cases); i++) {
		const struct filter_case *c = &filter_cases[i];
		for (size_t cut = 0; cut <= strlen(c->in); cut++) {
			buf_reset(&out);
			filter_run(c, cut, &out);
			if (!slice_eq(buf_slice(&out), slice_str(c->want)))
				fail_msg("%s in %s, cut at %zu: %s", c->names,
				    c->in, cut, buf_cstr(&out));
		}
	}
	buf_fini(&out);
}

static void
test_filter_long_name(void **state)
{
	static uint8_t in[3 * MIME_NAME_MAX];
	struct slice name = slice_of(in, MIME_NAME_MAX);
	struct mime_filter f;
	struct buf out;

	(void)state;
	memset(in, 'x', sizeof(in));
	in[sizeof(in) - 1] = '\n';
	buf_init(&out, sizeof(in) * 2);
	mime_filter_init(&f, &name, 1, false);
	mime_filter_feed(&f, slice_of(in, sizeof(in)), &out);
	in[MIME_NAME_MAX] = ':';
	mime_filter_feed(&f, slice_of(in, sizeof(in)), &out);
	mime_filter_finish(&f, &out);
	assert_int_equal(buf_len(&out), sizeof(in) + 1);
	mime_filter_fini(&f);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_param),
		cmocka_unit_test(test_param_text),
		cmocka_unit_test(test_content_type),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_msgid),
		cmocka_unit_test(test_header_walk),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_filter_long_name),
	};

	return cmocka_run_group_tests_name("mime_header", tests, NULL, NULL);
}
