#include <sys/stat.h>

#include <unistd.h>

#include "base/mem.h"
#include "tests/support/maildir_fixture.h"

static void
new_mail_gets_uids_in_order(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_listing(m, "");
	deliver(f, "", "one\n");
	deliver(f, "", "two\n");
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_string_equal(message_text(m, 2), "two\n");
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	deliver(f, "", "three\n");
	refresh(f, m);
	assert_listing(m, "1 2 3");
	mailbox_close(&m);
}

static void
uids_survive_reopening(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t validity, uids[] = { 1 };

	deliver(f, "", "one\n");
	deliver(f, "", "two\n");
	refresh(f, m);
	validity = mailbox_uidvalidity(m);
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_SEEN, "$Label1"), 0);
	assert_listing(m, "1:S($Label1) 2");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "inbox");
	assert_int_equal(mailbox_uidvalidity(m), validity);
	refresh(f, m);
	assert_listing(m, "1:S($Label1) 2");
	mailbox_close(&m);
}

static void
everything_once(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *sent;
	uint32_t uid, to[2], all[] = { 1, 2 };

	refresh(f, m);
	assert_int_equal(
	    run_append(f, "INBOX", "a\r\nb", MESSAGE_SEEN, "kw", &uid), 0);
	assert_int_equal(uid, 1);
	assert_listing(m, "1:S(kw)");
	assert_string_equal(message_text(m, 1), "a\nb\n");
	assert_int_equal(
	    account_create(f->account, SLICE("INBOX.Sent"), NULL), 0);
	deliver(f, "", "two\n");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, all, 2, "INBOX.Sent", false, to), 0);
	assert_int_equal(to[1], 2);
	sent = open_mailbox(f, "INBOX.Sent");
	refresh(f, sent);
	assert_listing(sent, "1:S(kw) 2");
	assert_int_equal(run_copy(f, sent, all, 1, "INBOX", true, to), 0);
	assert_listing(sent, "2");
	assert_listing(m, "1:S(kw) 2 3:S(kw)");
	assert_int_equal(
	    run_flags(f, m, all, 2, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 2);
	assert_listing(m, "3:S(kw)");
	refresh(f, m);
	assert_listing(m, "3:S(kw)");
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	mailbox_close(&sent);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(new_mail_gets_uids_in_order),
		CASE(uids_survive_reopening),
		CASE(everything_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
