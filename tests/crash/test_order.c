/*
 * What must be on disk before what is said: the calls of each operation are
 * noted.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "tests/crash/order.h"

static void
append_syncs_file_rename_rest(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	sync_files_first(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	forget_calls();
	assert_int_equal(run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	assert_true(last_call(CALL_WRITE, MAIL) < first_call(CALL_SYNC, MAIL));
	assert_true(
	    first_call(CALL_SYNC, MAIL) < first_call(CALL_RENAME, MAIL));
	assert_true(
	    first_call(CALL_RENAME, MAIL) < first_call(CALL_WRITE, WAL));
	assert_true(last_call(CALL_WRITE, WAL) < last_call(CALL_SYNC, WAL));
	assert_true(
	    last_call(CALL_RENAME, MAIL) < last_call(CALL_SYNC, DIR_OF_MAIL));
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 1);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 1);
	assert_int_equal(count_calls(CALL_SYNC, WAL), 1);
	mailbox_close(&m);
}

static void
copy_syncs_young_sources(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2 };

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	forget_calls();
	assert_int_equal(run_copy(f, m, uids, 2, "INBOX.t", false, NULL), 0);
	assert_int_equal(count_calls(CALL_LINK, MAIL), 2);
	assert_int_equal(count_calls(CALL_CREATE, MAIL), 0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 2);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 1);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 0);
	assert_true(last_call(CALL_SYNC, MAIL) < first_call(CALL_LINK, MAIL));
	assert_true(
	    last_call(CALL_LINK, MAIL) < last_call(CALL_SYNC, DIR_OF_MAIL));
	assert_true(last_call(CALL_WRITE, WAL) < last_call(CALL_SYNC, WAL));
	/* files that had a minute to get there */
	f->wall_ms += 61 * 1000;
	forget_calls();
	assert_int_equal(run_copy(f, m, uids, 2, "INBOX.t", false, NULL), 0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 0);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 1);
	mailbox_close(&m);
}

/* How many files a copy of it syncs. */
static int
syncs_of_copy(struct fixture *f, struct mailbox *m, uint32_t uid, uint32_t *to)
{
	forget_calls();
	assert_int_equal(run_copy(f, m, &uid, 1, "INBOX.t", false, to), 0);
	assert_int_equal(count_calls(CALL_LINK, MAIL), 1);
	return count_calls(CALL_SYNC, MAIL);
}

/* What was synced here once, and files that are there already. */
static void
copy_syncs_nothing_twice(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *t;
	const uint32_t links[] = { 2, 3 };
	uint32_t to;

	sync_files_first(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	refresh(f, m);
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 0);
	/* two names of one file */
	put_cur(f, "1.a:2,", "one");
	assert_int_equal(
	    link(fixture_path(f, "cur/1.a:2,"), fixture_path(f, "cur/2.b:2,")),
	    0);
	refresh(f, m);
	forget_calls();
	assert_int_equal(run_copy(f, m, links, 2, "INBOX.t", false, NULL), 0);
	assert_int_equal(count_calls(CALL_LINK, MAIL), 2);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 1);
	/* a copy of a copy, also after the database was read anew */
	put_cur(f, "3.c:2,", "three");
	refresh(f, m);
	assert_int_equal(syncs_of_copy(f, m, 4, &to), 1);
	mailbox_close(&m);
	fixture_reopen(f);
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_int_equal(syncs_of_copy(f, t, to, NULL), 0);
	mailbox_close(&t);
}

static void
touch(struct fixture *f, const char *name, int64_t wall_ms)
{
	const struct timespec t = { (time_t)(wall_ms / 1000), 0 };

	assert_int_equal(utimensat(AT_FDCWD, fixture_path(f, name),
			     (const struct timespec[2]){ t, t }, 0),
	    0);
}

/* A file that was renamed or linked a moment ago, and is known for long. */
static void
copy_judges_by_all_times(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int64_t now = f->wall_ms, early = now - 200 * 1000;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	put_cur(f, "1.a:2,", "one");
	touch(f, "cur/1.a:2,", early);
	f->wall_ms = now - 120 * 1000;
	refresh(f, m);
	f->wall_ms = now;
	/* born after it was first seen: another file of the same name */
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 1);
	calls_set_birth(early / 1000);
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 0);
	/* written to since */
	touch(f, "cur/1.a:2,", now);
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 1);
	/* seen a moment ago: mtime and birth alone are no proof */
	put_cur(f, "2.b:2,", "two");
	touch(f, "cur/2.b:2,", early);
	refresh(f, m);
	assert_int_equal(syncs_of_copy(f, m, 2, NULL), 1);
	mailbox_close(&m);
}

static int link_error, links_before_error;

static int
fail_link(const char *call, const char *path)
{
	(void)path;
	if (strcmp(call, "link") != 0 || links_before_error-- > 0)
		return 0;
	/* too many links to one file; else to none can there be one */
	if (link_error == EMLINK)
		links_before_error = INT_MAX;
	return link_error;
}

/* Where no links can be made, and where one file has too many. */
static void
copy_of_bytes(void **state)
{
	static const struct {
		int error, n;
	} cases[] = { { EXDEV, 3 }, { EPERM, 3 }, { EMLINK, 1 } };
	struct fixture *f = *state;
	struct mailbox *m, *t;
	const uint32_t uids[] = { 1, 2, 3, 4 };
	uint32_t to[4];

	sync_files_first(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	refresh(f, m);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		link_error = cases[i].error;
		links_before_error = 1;
		fsx_set_fault(fail_link);
		forget_calls();
		assert_int_equal(
		    run_copy(f, m, uids, 4, "INBOX.t", false, to), 0);
		fsx_set_fault(NULL);
		assert_int_equal(count_calls(CALL_CREATE, MAIL), cases[i].n);
		assert_int_equal(count_calls(CALL_SYNC, MAIL), cases[i].n);
		assert_int_equal(count_calls(CALL_RENAME, MAIL), cases[i].n);
		assert_int_equal(count_calls(CALL_LINK, MAIL), 4 - cases[i].n);
		assert_true(
		    last_call(CALL_RENAME, MAIL) < last_call(CALL_SYNC, WAL));
		for (uint32_t k = 0; k < 4; k++)
			assert_int_equal(to[k], 4 * i + k + 1);
	}
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_listing(t, "1 2 3 4 5 6 7 8 9 10 11 12");
	mailbox_close(&t);
	mailbox_close(&m);
}

static void
move_removes_last(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1 };

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	deliver(f, "", "one");
	refresh(f, m);
	forget_calls();
	assert_int_equal(run_copy(f, m, uids, 1, "INBOX.t", true, NULL), 0);
	assert_int_equal(count_calls(CALL_UNLINK, MAIL), 1);
	assert_true(
	    first_call(CALL_UNLINK, MAIL) > last_call(CALL_SYNC, DIR_OF_MAIL));
	assert_true(first_call(CALL_UNLINK, MAIL) > last_call(CALL_SYNC, WAL));
	mailbox_close(&m);
}

static void
store_and_expunge_sync_if_told_to(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2 };

	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	forget_calls();
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_int_equal(count_calls(CALL_SYNC, ANY), 0);
	assert_true(first_call(CALL_UNLINK, MAIL) < last_call(CALL_WRITE, WAL));
	mailbox_close(&m);
	f->fsync_always = true;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	forget_calls();
	assert_int_equal(
	    run_flags(f, m, uids + 1, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(count_calls(CALL_SYNC, WAL), 1);
	assert_true(last_call(CALL_WRITE, WAL) < first_call(CALL_SYNC, WAL));
	assert_true(
	    last_call(CALL_RENAME, MAIL) < last_call(CALL_SYNC, DIR_OF_MAIL));
	forget_calls();
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_true(last_call(CALL_WRITE, WAL) < first_call(CALL_SYNC, WAL));
	assert_true(
	    last_call(CALL_UNLINK, MAIL) < last_call(CALL_SYNC, DIR_OF_MAIL));
	mailbox_close(&m);
}

/* Both directories whose names new/ and cur/ are, and the rows. */
static void
rename_of_inbox_syncs_target(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	deliver(f, "", "one");
	refresh(f, m);
	forget_calls();
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX"), SLICE("INBOX.t")), 0);
	assert_true(
	    last_call(CALL_RENAME, DIR_OF_MAIL) < last_call(CALL_SYNC, BOX));
	assert_true(last_call(CALL_WRITE, WAL) < last_call(CALL_SYNC, WAL));
	mailbox_close(&m);
}

/* The list, then the name of its file, in the mailbox's own directory; with
 * the lists that others get first. */
static void
setacl_syncs_list_and_box(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	forget_calls();
	assert_int_equal(set_acl_now(f->account, SLICE("INBOX.t"),
			     SLICE("owner aceilrstwx\n"
				   "administrators aceilrstwx\n")),
	    0);
	assert_int_equal(count_calls(CALL_SYNC, BOX), 1);
	assert_true(first_call(CALL_SYNC, ANY) < first_call(CALL_RENAME, ANY));
	assert_true(last_call(CALL_RENAME, ANY) < last_call(CALL_SYNC, BOX));
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(append_syncs_file_rename_rest),
		CASE(copy_syncs_young_sources),
		CASE(copy_syncs_nothing_twice),
		CASE(copy_judges_by_all_times),
		CASE(copy_of_bytes),
		CASE(move_removes_last),
		CASE(store_and_expunge_sync_if_told_to),
		CASE(rename_of_inbox_syncs_target),
		CASE(setacl_syncs_list_and_box),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
