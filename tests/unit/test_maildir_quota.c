/* The quota of an account: Courier's maildirsize, kept, counted and refusing.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"

static void
quota_is_kept_and_refuses(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid[] = { 1 };
	struct account_quota q;
	struct mailbox *m;
	char *text;

	f->quota = "100S,5C";
	fixture_reopen(f);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes_max, 100);
	assert_int_equal(q.messages_max, 5);
	assert_int_equal(q.bytes, 0);
	text = read_file(fixture_path(f, "maildirsize"));
	assert_string_equal(text, "100S,5C\n           0            0\n");
	free(text);
	assert_int_equal(
	    run_append(f, "INBOX", "0123456789012345678\n", 0, NULL, NULL), 0);
	/* a delivery that keeps no account is added at first sight */
	deliver(f, "", "0123456789012345678\n");
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 40);
	assert_int_equal(q.messages, 2);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 20);
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 20);
	assert_int_equal(q.messages, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(run_append(f, "INBOX", "012345678901234567\n",
				     0, NULL, NULL),
		    0);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), ERR_QUOTA);
	assert_int_equal(
	    run_copy(f, m, (const uint32_t[]){ 2 }, 1, "INBOX", false, NULL),
	    ERR_QUOTA);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 5);
	assert_int_equal(run_remove(f, m, (const uint32_t[]){ 2, 3 }, 2), 2);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 57);
	assert_int_equal(q.messages, 3);
	/* and it equals a recount */
	(void)unlink(fixture_path(f, "maildirsize"));
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 57);
	assert_int_equal(q.messages, 3);
	mailbox_close(&m);
}

/* Mail comes when the new file is about to be put in place. */
static struct fixture *delivers_late;

static int
on_rename(const char *call, const char *path)
{
	struct fixture *f = delivers_late;

	if (f == NULL || strcmp(call, "rename") != 0 ||
	    strncmp(path, "tmp/", 4) != 0)
		return 0;
	delivers_late = NULL;
	deliver(f, "", "y");
	return 0;
}

/* A large tree isn't counted in one go; mail that comes meanwhile counts. */
static void
quota_is_counted_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct account_quota q = { 0 };
	struct mailbox *m;
	unsigned pieces = 0;
	int rc;

	m = open_mailbox(f, "INBOX");
	mailbox_close(&m);
	put_many(f, "cur/", 9000, ".M1,S=3:2,", "");
	f->quota = "1000000S";
	fixture_reopen(f);
	age_dir(f, "new");
	delivers_late = f;
	fsx_set_fault(on_rename);
	while ((rc = account_quota(f->account, &q, NULL)) == ERR_BUSY)
		if (++pieces == 1)
			deliver(f, "", "x");
	fsx_set_fault(NULL);
	assert_null(delivers_late);
	assert_int_equal(rc, 0);
	assert_true(pieces >= 4);
	assert_int_equal(q.messages, 9002);
	assert_int_equal(q.bytes, 9000 * 3 + 2);
}

/* Names whose sizes can't be: the files are asked instead, in a recount, in a
 * scan and in an EXPUNGE alike. */
static void
quota_takes_absurd_sizes(void **state)
{
	struct fixture *f = *state;
	struct account_quota q = { 0 };
	struct mailbox *m = open_mailbox(f, "INBOX");

	mailbox_close(&m);
	put_cur(f, "1.M1,S=9223372036854775807:2,T", "x");
	put_cur(f, "2.M1,S=9223372036854775807:2,", "x");
	put_cur(f, "3.M1,S=18446744073709551615:2,", "x");
	f->quota = "1000S";
	fixture_reopen(f);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 2);
	assert_int_equal(q.messages, 2);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "4.M1,S=9223372036854775807:2,", "x");
	put_cur(f, "5.M1,S=9223372036854775807:2,", "x");
	refresh(f, m);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 4);
	assert_int_equal(q.messages, 4);
	assert_int_equal(
	    run_remove(f, m, (const uint32_t[]){ 2, 3, 4, 5 }, 4), 4);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 0);
	assert_int_equal(q.messages, 0);
	mailbox_close(&m);
}

/* maildirmake -q gave the limits, no user table: they outlive doubts. */
static void
quota_of_the_file_stays(void **state)
{
	struct fixture *f = *state;
	struct account_quota q = { 0 };

	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	write_file(fixture_path(f, "maildirsize"), "1000S\n 0 0\n");
	assert_int_equal(run_append(f, "INBOX.a", "12345\n", 0, NULL, NULL), 0);
	assert_int_equal(run_append(f, "INBOX", "12\n", 0, NULL, NULL), 0);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes_max, 1000);
	assert_int_equal(q.bytes, 3);
	assert_int_equal(q.messages, 1);
}

/* What is in the trash doesn't count, and does when it is moved elsewhere. */
static void
quota_refuses_what_leaves_the_trash(void **state)
{
	const uint32_t uid[] = { 1, 2 };
	struct fixture *f = *state;
	struct account_quota q;
	struct mailbox *m;

	f->quota = "10S";
	fixture_reopen(f);
	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Trash")), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    run_append(f, "INBOX.Trash", "123456\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, "INBOX.Trash");
	refresh(f, m);
	assert_int_equal(
	    run_copy(f, m, uid, 2, "INBOX.a", false, NULL), ERR_QUOTA);
	assert_int_equal(
	    run_copy(f, m, uid, 2, "INBOX.a", true, NULL), ERR_QUOTA);
	assert_int_equal(run_copy(f, m, uid, 1, "INBOX.a", true, NULL), 0);
	mailbox_close(&m);
	/* what counts where it was, too, needs no room */
	m = open_mailbox(f, "INBOX.a");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, uid, 1, "INBOX", true, NULL), 0);
	mailbox_close(&m);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, 7);
	assert_int_equal(q.messages, 1);
	/* who is over quota may throw away, by COPY as well */
	deliver(f, "", "0123456789\n");
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(
	    run_copy(f, m, uid, 1, "INBOX.a", false, NULL), ERR_QUOTA);
	assert_int_equal(run_copy(f, m, uid, 1, "INBOX.Trash", false, NULL), 0);
	mailbox_close(&m);
}

/* A client goes while its messages are being copied: those that are there
 * count, whenever it went. */
static void
quota_counts_half_a_copy(void **state)
{
	struct fixture *f = *state;
	uint32_t uids[250];

	f->quota = "100000S";
	fixture_reopen(f);
	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	put_many(f, "cur/", NELEMS(uids), ".M1,S=3:2,", "12\n");
	for (unsigned i = 0; i < NELEMS(uids); i++)
		uids[i] = i + 1;
	for (unsigned steps = 0;; steps++) {
		struct account_quota q, counted;
		struct change_copy *c;
		struct mailbox *m = open_mailbox(f, "INBOX");
		enum step step = STEP_NEXT;

		refresh(f, m);
		assert_int_equal(account_quota(f->account, &q, NULL), 0);
		assert_int_equal(
		    change_copy_begin(m, f->account, SLICE("INBOX.a"), uids,
			NELEMS(uids), false, &c, NULL),
		    0);
		for (unsigned i = 0; i < steps && step != STEP_DONE; i++)
			step = change_copy_step(
			    c, (struct waker){ 0 }, 1, f->wall_ms);
		change_copy_free(&c);
		mailbox_close(&m);
		assert_int_equal(account_quota(f->account, &q, NULL), 0);
		(void)unlink(fixture_path(f, "maildirsize"));
		assert_int_equal(account_quota(f->account, &counted, NULL), 0);
		assert_int_equal(q.messages, counted.messages);
		assert_int_equal(q.bytes, counted.bytes);
		if (step == STEP_DONE)
			break;
	}
}

static void
bad_quota_is_none(void **state)
{
	struct fixture *f = *state;
	struct account_quota q;

	f->quota = "1000";
	fixture_reopen(f);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes_max, 0);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	assert_int_not_equal(access(fixture_path(f, "maildirsize"), F_OK), 0);
}

/* --- sizes that no name tells --------------------------------------------- */

static int stat_error; /* of files in cur/ */
static unsigned n_absent;

int __real_fsx_stat(int dirfd, const char *name, struct stat *st);
int __wrap_fsx_stat(int dirfd, const char *name, struct stat *st);

int
__wrap_fsx_stat(int dirfd, const char *name, struct stat *st)
{
	int rc;

	if (stat_error != 0 && strstr(name, ".a:2,") != NULL) {
		errno = stat_error;
		return -1;
	}
	rc = __real_fsx_stat(dirfd, name, st);
	n_absent += rc < 0 && strstr(name, ".a:2,") != NULL;
	return rc;
}

static void
assert_usage(struct fixture *f, int64_t bytes, int64_t messages)
{
	struct account_quota q;

	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.bytes, bytes);
	assert_int_equal(q.messages, messages);
}

/* The file is asked before it has another name; if it doesn't say it, all is
 * counted. */
static void
quota_of_sizes_unknown(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid[] = { 1, 2, 3 };
	struct mailbox *m;

	f->quota = "100S,5C";
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.a:2,", "0123456789012345678\n");
	put_cur(f, "2.a:2,", "0123456789012345678\n");
	put_cur(f, "3.a:2,", "0123456789012345678\n");
	refresh(f, m);
	assert_usage(f, 60, 3);
	n_absent = 0;
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(n_absent, 0);
	assert_usage(f, 40, 2);
	stat_error = EIO;
	assert_int_equal(
	    run_flags(f, m, uid + 1, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	stat_error = 0;
	assert_usage(f, 20, 1);
	stat_error = EIO;
	assert_int_equal(run_remove(f, m, uid + 2, 1), 1);
	stat_error = 0;
	assert_usage(f, 0, 0);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(quota_is_kept_and_refuses),
		CASE(quota_is_counted_in_pieces),
		CASE(quota_takes_absurd_sizes),
		CASE(quota_of_the_file_stays),
		CASE(quota_refuses_what_leaves_the_trash),
		CASE(quota_counts_half_a_copy),
		CASE(bad_quota_is_none),
		CASE(quota_of_sizes_unknown),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
