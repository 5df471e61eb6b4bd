/* The lists of other servers: their parsers. */
#include <string.h>

#include "base/log.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

static const char *
uids_text(const struct foreign_uids *u)
{
	static char text[4096];
	size_t at = (size_t)sprintf(text, "%u %u", u->uidvalidity, u->uidnext);

	for (size_t i = 0; i < u->n; i++) {
		at += (size_t)sprintf(text + at, " %u:%.*s", u->v[i].uid,
		    SLICE_ARG(u->v[i].base));
		if (u->v[i].uidl.n != 0)
			at += (size_t)sprintf(
			    text + at, "(P%.*s)", SLICE_ARG(u->v[i].uidl));
		if (u->v[i].order != 0)
			at +=
			    (size_t)sprintf(text + at, "(O%u)", u->v[i].order);
	}
	return text;
}

static void
parses_lists_of_uids(void **state)
{
	static const struct {
		bool dovecot;
		const char *file, *expected; /* NULL: not one */
	} cases[] = {
		{ false, "1 77 9\n1 a,S=4\n3 b\n", "77 9 1:a,S=4 3:b" },
		/* an info part, an unfinished line, UIDs that can't be */
		{ false, "1 77 9\n1 a:2,S\n1 b\n9 c\n8 d\n4 x",
		    "77 9 1:a 8:d" },
		/* no way out of the Maildir */
		{ false, "1 77 9\n1 ../a\n2 .a\n3 a/b\n4 \n5 ok\n",
		    "77 9 5:ok" },
		/* a name twice */
		{ false, "1 77 9\n1 a\n2 b\n5 a:2,S\n", "77 9 2:b 5:a" },
		{ false, "2 77 9\n1 a\n", NULL },
		{ false, "1 0 9\n1 a\n", NULL },
		{ false, "1 77\n1 a\n", NULL },
		{ false, "1 77 9", NULL },
		{ false, "", NULL },
		{ true, "3 V77 N9 Gabc\n1 :a\n3 W5 S4 :b:2,FS\n",
		    "77 9 1:a 3:b" },
		{ true, "3 N9 V77\n1 PUID5-6 Gxy :a\n2 O4 Pabc :b\n",
		    "77 9 1:a(PUID5-6) 2:b(Pabc)(O4)" },
		/* a unique-id that is the name */
		{ true, "3 V77 N9\n1 P :a,S=4\n", "77 9 1:a,S=4(Pa,S=4)" },
		/* appended lines, the later one of a name counts */
		{ true, "3 V77 N3\n1 :a\n2 :b\n3 :c\n4 :a\n",
		    "77 5 2:b 3:c 4:a" },
		{ true, "3 V77 N3\n1 a\nx :b\n2 :\n2 :c\n", "77 3 2:c" },
		{ true, "1 77 9\n1 a\n3 b\n", "77 9 1:a 3:b" },
		{ true, "3 V77\n1 :a\n", NULL },
		{ true, "2 V77 N3\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct foreign_uids u = { 0 };
		struct slice s = slice_str(cases[i].file);
		bool ok = cases[i].dovecot ? dovecot_uids_parse(s, &u)
					   : courier_uids_parse(s, &u);

		assert_int_equal(ok, cases[i].expected != NULL);
		if (ok)
			assert_string_equal(uids_text(&u), cases[i].expected);
		foreign_uids_fini(&u);
	}
}

static void
parses_sizelists(void **state)
{
	static const char v3[] = "/3 4 1795\n"
				 "17.M1P1.host,S=40:2,S 40 1:1796:0\n"
				 "with blank:2, 41 0:0:1\n"
				 "short 2\n";
	struct foreign_sizelist l;

	(void)state;
	assert_true(courier_sizelist_parse(slice_str(v3), &l));
	assert_int_equal(l.version, 3);
	assert_int_equal(l.next, 4);
	assert_int_equal(l.uidvalidity, 1795);
	assert_int_equal(l.n, 2);
	assert_true(slice_eq(l.v[0].base, SLICE("17.M1P1.host,S=40")));
	assert_int_equal(l.v[0].size, 40);
	assert_int_equal(l.v[0].n, 1);
	assert_int_equal(l.v[0].uidvalidity, 1796);
	assert_int_equal(l.v[0].utf8, UTF8_NO);
	assert_true(slice_eq(l.v[1].base, SLICE("with blank")));
	assert_int_equal(l.v[1].n, 0);
	assert_int_equal(l.v[1].utf8, UTF8_YES);
	foreign_sizelist_fini(&l);
	assert_false(courier_sizelist_parse(SLICE("/4 4 1795\n"), &l));
	assert_false(courier_sizelist_parse(SLICE("/3 4\n"), &l));
	assert_false(courier_sizelist_parse(SLICE(""), &l));
}

static void
makes_dovecot_unique_ids(void **state)
{
	static const struct {
		const char *format, *expected;
	} cases[] = {
		{ "%08Xu%08Xv", "000000012f67c376" },
		{ "%{uid | hex(8)}%{uidvalidity | hex(8)}",
		    "000000012f67c376" },
		{ "UID%u-%v", "UID1-795329398" },
		{ "%v.%u", "795329398.1" },
		{ "%f", "17.M1.host" },
		{ "%g", "guid-1" },
		{ "%{guid}%%", "guid-1%" },
		{ "%5u", NULL }, /* a blank can't be in it */
		{ "%m", NULL },
		{ "%{md5}", NULL },
		{ "%{uid", NULL },
		{ "%", NULL },
		{ "", NULL },
		{ "%99u", NULL },
	};
	const struct foreign_uid u = {
		.uid = 1, .base = SLICE("17.M1.host"), .guid = SLICE("guid-1")
	};
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		bool ok;

		buf_reset(&out);
		ok = dovecot_uidl_format(
		    &out, slice_str(cases[i].format), &u, 795329398);
		assert_int_equal(ok, cases[i].expected != NULL);
		if (ok)
			assert_string_equal(buf_cstr(&out), cases[i].expected);
		else
			assert_int_equal(buf_len(&out), 0);
	}
	buf_fini(&out);
}

static void
parses_courier_unique_ids(void **state)
{
	uint32_t n, v;

	(void)state;
	assert_true(courier_uidl_parse(SLICE("UID5-6"), &n, &v));
	assert_int_equal(n, 5);
	assert_int_equal(v, 6);
	assert_true(courier_uidl_parse(SLICE("UID7"), &n, &v));
	assert_int_equal(n, 7);
	assert_int_equal(v, 0);
	/* not what would be written back as the same text */
	assert_false(courier_uidl_parse(SLICE("UID05-6"), &n, &v));
	assert_false(courier_uidl_parse(SLICE("UID5-06"), &n, &v));
	assert_false(courier_uidl_parse(SLICE("UID0-6"), &n, &v));
	assert_false(courier_uidl_parse(SLICE("UID5-"), &n, &v));
	assert_false(courier_uidl_parse(SLICE("UID5-6-7"), &n, &v));
	assert_false(courier_uidl_parse(SLICE("uid5-6"), &n, &v));
}

static void
parses_subscriptions(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	dovecot_subscriptions_parse(
	    SLICE("INBOX\nR&AOk-sum&AOk-\nA.B\nunfinished"), &out);
	assert_string_equal(
	    buf_cstr(&out), "INBOX\nR\xc3\xa9sum\xc3\xa9\nA.B\n");
	buf_reset(&out);
	dovecot_subscriptions_parse(
	    SLICE("V\t2\n\nA\tB\nR&AOk-\tc\nx\001ny\nz\0011\n"), &out);
	assert_string_equal(buf_cstr(&out), "A.B\nR\xc3\xa9.c\nz\001\n");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_lists_of_uids),
		cmocka_unit_test(parses_sizelists),
		cmocka_unit_test(makes_dovecot_unique_ids),
		cmocka_unit_test(parses_courier_unique_ids),
		cmocka_unit_test(parses_subscriptions),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
