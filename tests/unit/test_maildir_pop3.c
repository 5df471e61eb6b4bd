/*
 * POP3's drop listing: unique-ids that stay, and those that Courier gave.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maildir/mailbox.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"

static void
pop3_ids_stay(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct pop3_entry *v;
	char id[72];
	size_t n;

	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 0);
	free(v);
	put_cur(f, "20.a", "a\nb");
	put_cur(f, "3.b", "a\r\nb\n");
	refresh(f, m);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(v[0].uid, 1);
	/* 3.b came first; a CRLF is left alone */
	assert_int_equal(v[0].size, 6);
	/* with the line end that RETR adds */
	assert_int_equal(v[1].size, 6);
	(void)snprintf(id, sizeof(id), "UID1-%u", mailbox_uidvalidity(m));
	assert_string_equal(v[0].unique_id, id);
	free(v);
	assert_int_equal(run_remove(f, m, (const uint32_t[]){ 1 }, 1), 1);
	put_cur(f, "1.c", "");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(v[0].uid, 3);
	(void)snprintf(id, sizeof(id), "UID3-%u", mailbox_uidvalidity(m));
	assert_string_equal(v[0].unique_id, id);
	(void)snprintf(id, sizeof(id), "UID2-%u", mailbox_uidvalidity(m));
	assert_string_equal(v[1].unique_id, id);
	free(v);
	mailbox_close(&m);
}

static void
pop3_imports(void **state, const char *file, const char *one, const char *two,
    const char *three, uint64_t size)
{
	struct fixture *f = *state;
	struct pop3_entry *v;
	struct mailbox *m;
	size_t n;

	m = open_mailbox(f, "INBOX");
	mailbox_close(&m);
	put_cur(f, "1.M1P1.host,S=2:2,S", "x\n");
	put_cur(f, "2.M'1+P1.host:2,", "y\n");
	put_cur(f, "3.M1P1.host:2,", "z\n");
	write_file(fixture_path(f, "courierpop3dsizelist"), file);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(v[0].size, size);
	assert_string_equal(v[0].unique_id, one);
	assert_memory_equal(v[1].unique_id, two, strlen(two));
	assert_memory_equal(v[2].unique_id, three, strlen(three));
	free(v);
	mailbox_close(&m);
}

static void
pop3_imports_version_0(void **state)
{
	pop3_imports(state, "1.M1P1.host,S=2:2, 40\n2.M'1+P1.host:2, 3\n",
	    "1.M1P1.host,S=2", "2.M+271+2BP1.host", "UID1-", 3);
}

static void
pop3_imports_version_1(void **state)
{
	pop3_imports(state, "/1 9\n1.M1P1.host,S=2:2, 40 5\n", "UID5", "UID9-",
	    "UID10-", 3);
}

static void
pop3_imports_version_2(void **state)
{
	pop3_imports(state,
	    "/2 9 777\n1.M1P1.host,S=2:2, 40 5:776\n2.M'1+P1.host:2, 3 6:0\n",
	    "UID5-776", "UID6", "UID9-777", 3);
}

static void
pop3_imports_version_3(void **state)
{
	pop3_imports(state,
	    "/3 9 777\n1.M1P1.host,S=2:2, 40 5:776:0\n"
	    "2.M'1+P1.host:2, 3 0:0:1\nno such:2, 1 8:777:0\nrubbish\n",
	    "UID5-776", "2.M+271+2BP1.host", "UID9-777", 3);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(pop3_ids_stay),
		CASE(pop3_imports_version_0),
		CASE(pop3_imports_version_1),
		CASE(pop3_imports_version_2),
		CASE(pop3_imports_version_3),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
