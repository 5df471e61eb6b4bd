/* What is kept of a header: fields, base subjects, keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/defs.h"
#include "protocols/imap/base_subject.h"
#include "protocols/imap/casemap.h"
#include "protocols/imap/fields.h"
#include "protocols/imap/keys.h"
#include "protocols/mime/header.h"

/* --- fields --------------------------------------------------------------- */

static const char *const headers[] = {
	"",
	"\n",
	"\r\n",
	"Subject: one\n\n",
	"Subject: one\r\n\r\n",
	"subject : spaced\nSUBJECT:\n\n",
	"From: a\nX-Odd: b\nTo: c\n d\n\te\nX-Odd: f\n g\nCc: h\n\n",
	"From a@b Tue\nno field at all\n continued\nDate: x\n\n",
	" leading\nDate: x\n\n",
	"Subject: cut",
	"Subject: cut\r",
	"Subject: cut\n folded",
	"Subject\n : no\nTo: yes\n\n",
	"Subject: a\rb\n\n",
	": none\nBcc: c\n\n",
	"List-Id: <x>\nList-Post: <y>\nReferences: <1@a>\n <2@b>\n\n",
};

static const struct slice choices[][3] = {
	{ SLICE_INIT("SUBJECT"), SLICE_INIT("to"), SLICE_INIT("Date") },
	{ SLICE_INIT("From"), SLICE_INIT("cc"), SLICE_INIT("Bcc") },
	{ SLICE_INIT("List-Id"), SLICE_INIT("references"),
	    SLICE_INIT("Subject") },
};

/* They are what choosing them from the file gives. */
static void
test_fields(void **state)
{
	struct buf kept, got, want;
	struct mime_filter f;

	(void)state;
	buf_init(&kept, 10000);
	buf_init(&got, 10000);
	buf_init(&want, 10000);
	for (size_t h = 0; h < NELEMS(headers); h++) {
		struct slice header = slice_str(headers[h]);
		bool ended;

		print_message("  %s\n", headers[h]);
		buf_reset(&kept);
		ended = slice_ends(header, SLICE("\n\n")) ||
		    slice_ends(header, SLICE("\r\n\r\n")) ||
		    slice_eq(header, SLICE("\n")) ||
		    slice_eq(header, SLICE("\r\n"));
		assert_true(imap_fields_make(header, ended, &kept));
		for (size_t c = 0; c < NELEMS(choices); c++) {
			uint64_t set = imap_fields_set(choices[c], 3);

			buf_reset(&got);
			buf_reset(&want);
			mime_filter_init(&f, choices[c], 3, false);
			mime_filter_feed(&f, header, &want);
			mime_filter_finish(&f, &want);
			mime_filter_fini(&f);
			imap_fields_put(buf_slice(&kept), set, &got);
			assert_string_equal(buf_cstr(&got), buf_cstr(&want));
			assert_int_equal(imap_fields_len(buf_slice(&kept), set),
			    buf_len(&want));
		}
	}
	buf_fini(&want);
	buf_fini(&got);
	buf_fini(&kept);
}

static void
test_fields_names(void **state)
{
	const struct slice known[] = { SLICE("x-priority"), SLICE("XREF") };
	const struct slice unknown[] = { SLICE("Subject"), SLICE("X-Nobody") };

	(void)state;
	assert_true(imap_fields_set(known, 2) != 0);
	assert_true(imap_fields_set(unknown, 2) == 0);
	assert_true(imap_fields_set(known, 0) == 0);
	assert_int_equal(imap_fields_number(SLICE("suBject")), IMAP_F_SUBJECT);
	assert_int_equal(imap_fields_number(SLICE("")), -1);
}

/* A field that its two bytes of length can't tell. */
static void
test_fields_too_long(void **state)
{
	struct buf header, kept;

	(void)state;
	buf_init(&header, 100000);
	buf_init(&kept, 100000);
	buf_puts(&kept, "before");
	buf_puts(&header, "From: a\nSubject: ");
	for (int i = 0; i < 66000; i++)
		buf_putc(&header, 'x');
	buf_puts(&header, "\n\n");
	assert_false(imap_fields_make(buf_slice(&header), true, &kept));
	assert_string_equal(buf_cstr(&kept), "before");
	buf_fini(&kept);
	buf_fini(&header);
}

/* --- base subjects -------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *subject, *base;
	bool reply;
} subjects[] = {
	{ "", "", false },
	{ "plain", "plain", false },
	{ "  two   blanks\t", "two blanks", false },
	{ "Re: x", "x", true },
	{ "re:x", "x", true },
	{ "RE : x", "x", true },
	{ "Fw: x", "x", true },
	{ "FWD: x", "x", true },
	{ "Re: Fwd: re: x", "x", true },
	{ "Re[2]: x", "x", true },
	{ "Re [list]: x", "x", true },
	{ "[list] x", "x", false },
	{ "[a][b] [c] x", "x", false },
	{ "[list] Re: x", "x", true },
	{ "[a] [b] Re: [c] Re: x", "x", true },
	{ "Re: [list] x", "x", true },
	{ "[only]", "[only]", false },
	{ "[a][only]", "[only]", false },
	{ "[a] [b] ", "[b]", false },
	{ "Re: [only]", "[only]", true },
	{ "Re:", "", true },
	{ "Re: Re:", "", true },
	{ "x (fwd)", "x", true },
	{ "x (FWD)  (fwd)", "x", true },
	{ "(fwd)", "", true },
	{ "x (fwd) y", "x (fwd) y", false },
	{ "[fwd: x]", "x", true },
	{ "[Fwd: Re: [list] x]", "x", true },
	{ "[fwd: [fwd: x]]", "x", true },
	{ "[fwd: x", "[fwd: x", false },
	{ "[fwd:]", "", true },
	{ "Re: [fwd: x (fwd)]", "x", true },
	{ "Re x", "Re x", false },
	{ "Regarding: x", "Regarding: x", false },
	{ "[unclosed x", "[unclosed x", false },
	{ "[a[b] x", "[a[b] x", false },
	{ "] x", "] x", false },
};
/* clang-format on */

static void
test_base_subject(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	for (size_t i = 0; i < NELEMS(subjects); i++) {
		struct slice base;
		bool reply;

		print_message("  %s\n", subjects[i].subject);
		buf_reset(&b);
		imap_subject_blanks(slice_str(subjects[i].subject), &b);
		base = imap_base_subject(buf_slice(&b), &reply);
		assert_true(slice_eq(base, slice_str(subjects[i].base)));
		assert_true(reply == subjects[i].reply);
	}
	buf_fini(&b);
}

/* 64 KiB of what has to be looked at twice if one isn't careful. */
static void
test_base_subject_linear(void **state)
{
	static const char *const pieces[] = { "[a]", "[fwd:", "re:[", "[a]re",
		"(fwd)", "[", "re [x" };
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < NELEMS(pieces); i++) {
		bool reply;

		buf_reset(&b);
		while (buf_len(&b) < 500000)
			buf_puts(&b, pieces[i]);
		(void)imap_base_subject(buf_slice(&b), &reply);
	}
	buf_fini(&b);
}

/* --- keys ----------------------------------------------------------------- */

static void
keep(const char *header, struct buf *kept)
{
	buf_reset(kept);
	assert_true(imap_fields_make(slice_str(header), true, kept));
}

static void
test_texts(void **state)
{
	struct buf kept, key;

	(void)state;
	buf_init(&kept, 10000);
	buf_init(&key, 10000);
	keep("Subject: =?utf-8?q?J=C3=BCr?=\n =?utf-8?q?gen?= x\n"
	     "To: a@b\nTo: c@d\n\n",
	    &kept);
	imap_key_text(buf_slice(&kept), IMAP_F_SUBJECT, &key);
	assert_true(slice_eq(buf_slice(&key), SLICE(" JU\xcc\x88RGEN X\0")));
	buf_reset(&key);
	imap_key_text(buf_slice(&kept), IMAP_F_TO, &key);
	assert_true(slice_eq(buf_slice(&key), SLICE(" A@B\0 C@D\0")));
	buf_reset(&key);
	imap_key_text(buf_slice(&kept), IMAP_F_CC, &key);
	assert_int_equal(buf_len(&key), 0);
	buf_reset(&key);
	keep("Subject: =?utf-8?q?Re=3A?= [x] \xc3\x84\n\n", &kept);
	imap_key_base(buf_slice(&kept), &key);
	assert_true(slice_eq(buf_slice(&key), SLICE("\1A\xcc\x88")));
	buf_fini(&key);
	buf_fini(&kept);
}

static void
test_dates(void **state)
{
	struct buf kept, key;
	int64_t s;
	int32_t days;

	(void)state;
	buf_init(&kept, 10000);
	buf_init(&key, 10000);
	keep("Date: Thu, 1 Jan 1970 23:30:00 -0100\n\n", &kept);
	imap_key_date(buf_slice(&kept), &key);
	assert_true(imap_key_date_get(buf_slice(&key), &s, &days));
	assert_int_equal(s, 88200);
	assert_int_equal(days, 0);
	buf_reset(&key);
	keep("Date: Wed, 31 Dec 1969 00:00:00 +0000\n\n", &kept);
	imap_key_date(buf_slice(&kept), &key);
	assert_true(imap_key_date_get(buf_slice(&key), &s, &days));
	assert_int_equal(s, -86400);
	assert_int_equal(days, -1);
	buf_reset(&key);
	keep("Date: tomorrow\n\n", &kept);
	imap_key_date(buf_slice(&kept), &key);
	assert_false(imap_key_date_get(buf_slice(&key), &s, &days));
	buf_fini(&key);
	buf_fini(&kept);
}

static void
check_address(
    const struct buf *key, enum imap_key_address which, const char *want)
{
	assert_true(
	    slice_eq(imap_key_address(buf_slice(key), which), slice_str(want)));
}

static void
test_addresses(void **state)
{
	struct buf kept, key;

	(void)state;
	buf_init(&kept, 10000);
	buf_init(&key, 10000);
	keep("From: =?utf-8?q?J=C3=BCrgen?= <jk@example.org>, x@y\n"
	     "To: friends: a@b;\n\n",
	    &kept);
	imap_key_addresses(buf_slice(&kept), &key);
	check_address(&key, IMAP_KEY_FROM, "JK");
	check_address(&key, IMAP_KEY_DISPLAYFROM, "JU\xcc\x88RGEN");
	check_address(&key, IMAP_KEY_TO, "FRIENDS");
	check_address(&key, IMAP_KEY_DISPLAYTO, "FRIENDS");
	check_address(&key, IMAP_KEY_CC, "");
	buf_reset(&key);
	keep("From: b@example.org\n\n", &kept);
	imap_key_addresses(buf_slice(&kept), &key);
	check_address(&key, IMAP_KEY_DISPLAYFROM, "B@EXAMPLE.ORG");
	check_address(&key, IMAP_KEY_DISPLAYTO, "");
	buf_fini(&key);
	buf_fini(&kept);
}

static void
test_thread_ids(void **state)
{
	struct buf kept, key, one;

	(void)state;
	buf_init(&kept, 100000);
	buf_init(&key, 100000);
	buf_init(&one, 100000);
	keep("Message-ID: <\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>\n"
	     "References: <1@a> <2@b>\nIn-Reply-To: <3@c>\n\n",
	    &kept);
	imap_key_thread(buf_slice(&kept), &key);
	assert_int_equal(buf_len(&key), 24);
	keep("Message-ID: <01KF8JCEOCBS0045PS@xxx.yyy.com>\n"
	     "References: none\nIn-Reply-To: <2@b> <3@c>\n\n",
	    &kept);
	imap_key_thread(buf_slice(&kept), &one);
	assert_int_equal(buf_len(&one), 16);
	/* RFC 5256 3: quoting doesn't matter */
	assert_true(
	    imap_key_id(buf_slice(&key), 0) == imap_key_id(buf_slice(&one), 0));
	assert_true(
	    imap_key_id(buf_slice(&key), 2) == imap_key_id(buf_slice(&one), 1));
	assert_true(
	    imap_key_id(buf_slice(&key), 1) != imap_key_id(buf_slice(&key), 2));
	buf_reset(&one);
	keep("Subject: x\n\n", &kept);
	imap_key_thread(buf_slice(&kept), &one);
	assert_true(imap_key_id(buf_slice(&one), 0) == 0);
	assert_int_equal(buf_len(&one), 8);
	/* too many: the last ones count */
	buf_reset(&one);
	buf_reset(&kept);
	{
		struct buf h;

		buf_init(&h, 100000);
		buf_puts(&h, "References:");
		for (int i = 0; i < 1500; i++)
			buf_putf(&h, " <%d@a>", i);
		buf_puts(&h, " <2@b>\n\n");
		keep(buf_cstr(&h), &kept);
		buf_fini(&h);
	}
	imap_key_thread(buf_slice(&kept), &one);
	assert_int_equal(buf_len(&one), 8 + 8 * IMAP_KEY_REFERENCES_MAX);
	assert_true(imap_key_id(buf_slice(&one), IMAP_KEY_REFERENCES_MAX) ==
	    imap_key_id(buf_slice(&key), 2));
	buf_fini(&one);
	buf_fini(&key);
	buf_fini(&kept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_fields_names),
		cmocka_unit_test(test_fields_too_long),
		cmocka_unit_test(test_base_subject),
		cmocka_unit_test(test_base_subject_linear),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_thread_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
