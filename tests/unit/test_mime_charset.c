/* Charsets: their names, conversion to UTF-8 as a stream, what is kept open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocols/mime/charset.h"
#include "protocols/mime/charset_name.h"
#include "protocols/mime/words.h"

/* Every iconv_open() of the program comes here: see module.mk. */
static unsigned n_opened;
iconv_t __real_iconv_open(const char *to, const char *from);
iconv_t __wrap_iconv_open(const char *to, const char *from);

iconv_t
__wrap_iconv_open(const char *to, const char *from)
{
	n_opened++;
	return __real_iconv_open(to, from);
}

/* --- names ---------------------------------------------------------------- */

static const struct {
	const char *name, *iconv; /* NULL: not known; "": UTF-8 */
} name_cases[] = {
	{ "", "" },
	{ "UTF-8", "" },
	{ "utf8", "" },
	{ "US-ASCII", "" },
	{ "ANSI_X3.4-1968", "" },
	{ "csUTF8", "" },
	{ "ISO-8859-1", "CP1252" },
	{ "iso8859-1", "CP1252" },
	{ "ISO_8859-1:1987", "CP1252" },
	{ "csISOLatin1", "CP1252" },
	{ "Latin1", "CP1252" },
	{ "iso-8859-8-i", "ISO-8859-8" },
	{ "iso-8859-12", NULL },
	{ "Windows-1252", "CP1252" },
	{ "cp1252", "CP1252" },
	{ "x-sjis", "CP932" },
	{ "Shift_JIS", "CP932" },
	{ "x-x-big5", "BIG5" },
	{ "GB2312", "GB18030" },
	{ "ks_c_5601-1987", "CP949" },
	{ "unicode-1-1-utf-7", "UTF-7" },
	{ "KOI8-R", "KOI8-R" },
	{ "ebcdic-us", NULL },
	{ "iso-8859-1 ", NULL },
	{ "iso/8859-1", NULL },
	{ "..", NULL },
	{ "x-", NULL },
	{ "cs", NULL },
	{ ":", NULL },
	{ "iso-8859-1--------------------------------------------------",
	    "CP1252" },
	{ "iso-8859-1---------------------------------------------------",
	    NULL },
};

static void
test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(name_cases); i++) {
		unsigned row;
		const char *is = NULL;

		switch (
		    mime_charset_find(slice_str(name_cases[i].name), &row)) {
		case MIME_CHARSET_UNKNOWN:
			break;
		case MIME_CHARSET_UTF8:
			is = "";
			break;
		case MIME_CHARSET_OTHER:
			is = mime_charset_iconv(row);
			break;
		}
		if ((is == NULL) != (name_cases[i].iconv == NULL) ||
		    (is != NULL && strcmp(is, name_cases[i].iconv) != 0))
			fail_msg("%s: %s", name_cases[i].name,
			    is == NULL ? "not known" : is);
	}
}

/* Whether iconv(3) has each charset of the table, and knows its own name. */
static void
test_all_convert(void **state)
{
	(void)state;
	for (unsigned k = 0; k < MIME_CHARSETS; k++) {
		const char *name = mime_charset_iconv(k);
		iconv_t cd = iconv_open("UTF-8", name);

		if ((intptr_t)cd == -1)
			fail_msg("iconv doesn't know %s", name);
		(void)iconv_close(cd);
		if (!mime_charset_known(slice_str(name)))
			fail_msg("%s isn't among its own names", name);
	}
}

/* --- conversion ----------------------------------------------------------- */

static const struct {
	const char *charset;
	bool known;
	struct slice in;
	const char *want;
} charset_cases[] = {
	{ "", true, SLICE_INIT("abc"), "abc" },
	{ "US-ASCII", true, SLICE_INIT("a\xe4"), "a\xef\xbf\xbd" },
	{ "utf-8", true, SLICE_INIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
	    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
	/* overlong, surrogate, beyond, cut, lone continuation */
	{ "utf-8", true, SLICE_INIT("\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "utf-8", true, SLICE_INIT("\xed\xa0\x80"),
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "utf-8", true, SLICE_INIT("\xf4\x90\x80\x80"),
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "utf-8", true, SLICE_INIT("\xe2\x82x"), "\xef\xbf\xbdx" },
	{ "utf-8", true, SLICE_INIT("\xe2\x82"), "\xef\xbf\xbd" },
	{ "utf-8", true, SLICE_INIT("\x82"), "\xef\xbf\xbd" },
	{ "utf-8", true, SLICE_INIT("\xe2\xe2\x82\xac"),
	    "\xef\xbf\xbd\xe2\x82\xac" },
	{ "iso-8859-1", true, SLICE_INIT("\xe4\xff"), "\xc3\xa4\xc3\xbf" },
	{ "iso-8859-1", true, SLICE_INIT("it\x92s \x80"),
	    "it\xe2\x80\x99s \xe2\x82\xac" },
	{ "Shift_JIS", true, SLICE_INIT("~\\\x87\x40"), "~\\\xe2\x91\xa0" },
	{ "euc-jp", true, SLICE_INIT("\xad\xa1"), "\xe2\x91\xa0" },
	{ "euc-kr", true, SLICE_INIT("\x81\x41"), "\xea\xb0\x82" },
	{ "Windows-1252", true, SLICE_INIT("\x80"), "\xe2\x82\xac" },
	{ "iso-8859-8-i", true, SLICE_INIT("\xe0"), "\xd7\x90" },
	{ "gb2312", true, SLICE_INIT("\xc4\xe3x"), "\xe4\xbd\xa0x" },
	{ "gb2312", true, SLICE_INIT("\xc4"), "\xef\xbf\xbd" },
	{ "utf-16be", true, SLICE_INIT("\0a\x20\xac"), "a\xe2\x82\xac" },
	/* a lone surrogate doesn't garble what follows it */
	{ "utf-16be", true, SLICE_INIT("\0a\xd8\0\0b\0c"),
	    "a\xef\xbf\xbd"
	    "bc" },
	{ "utf-16le", true,
	    SLICE_INIT("a\0\0\xdc"
		       "b\0c"),
	    "a\xef\xbf\xbd"
	    "b\xef\xbf\xbd" },
	{ "utf-32be", true, SLICE_INIT("\0\0\xd8\0\0\0\0b"),
	    "\xef\xbf\xbd"
	    "b" },
	{ "utf-7", true, SLICE_INIT("+IKw-"), "\xe2\x82\xac" },
	{ "iso-2022-jp", true, SLICE_INIT("\x1b$BF|K\\\x1b(B."),
	    "\xe6\x97\xa5\xe6\x9c\xac." },
	{ "x-no-such", false, SLICE_INIT("\xc3\xa4\xe4"),
	    "\xc3\xa4\xef\xbf\xbd" },
	{ "utf-8//TRANSLIT", false, SLICE_INIT("a"), "a" },
	{ "../../../tmp/x", false, SLICE_INIT("a"), "a" },
	{ "a,b", false, SLICE_INIT("a"), "a" },
};

static void
test_charset(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(charset_cases); i++) {
		struct slice in = charset_cases[i].in;
		struct slice name = slice_str(charset_cases[i].charset);
		assert_int_equal(
		    mime_charset_known(name), charset_cases[i].known);
		for (size_t cut = 0; cut <= in.n; cut++) {
			struct mime_charset c;
			buf_reset(&out);
			(void)mime_charset_open(&c, name);
			mime_charset_feed(&c, slice_first(in, cut), &out);
			mime_charset_feed(&c, slice_skip(in, cut), &out);
			mime_charset_finish(&c, &out);
			mime_charset_close(&c);
			if (!slice_eq(buf_slice(&out),
				slice_str(charset_cases[i].want)))
				fail_msg("case %zu, %s, cut at %zu: %s", i,
				    charset_cases[i].charset, cut,
				    buf_cstr(&out));
		}
	}
	buf_fini(&out);
}

static void
test_charset_long(void **state)
{
	static uint8_t in[100000];
	struct buf out;

	(void)state;
	memset(in, 0xe4, sizeof(in));
	buf_init(&out, 3 * sizeof(in));
	assert_true(mime_charset_decode(
	    SLICE("iso-8859-1"), slice_of(in, sizeof(in)), &out));
	assert_int_equal(buf_len(&out), 2 * sizeof(in));
	/* what is no character at all is replaced byte by byte */
	memset(in, 0xff, sizeof(in));
	buf_reset(&out);
	assert_true(mime_charset_decode(
	    SLICE("euc-jp"), slice_of(in, sizeof(in)), &out));
	assert_int_equal(buf_len(&out), 3 * sizeof(in));
	buf_fini(&out);
}

/* --- what is kept --------------------------------------------------------- */

/*
 * A field that names charset after charset, as a hostile one does: each is
 * opened once, however often it comes, or the files of iconv would be loaded
 * three thousand times for one field.
 */
static void
test_kept(void **state)
{
	static const char *const names[] = { "big5", "gbk", "euc-kr", "koi8-r",
		"iso-2022-jp", "iso-2022-kr", "utf-7", "cp1251", "tis-620",
		"iso-8859-7" };
	struct buf field, out;

	(void)state;
	buf_init(&field, 100000);
	buf_init(&out, 100000);
	for (size_t i = 0; i < 3000; i++)
		buf_putf(&field, "=?%s?Q?a?= ", names[i % NELEMS(names)]);
	n_opened = 0;
	mime_words_decode(buf_slice(&field), &out);
	assert_int_equal(buf_len(&out), 3001); /* the last blank stays */
	assert_true(n_opened <= NELEMS(names));
	buf_fini(&field);
	buf_fini(&out);
}

/* Two at a time of one charset don't meet, and what one left half done is not
 * there for the next. */
static void
test_state_is_reset(void **state)
{
	struct slice name = SLICE("iso-2022-jp");
	struct mime_charset a, b;
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_true(mime_charset_open(&a, name));
	mime_charset_feed(&a, SLICE("\x1b$B"), &out);
	assert_true(mime_charset_open(&b, name));
	mime_charset_feed(&b, SLICE("F|"), &out);
	mime_charset_feed(&a, SLICE("F|"), &out);
	mime_charset_close(&b);
	mime_charset_close(&a);
	assert_true(mime_charset_decode(name, SLICE("F|"), &out));
	/* the byte order mark of one says nothing of the next */
	assert_true(mime_charset_decode(SLICE("utf-16"),
	    SLICE("\xff\xfe"
		  "a\0"),
	    &out));
	assert_true(mime_charset_decode(SLICE("utf-16"),
	    SLICE("\xfe\xff\0"
		  "b"),
	    &out));
	assert_string_equal(buf_cstr(&out),
	    "F|\xe6\x97\xa5"
	    "F|ab");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_all_convert),
		cmocka_unit_test(test_charset),
		cmocka_unit_test(test_charset_long),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_state_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
