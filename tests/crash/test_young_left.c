/*
 * Messages whose files the disk may not have yet (maildir/young.h): what
 * becomes of them when a sync of the disk fails, or a process or the power
 * goes.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "maildir/scan.h"
#include "maildir/young.h"
#include "tests/crash/child.h"
#include "tests/crash/script.h"
#include "tests/crash/young.h"

/* --- a sync of the disk fails --------------------------------------------- */

/* After a sync of the disk that failed each file is written anew, and until
 * then no later sync of the disk is believed. */
static void
failed_disk_is_looked_at(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid[40] = { 0 };
	char *text;

	for (size_t i = 0; i < NELEMS(uid); i++)
		assert_int_equal(
		    run_append(f, "INBOX", "text\n", 0, NULL, &uid[i]), 0);
	refresh(f, m);
	fail_disk_sync(f, EIO);
	assert_int_equal(count_rows(f), NELEMS(uid));
	/* what the kernel couldn't write it may have forgotten */
	assert_int_equal(
	    truncate(fixture_path(f, message_path(m, uid[35])), 2), 0);
	expect_synced_before(f, "not young");
	forget_calls();
	ticks(f, 2);
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(count_calls(CALL_SYNC, DISK), 0);
	assert_true(count_calls(CALL_SYNC, MAIL) >= (int)NELEMS(uid));
	text = message_text(m, uid[35]);
	assert_string_equal(text, "text\n");
	free(text);
	forget_calls();
	assert_int_equal(run_append(f, "INBOX", "young", 0, NULL, NULL), 0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 0);
	mailbox_close(&m);
}

/* The database goes: the disk is synced by a thread, and nobody waits. */
static void
lost_database_syncs_in_a_thread(void **state)
{
	struct fixture *f = *state;
	struct append *p;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	p = begin_commit(f, "INBOX", "two");
	assert_int_equal(unlink(fixture_path(f, "postern.db")), 0);
	assert_int_equal(unlink(fixture_path(f, "postern.db-wal")), 0);
	ticks(f, 1);
	forget_calls();
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(count_calls(CALL_SYNC, DISK), 0);
	assert_true(held_syncs() > 0);
	release_syncs(0);
	hold_syncs(false);
	/* one was under way */
	assert_int_equal(count_calls(CALL_SYNC, DISK), 2);
	assert_int_equal(end_append(f, &p), ERR_SYS);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

/* A mailbox can't be opened for want of a descriptor: that says nothing of the
 * database, nor of messages that wait for it. */
static void
unopened_mailbox_fails_alone(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, low;
	struct mailbox *m;
	struct append *p;
	int fd, rc;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	make_maildir(fixture_path(f, ".a"), 0700, 0700);
	p = begin_commit(f, "INBOX", "two");
	fd = dup(0);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	m = try_open(f, "INBOX.a", &rc);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_null(m);
	assert_int_equal(rc, ERR_TEMPORARY);
	release_syncs(0);
	hold_syncs(false);
	assert_int_equal(end_append(f, &p), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
}

/* One whose file was written before, and which came into the mailbox after. */
static void
failed_disk_counts_for_the_next(void **state)
{
	struct fixture *f = *state;
	struct append *p;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	p = begin_append(f, "INBOX", "two");
	hold_syncs(true);
	assert_int_equal(
	    step_append(f, p, (struct waker){ 0 }), STEP_WAIT_SYNC);
	release_syncs(0);
	hold_syncs(false);
	fail_disk_sync(f, EIO);
	ticks(f, 2);
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(end_append(f, &p), 0);
	assert_true(f->account->young_doubt);
	forget_calls();
	ticks(f, 1);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 1);
	assert_int_equal(count_calls(CALL_SYNC, DISK), 0);
	assert_int_equal(count_rows(f), 0);
}

/* Who closes in doubt leaves all to who opens next. */
static void
closing_in_doubt_keeps(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	char *text;

	assert_int_equal(run_append(f, "INBOX", "one\n", 0, NULL, NULL), 0);
	fail_disk_sync(f, EIO);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(truncate(fixture_path(f, message_path(m, 1)), 1), 0);
	mailbox_close(&m);
	account_close_db(f->account);
	m = open_mailbox(f, "INBOX");
	text = message_text(m, 1);
	assert_string_equal(text, "one\n");
	free(text);
	assert_int_equal(count_rows(f), 0);
	mailbox_close(&m);
}

/* --- a process, or the power, goes ---------------------------------------- */

/* The one that is being added isn't acknowledged, and may come. */
static void
append_half(struct fixture *f)
{
	assert_int_equal(run_append(f, "INBOX", "whole", 0, NULL, NULL), 0);
	(void)begin_commit(f, "INBOX", "half");
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
}

static void
find_half(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	assert_int_equal(count_rows(f), 0);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

static void
killed_before_its_name(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, append_half, find_half);
}

/* What the disk doesn't have after a loss of power comes from the log. */
static void
power_goes(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, damage_files, expect_texts);
}

static void
remove_second(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid = 2;

	append_three(f);
	refresh(f, m);
	assert_int_equal(run_remove(f, m, &uid, 1), 1);
	assert_int_equal(count_rows(f), 3);
	age_boot(f);
}

static void
expect_first_and_third(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_listing(m, "1 3");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	assert_int_equal(count_rows(f), 0);
}

/* One that was expunged stays so. */
static void
expunged_stays_expunged(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, remove_second, expect_first_and_third);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(failed_disk_is_looked_at),
		CASE(lost_database_syncs_in_a_thread),
		CASE(unopened_mailbox_fails_alone),
		CASE(failed_disk_counts_for_the_next),
		CASE(closing_in_doubt_keeps),
		CASE(killed_before_its_name),
		CASE(power_goes),
		CASE(expunged_stays_expunged),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
