#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/utf7.h"
#include "maildir/file_name.h"
#include "maildir/name.h"
#include "tests/support/maildir_fixture.h"

/* --- base/utf7 ------------------------------------------------------------ */

static void
utf7_both_ways(void **state)
{
	static const struct {
		const char *utf8, *utf7;
	} cases[] = {
		{ "", "" },
		{ "Sent", "Sent" },
		{ "a&b", "a&-b" },
		{ "&&", "&-&-" },
		{ "R\xc3\xa9sum\xc3\xa9", "R&AOk-sum&AOk-" },
		{ "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
		  "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
		    "~peter/mail/&U,BTFw-/&ZeVnLIqe-" },
		{ "\xf0\x9f\x98\x80", "&2D3eAA-" },
		{ "\xf4\x8f\xbf\xbf", "&2,,f,w-" },
		{ "\n", "&AAo-" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_true(utf8_to_utf7(slice_str(cases[i].utf8), &b));
		assert_string_equal(buf_cstr(&b), cases[i].utf7);
		buf_reset(&b);
		assert_true(utf7_to_utf8(slice_str(cases[i].utf7), &b));
		assert_string_equal(buf_cstr(&b), cases[i].utf8);
		buf_fini(&b);
	}
}

static void
utf7_refuses(void **state)
{
	static const char *const bad[] = { "&", "&A", "&AOk", "&AOk-&AOk-",
		"&AGE-", "&2AA-", "&3AA-", "&AOl-x", "&AO-", "&A/k-", "a\x7f",
		"\xc3\xa9", "a\n", "&AOkA-", "&2D0AYQ-" };
	static const char *const not_utf8[] = { "\x80", "\xc0\x80", "\xc3",
		"\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80", "a\xff" };
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_puts(&b, "kept");
	for (size_t i = 0; i < NELEMS(bad); i++)
		assert_false(utf7_to_utf8(slice_str(bad[i]), &b));
	for (size_t i = 0; i < NELEMS(not_utf8); i++) {
		assert_false(utf8_valid(slice_str(not_utf8[i])));
		assert_false(utf8_to_utf7(slice_str(not_utf8[i]), &b));
	}
	assert_string_equal(buf_cstr(&b), "kept");
	buf_fini(&b);
}

/* --- file names ----------------------------------------------------------- */

static void
file_names_both_ways(void **state)
{
	static const struct {
		const char *name, *base;
		uint32_t flags;
		bool odd;
	} cases[] = {
		{ "1.M2P3.host", "1.M2P3.host", 0, false },
		{ "1.M2P3.host:2,", "1.M2P3.host", 0, false },
		{ "1.M2P3.host,S=7:2,FS", "1.M2P3.host,S=7",
		    MESSAGE_FLAGGED | MESSAGE_SEEN, false },
		{ "1:2,DFPRST", "1", MESSAGE_FLAGS_ALL, false },
		{ "1:2,SFa", "1", MESSAGE_FLAGGED | MESSAGE_SEEN, true },
		{ "1:2,Sab", "1", MESSAGE_SEEN, false },
		{ "1:2,SS", "1", MESSAGE_SEEN, true },
		{ "1:2,S,x", "1", MESSAGE_SEEN, true },
		{ "host:25:2,T", "host:25", MESSAGE_DELETED, false },
		{ "host:25", "host:25", 0, false },
		{ "1:1,S", "1:1,S", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct file_name f;
		struct buf b;

		file_name_parse(slice_str(cases[i].name), false, &f);
		assert_true(slice_eq(f.base, slice_str(cases[i].base)));
		assert_int_equal(place_flags(f.place), cases[i].flags);
		assert_int_equal((f.place & PLACE_ODD) != 0, cases[i].odd);
		buf_init(&b, 1000);
		file_name_put(&b, f.base, f.place, f.odd);
		assert_string_equal(buf_cstr(&b), cases[i].name);
		buf_fini(&b);
	}
}

static void
letters_of_others_stay(void **state)
{
	struct file_name f;
	struct buf b;

	(void)state;
	file_name_parse(SLICE("1:2,zSXa"), false, &f);
	buf_init(&b, 1000);
	file_name_put(&b, f.base,
	    place_with_flags(f.place, MESSAGE_FLAGGED | MESSAGE_DRAFT), f.odd);
	assert_string_equal(buf_cstr(&b), "1:2,DFXaz");
	buf_fini(&b);
}

static void
sizes_in_names(void **state)
{
	uint64_t size = 0;

	(void)state;
	assert_true(file_name_size(SLICE("1.h,S=40"), &size));
	assert_int_equal(size, 40);
	assert_true(file_name_size(SLICE("1.h,W=9,S=41,X"), &size));
	assert_int_equal(size, 41);
	assert_false(file_name_size(SLICE("1.h"), &size));
	assert_false(file_name_size(SLICE("1.h,S="), &size));
	assert_false(
	    file_name_size(SLICE("1.h,S=99999999999999999999999"), &size));
	assert_int_equal(size, 41);
	assert_true(file_name_size(SLICE("1.h,S=281474976710656"), &size));
	assert_false(file_name_size(SLICE("1.h,S=281474976710657"), &size));
	assert_int_equal(size, INT64_C(1) << 48);
}

static void
order_of_arrival(void **state)
{
	static const char *const sorted[] = { "a", "0009.x", "10.M1P5",
		"10.M1P6", "0010.a", "11.A", "100.B",
		"99999999999999999999999999.C" };

	(void)state;
	for (size_t i = 0; i < NELEMS(sorted); i++)
		for (size_t k = 0; k < NELEMS(sorted); k++) {
			int rc = file_name_order(
			    slice_str(sorted[i]), slice_str(sorted[k]));

			/* "0010.a" is the same number, and less in bytes */
			if ((i == 4 || k == 4) && i != k &&
			    (i == 2 || i == 3 || k == 2 || k == 3))
				continue;
			assert_int_equal(
			    (rc > 0) - (rc < 0), (i > k) - (i < k));
		}
}

static void
unique_names(void **state)
{
	struct file_unique u = { 1795329399663, 5, "vm" };
	char *host = file_name_host("a/b:c,d");
	struct buf b;

	(void)state;
	assert_string_equal(host, "a\\057b\\072c\\054d");
	free(host);
	buf_init(&b, 1000);
	file_name_final(&b, &u, 0xfe00, 0xaf2086, 37);
	assert_non_null(strstr(buf_cstr(&b), "1795329399.M663005P"));
	assert_non_null(strstr(
	    buf_cstr(&b), "V000000000000FE00I0000000000AF2086_5.vm,S=37"));
	buf_fini(&b);
}

/* --- names of mailboxes --------------------------------------------------- */

static void
valid_names(void **state)
{
	static const char *const good[] = { "INBOX", "inbox", "INBOX.a",
		"Inbox.a.b", "INBOX.\xc3\xa9", "INBOX.a b&c~" };
	static const char *const bad[] = { "", "Sent", "INBOX.", "INBOX..a",
		"INBOX.a.", "INBOX.a..b", "INBOX.a/b", "INBOX./", "INBOX.a\nb",
		"INBOX.\x7f", "INBOX.\xff", "INBOXa", "../etc", "." };
	char longest[300] = "INBOX.";

	(void)state;
	for (size_t i = 0; i < NELEMS(good); i++)
		assert_true(name_valid(slice_str(good[i])));
	for (size_t i = 0; i < NELEMS(bad); i++)
		assert_false(name_valid(slice_str(bad[i])));
	assert_false(name_valid(slice_of("INBOX.a\0b", 9)));
	memset(longest + 6, 'x', 254);
	assert_true(name_valid(slice_str(longest)));
	longest[260] = 'x';
	assert_false(name_valid(slice_str(longest)));
}

static int
to_dir(int fd, const char *name, char *out)
{
	struct buf b;
	int rc;

	buf_init(&b, 1000);
	rc = name_to_dir(fd, slice_str(name), &b);
	strcpy(out, buf_cstr(&b));
	buf_fini(&b);
	return rc;
}

static void
from_dir(int fd, const char *dir, const char *expected)
{
	struct buf b;

	buf_init(&b, 1000);
	name_put_from_dir(fd, slice_str(dir), &b);
	assert_string_equal(buf_cstr(&b), expected);
	buf_fini(&b);
}

static void
both_spellings_on_disk(void **state)
{
	struct fixture *f = *state;
	char dir[1000];
	int fd;

	assert_int_equal(mkdir(f->path, 0700), 0);
	fd = open(f->path, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_int_equal(to_dir(fd, "INBOX", dir), 0);
	assert_string_equal(dir, "");
	/* an empty tree spells in UTF-8 */
	assert_int_equal(to_dir(fd, "INBOX.\xc3\xa9", dir), ERR_NOT_FOUND);
	assert_string_equal(dir, ".\xc3\xa9");
	assert_int_equal(mkdir(fixture_path(f, ".R&AOk-"), 0700), 0);
	from_dir(fd, ".R&AOk-", "INBOX.R\xc3\xa9");
	assert_int_equal(to_dir(fd, "INBOX.R\xc3\xa9", dir), 0);
	assert_string_equal(dir, ".R&AOk-");
	/* now it is a tree in modified UTF-7 */
	assert_int_equal(to_dir(fd, "INBOX.\xc3\xa9", dir), ERR_NOT_FOUND);
	assert_string_equal(dir, ".&AOk-");
	/* the literal name would be another mailbox's */
	assert_int_equal(to_dir(fd, "INBOX.R&AOk-", dir), ERR_INVALID);
	assert_int_equal(mkdir(fixture_path(f, ".R\xc3\xa9"), 0700), 0);
	assert_int_equal(to_dir(fd, "INBOX.R\xc3\xa9", dir), 0);
	assert_string_equal(dir, ".R\xc3\xa9");
	from_dir(fd, ".R&AOk-", "INBOX.R&AOk-");
	assert_int_equal(to_dir(fd, "INBOX.R&AOk-", dir), 0);
	from_dir(fd, ".a&-b", "INBOX.a&-b");
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf7_both_ways),
		cmocka_unit_test(utf7_refuses),
		cmocka_unit_test(file_names_both_ways),
		cmocka_unit_test(letters_of_others_stay),
		cmocka_unit_test(sizes_in_names),
		cmocka_unit_test(order_of_arrival),
		cmocka_unit_test(unique_names),
		cmocka_unit_test(valid_names),
		cmocka_unit_test_setup_teardown(
		    both_spellings_on_disk, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
