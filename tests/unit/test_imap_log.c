/*
 * What a session logs when the disk or the database fails: each failure, but
 * not for each of thousands of messages.
 */
#include <unistd.h>

#include "maildir/internal.h"
#include "tests/support/kept_log.h"
#include "tests/support/quiet.h"
#include "tests/unit/imap_fixture.h"

enum { MESSAGES = 40 };

static bool fails;
int __real_db_begin_read(struct db *db, struct err *e);
int __wrap_db_begin_read(struct db *db, struct err *e);

int
__wrap_db_begin_read(struct db *db, struct err *e)
{
	return fails ? err_set(e, ERR_SYS, "as told")
		     : __real_db_begin_read(db, e);
}

static void
fill(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct message_info info;

	for (unsigned k = 0; k < MESSAGES; k++)
		deliver(f, "", "Subject: x\n\nx\n");
	refresh(f, m);
	f->wall_ms += 3 * GRANULARITY_MS;
	refresh(f, m);
	for (uint32_t uid = 1; uid <= MESSAGES; uid++)
		assert_int_equal(mailbox_message_info(m, uid, &info), 0);
	mailbox_close(&m);
}

/* No names were read of the mailbox that is selected. */
static int
setup(void **state)
{
	int rc = imap_setup(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	fixture_elsewhere(f, fill);
	(void)imap_say(f, "s EXAMINE INBOX");
	return 0;
}

/* Whatever of all messages a command asks for: one line. */
static void
names_fail_once(void **state)
{
	static const struct {
		const char *command, *line;
	} cases[] = {
		{ "a SEARCH EMAILID Mx", "reading names" },
		{ "b SEARCH NOT BODY y", "names of messages of INBOX" },
		{ "c FETCH 1:* BODY.PEEK[]", "names of messages of INBOX" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < NELEMS(cases); i++) {
		kept_log_begin();
		fails = true;
		(void)imap_say(f, cases[i].command);
		assert_int_equal(times_logged("imap: "), 1);
		assert_int_equal(times_logged(cases[i].line), 1);
		/* the next command's is another failure */
		(void)imap_say(f, cases[i].command);
		assert_int_equal(times_logged(cases[i].line), 2);
		fails = false;
		quiet_log();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    names_fail_once, setup, imap_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
