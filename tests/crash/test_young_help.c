/*
 * Messages whose files the disk may not have yet (maildir/young.h): another
 * process sees one before its file has a name, and gives it that.
 */
#include <sys/resource.h>

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/internal.h"
#include "maildir/scan.h"
#include "maildir/young.h"
#include "tests/crash/child.h"
#include "tests/crash/young.h"

static void
look_for_two(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t second = 2;

	scan_distrust(m);
	forget_calls();
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(
	    run_flags(f, m, &second, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	/* it wasn't sure of the log */
	assert_true(first_call(CALL_SYNC, WAL) >= 0 &&
	    first_call(CALL_SYNC, WAL) < first_call(CALL_RENAME, MAIL));
	mailbox_close(&m);
}

/* Another process sees the message before its file has a name. */
static void
another_process_helps(void **state)
{
	struct fixture *f = *state;
	struct append *p;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	p = begin_commit(f, "INBOX", "two");
	hold_syncs(false);
	fixture_elsewhere(f, look_for_two);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	release_syncs(0);
	/* its own rename finds it done */
	assert_int_equal(end_append(f, &p), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
}

/* What other processes have: one has it open already, and one dies before the
 * file of its message has a name, which no event tells of. */
static void
die_half_way(void *arg)
{
	struct fixture *f = arg;
	struct fixture own = *f;

	own.store = NULL;
	fixture_open(&own);
	assert_int_equal(run_append(&own, "INBOX", "two", 0, NULL, NULL), 0);
	(void)begin_commit(&own, "INBOX", "three");
	_exit(0);
}

static void
another_process_dies(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	refresh(f, m);
	assert_true(child_run(die_half_way, f));
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	refresh(f, m);
	assert_listing(m, "1 2 3");
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	text = message_text(m, 3);
	assert_string_equal(text, "three\n");
	free(text);
	mailbox_close(&m);
}

static void
die_with_one(void *arg)
{
	struct fixture own = *(struct fixture *)arg;

	own.store = NULL;
	fixture_open(&own);
	(void)begin_commit(&own, "INBOX", "two");
	_exit(0);
}

/* That between the opening of the account, when there was no such message, and
 * that of the mailbox, whose directories are known to be as they were. */
static void
another_process_dies_in_between(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	f->wall_ms += 60 * 1000;
	scan_distrust(m);
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_true(f->account->none_young);
	assert_true(child_run(die_with_one, f));
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	mailbox_close(&m);
}

/* --- failures ------------------------------------------------------------- */

static int
fail_rename(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "rename") == 0 ? EIO : 0;
}

static void
look_in_vain(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	scan_distrust(m);
	fsx_set_fault(fail_rename);
	refresh(f, m);
	fsx_set_fault(NULL);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	mailbox_close(&m);
}

/* A process looks while another is about to give a message's file its name. */
static void
look_half_way(struct fixture *f, void (*look)(struct fixture *f))
{
	struct mailbox *m;
	struct append *p;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	p = begin_commit(f, "INBOX", "two");
	hold_syncs(false);
	fixture_elsewhere(f, look);
	release_syncs(0);
	assert_int_equal(end_append(f, &p), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* It would give it its name, and can't: it isn't gone for that. */
static void
failed_help_removes_nothing(void **state)
{
	look_half_way(*state, look_in_vain);
}

/* Whether rows can't be read now. */
static bool rows_unread;

int __real_db_step(struct db *db, sqlite3_stmt *s, struct err *e);
int __wrap_db_step(struct db *db, sqlite3_stmt *s, struct err *e);

int
__wrap_db_step(struct db *db, sqlite3_stmt *s, struct err *e)
{
	if (rows_unread && s != NULL && strstr(sqlite3_sql(s), " young "))
		return err_set(e, ERR_SYS, "can't be read");
	return __real_db_step(db, s, e);
}

static int
refresh_without_rows(struct fixture *f, struct mailbox *m)
{
	int rc;

	rows_unread = true;
	rc = try_refresh(f, m, true);
	rows_unread = false;
	return rc;
}

static void
look_without_rows(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	scan_distrust(m);
	assert_int_equal(refresh_without_rows(f, m), ERR_SYS);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	mailbox_close(&m);
}

static void
look_without_descriptors(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct rlimit limit, none;

	mailbox_close_fds(m);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(young_help(m, 2, true, NULL), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	mailbox_close(&m);
}

/* Nor if it doesn't know whether there is a row, */
static void
unread_row_removes_nothing(void **state)
{
	look_half_way(*state, look_without_rows);
}

/* or a file. */
static void
no_descriptor_removes_nothing(void **state)
{
	look_half_way(*state, look_without_descriptors);
}

/* Rows that can't be read when their messages come are read later. */
static void
unread_rows_are_read_again(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_true(child_run(die_half_way, f));
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(refresh_without_rows(f, m), ERR_SYS);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(another_process_helps),
		CASE(another_process_dies),
		CASE(another_process_dies_in_between),
		CASE(failed_help_removes_nothing),
		CASE(unread_row_removes_nothing),
		CASE(no_descriptor_removes_nothing),
		CASE(unread_rows_are_read_again),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
