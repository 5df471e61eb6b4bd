/*
 * How what is left of young messages is mended (maildir/young_mend.c): by a
 * thread, when there is room, for others, and wherever their files are.
 */
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

static int failing;

/* --- what can't be mended now --------------------------------------------- */

static int
fail_create(const char *call, const char *path)
{
	return strcmp(call, "create") == 0 && path[0] >= '0' && path[0] <= '9'
	    ? failing
	    : 0;
}

static void
expect_text(struct mailbox *m, uint32_t uid, const char *expected)
{
	char *text = message_text(m, uid);

	assert_string_equal(text, expected);
	free(text);
}

/* Its user may read and remove mail all the same; it is whole, or not there for
 * others, and is mended when there is room. */
static void
have_no_room(struct fixture *f)
{
	const uint32_t one = 1, two = 2;
	struct mailbox *m;

	failing = ENOSPC;
	fsx_set_fault(fail_create);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(count_rows(f), 3);
	scan_distrust(m);
	refresh(f, m);
	scan_distrust(m);
	refresh(f, m);
	assert_listing(m, "1 2:S 3");
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	expect_text(m, 1, "one\n");
	expect_text(m, 3, "three\n");
	assert_int_equal(
	    run_flags(f, m, &one, 1, FLAGS_ADD, MESSAGE_FLAGGED, NULL), 0);
	assert_int_equal(run_remove(f, m, &two, 1), 1);
	refresh(f, m);
	assert_listing(m, "1:F 3");
	/* nothing of it is made another message */
	assert_int_equal(
	    mailbox_message_info(m, 1, &(struct message_info){ 0 }), 0);
	assert_int_equal(
	    mailbox_message_link(m, 1, f->account->root_fd, "x", &failing),
	    ERR_BUSY);
	ticks(f, 40);
	assert_int_equal(count_rows(f), 2);

	fsx_set_fault(NULL);
	ticks(f, 31);
	assert_int_equal(count_rows(f), 0);
	refresh(f, m);
	assert_listing(m, "1:F 3");
	expect_text(m, 1, "one\n");
	expect_text(m, 3, "three\n");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	mailbox_close(&m);
}

static void
full_disk_keeps_them(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	lives(f, damage_files);
	fixture_open(f);
	have_no_room(f);
}

/* --- nobody waits --------------------------------------------------------- */

static void
leave_three(struct fixture *f)
{
	append_three(f);
}

/* What a process left is synced by a thread. */
static void
mend_in_a_thread(struct fixture *f)
{
	struct mailbox *m;

	hold_syncs(true);
	forget_calls();
	m = open_mailbox(f, "INBOX");
	assert_true(held_syncs() > 0);
	assert_int_equal(count_calls(CALL_SYNC, ANY), 0);
	assert_int_equal(count_calls(CALL_CREATE, MAIL), 0);
	hold_syncs(false);
	release_syncs(0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 3);
	expect_texts(f);
	mailbox_close(&m);
}

static void
killed_is_mended_by_a_thread(void **state)
{
	struct fixture *f = *state;

	close_noted(f);
	lives(f, leave_three);
	fixture_open(f);
	mend_in_a_thread(f);
}

/* After a loss of power whoever comes has to wait, but not all others. */
static void
wait_for_a_thread(struct fixture *f)
{
	hold_syncs(true);
	forget_calls();
	assert_int_equal(account_open(f->account, NULL), ERR_BUSY);
	assert_int_equal(account_open(f->account, NULL), ERR_BUSY);
	assert_int_equal(count_calls(CALL_SYNC, ANY), 0);
	while (held_syncs() > 0)
		release_syncs(0);
	hold_syncs(false);
	assert_int_equal(count_calls(CALL_CREATE, MAIL), 3);
	expect_texts(f);
}

static void
power_is_mended_by_a_thread(void **state)
{
	struct fixture *f = *state;

	close_noted(f);
	lives(f, damage_files);
	fixture_open(f);
	wait_for_a_thread(f);
}

static void
failed_disk_is_mended_by_a_thread(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_append(f, "INBOX", "one\n", 0, NULL, NULL), 0);
	fail_disk_sync(f, EIO);
	hold_syncs(true);
	forget_calls();
	ticks(f, 3);
	assert_int_equal(count_calls(CALL_SYNC, ANY), 0);
	assert_int_equal(held_syncs(), 1);
	hold_syncs(false);
	release_syncs(0);
	assert_int_equal(count_rows(f), 0);
}

/* Somebody expunges it, or flags it, before the file that was written anew has
 * its name. */
static void
changes_go_first(void **state)
{
	struct fixture *f = *state;
	const uint32_t one = 1, two = 2;
	struct mailbox *m;

	append_three(f);
	fail_disk_sync(f, EIO);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	hold_syncs(true);
	ticks(f, 1);
	assert_int_equal(held_syncs(), 1);
	assert_int_equal(run_remove(f, m, &one, 1), 1);
	assert_int_equal(
	    run_flags(f, m, &two, 1, FLAGS_ADD, MESSAGE_FLAGGED, NULL), 0);
	hold_syncs(false);
	release_syncs(0);
	ticks(f, 40);
	assert_int_equal(count_rows(f), 0);
	refresh(f, m);
	assert_listing(m, "2:FS 3");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	mailbox_close(&m);
}

/* --- of other processes --------------------------------------------------- */

static void
die_with_one(void *arg)
{
	struct fixture own = *(struct fixture *)arg;

	own.store = NULL;
	fixture_open(&own);
	assert_int_equal(run_append(&own, "INBOX", "two", 0, NULL, NULL), 0);
	_exit(0);
}

/* Its rows are taken over by whoever has the account open. */
static void
rows_are_taken_over(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_true(child_run(die_with_one, f));
	refresh(f, m);
	assert_listing(m, "1");
	ticks(f, 9);
	/* it might live */
	assert_int_equal(count_rows(f), 1);
	forget_calls();
	ticks(f, 2);
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 1);
	assert_true(first_call(CALL_SYNC, WAL) < first_call(CALL_RENAME, MAIL));
	mailbox_close(&m);
}

/* --- a mailbox that the power takes, or brings back ----------------------- */

static void
append_to_t(struct fixture *f, bool short_file)
{
	struct mailbox *m;
	char *path;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(run_append(f, "INBOX.t", "one\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, "INBOX.t");
	refresh(f, m);
	path = mem_printf(".t/%s", message_path(m, 1));
	if (short_file)
		assert_int_equal(truncate(fixture_path(f, path), 2), 0);
	free(path);
	mailbox_close(&m);
	age_boot(f);
}

static void
move_t(struct fixture *f, const char *to)
{
	char *from = mem_strdup(fixture_path(f, ".t"));

	assert_int_equal(rename(from, fixture_path(f, to)), 0);
	free(from);
}

/* The directory was renamed, and the index isn't told so any more. */
static void
rename_half(struct fixture *f)
{
	append_to_t(f, true);
	move_t(f, ".u");
}

static void
find_in_u(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX.u");

	refresh(f, m);
	assert_listing(m, "1");
	expect_text(m, 1, "one\n");
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(access(fixture_path(f, ".t"), F_OK), -1);
}

static void
renamed_is_found(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, rename_half, find_in_u);
}

/* Nor does the new name have the file. */
static void
lose_t(struct fixture *f)
{
	append_to_t(f, false);
	remove_tree(fixture_path(f, ".t"));
}

static void
find_in_t(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX.t");

	refresh(f, m);
	assert_listing(m, "1");
	expect_text(m, 1, "one\n");
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(access(fixture_path(f, ".t/maildirfolder"), F_OK), 0);
}

static void
lost_mailbox_is_made_again(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, lose_t, find_in_t);
}

/* A mailbox has one name, be its index and its directory of different minds:
 * that of the directory. */
static void
lose_file_of_two(struct fixture *f)
{
	struct mailbox *m;
	char *path;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	(void)deliver(f, ".t/", "zero\n");
	m = open_mailbox(f, "INBOX.t");
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX.t", "one\n", 0, NULL, NULL), 0);
	path = mem_printf(".t/%s", message_path(m, 2));
	assert_int_equal(unlink(fixture_path(f, path)), 0);
	free(path);
	mailbox_close(&m);
}

static void
index_knows_no_rename(struct fixture *f)
{
	lose_file_of_two(f);
	age_boot(f);
	move_t(f, ".u");
}

static void
index_alone_knows_rename(struct fixture *f)
{
	char *from;

	lose_file_of_two(f);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.t"), SLICE("INBOX.s")), 0);
	age_boot(f);
	from = mem_strdup(fixture_path(f, ".s"));
	assert_int_equal(rename(from, fixture_path(f, ".u")), 0);
	free(from);
}

static void
find_both_in_u(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX.u");

	assert_int_equal(count_rows(f), 0);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(count_files(fixture_path(f, ".u/cur")), 2);
	assert_int_equal(access(fixture_path(f, ".t"), F_OK), -1);
	assert_int_equal(access(fixture_path(f, ".s"), F_OK), -1);
	mailbox_close(&m);
}

static void
renamed_mailbox_has_one_name(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, index_knows_no_rename, find_both_in_u);
	remove_tree(f->path);
	fixture_reopen(f);
	live_one_by_one(f, index_alone_knows_rename, find_both_in_u);
}

/* It was deleted, which its directory doesn't know any more. */
static void
delete_half(struct fixture *f)
{
	char *away = mem_strdup(fixture_path(f, "away"));

	append_to_t(f, true);
	move_t(f, "away");
	assert_int_equal(mkdir(fixture_path(f, ".t"), 0700), 0);
	assert_int_equal(mkdir(fixture_path(f, ".t/cur"), 0700), 0);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(count_rows(f), 1);
	assert_int_equal(rename(away, fixture_path(f, ".t")), 0);
	free(away);
}

static void
deleted_is_whole_again(void **state)
{
	struct fixture *f = *state;

	live_one_by_one(f, delete_half, find_in_t);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(full_disk_keeps_them),
		CASE(killed_is_mended_by_a_thread),
		CASE(power_is_mended_by_a_thread),
		CASE(failed_disk_is_mended_by_a_thread),
		CASE(changes_go_first),
		CASE(rows_are_taken_over),
		CASE(renamed_is_found),
		CASE(lost_mailbox_is_made_again),
		CASE(renamed_mailbox_has_one_name),
		CASE(deleted_is_whole_again),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
