/*
 * Messages that have several files of one base name, one of which is the
 * message: what becomes of the others when it is removed.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

/* Another program renames it when this name is about to be removed. */
static const char *renamed_from, *renamed_to;
/* Or whenever it is, as often, to a name with one more letter. */
static int n_renames;
/* Or when the directory is read that has it, which shows neither name. */
static const char *missed_from, *missed_to;
/* It can't be removed. */
static const char *stuck;

int __real_fsx_unlink(int dirfd, const char *name);
int __wrap_fsx_unlink(int dirfd, const char *name);
bool __real_dir_reader_next(struct dir_reader *r, struct slice *name);
bool __wrap_dir_reader_next(struct dir_reader *r, struct slice *name);

static void
rename_again(int dirfd, const char *name)
{
	char to[64];

	(void)snprintf(to, sizeof(to), "%s%c", name, 'a' + n_renames);
	if (n_renames > 0 && strncmp(name, "1.a:2,", 6) == 0 &&
	    strchr(name, 'T') == NULL) {
		n_renames--;
		assert_int_equal(renameat(dirfd, name, dirfd, to), 0);
	}
}

int
__wrap_fsx_unlink(int dirfd, const char *name)
{
	if (renamed_from != NULL && strcmp(name, renamed_from) == 0) {
		assert_int_equal(
		    renameat(dirfd, renamed_from, dirfd, renamed_to), 0);
		renamed_from = NULL;
	}
	rename_again(dirfd, name);
	if (stuck != NULL && strcmp(name, stuck) == 0) {
		errno = EACCES;
		return -1;
	}
	return __real_fsx_unlink(dirfd, name);
}

bool
__wrap_dir_reader_next(struct dir_reader *r, struct slice *name)
{
	bool more = __real_dir_reader_next(r, name);

	if (!more || missed_from == NULL ||
	    !slice_eq(*name, slice_str(missed_from)))
		return more;
	assert_int_equal(renameat(dir_reader_fd(r), missed_from,
			     dir_reader_fd(r), missed_to),
	    0);
	missed_from = NULL;
	return __wrap_dir_reader_next(r, name);
}

/* As a process does that knows of nothing but what is there. */
static void
expect_anew(struct fixture *f, const char *expected)
{
	struct mailbox *m;

	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	scan_distrust(m);
	refresh(f, m);
	assert_listing(m, expected);
	mailbox_close(&m);
}

static struct mailbox *
open_with(struct fixture *f, const char *twin)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.a:2,T", "one");
	put_cur(f, "2.b:2,T", "two");
	put_cur(f, "3.c:2,", "three");
	refresh(f, m);
	assert_listing(m, "1:T 2:T 3");
	write_file(fixture_path(f, twin), "one");
	refresh(f, m);
	assert_listing(m, "1:T 2:T 3");
	return m;
}

static void
expunged_with_both(struct fixture *f, const char *twin)
{
	struct mailbox *m = open_with(f, twin);

	assert_int_equal(run_expunge(f, m, NULL, 0), 2);
	assert_listing(m, "3");
	refresh(f, m);
	assert_listing(m, "3");
	mailbox_close(&m);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	expect_anew(f, "3");
}

static void
expunged_in_cur(void **state)
{
	expunged_with_both(*state, "cur/1.a:2,");
}

static void
expunged_in_new(void **state)
{
	expunged_with_both(*state, "new/1.a");
}

/* MOVE and POP3 remove whatever the flags are. */
static void
moved(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,S");
	const uint32_t uids[] = { 1, 3 };

	assert_int_equal(create_now(f->account, SLICE("INBOX.b")), 0);
	assert_int_equal(
	    run_copy(f, m, uids, 2, "INBOX.b", true, (uint32_t[2]){ 0 }), 0);
	refresh(f, m);
	assert_listing(m, "2:T");
	mailbox_close(&m);
	expect_anew(f, "2:T");
}

/* Somebody has just taken the flag back: then all stays. */
static void
kept_if_renamed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,T"),
			     fixture_path(f, "cur/1.a:2,S")),
	    0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	refresh(f, m);
	assert_int_equal(m->head->count, 2);
	assert_int_equal(view_get(m->head, 1)->uid, 1);
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	mailbox_close(&m);
}

/* The same at the last moment: it has one file left, and that is the message
 * still. */
static void
kept_if_renamed_late(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	renamed_from = "1.a:2,T";
	renamed_to = "1.a:2,S";
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_null(renamed_from);
	refresh(f, m);
	assert_listing(m, "1:S 3");
	mailbox_close(&m);
}

/* One that can't be removed keeps its message, too, and both are gone once it
 * can be. */
static void
stays_with_one_stuck(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	stuck = "1.a:2,";
	assert_int_equal(run_expunge(f, m, NULL, 0), ERR_DENIED);
	refresh(f, m);
	assert_listing(m, "1:T 3");
	stuck = NULL;
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	mailbox_close(&m);
	expect_anew(f, "3");
}

static void
expunge_both(struct fixture *f, struct mailbox *m)
{
	assert_int_equal(run_expunge(f, m, NULL, 0), 2);
	refresh(f, m);
	assert_listing(m, "3");
	mailbox_close(&m);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	expect_anew(f, "3");
}

/* The other file gets another name just before it goes. */
static void
other_renamed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	renamed_from = "1.a:2,";
	renamed_to = "1.a:2,S";
	expunge_both(f, m);
	assert_null(renamed_from);
}

static void
other_renamed_twice(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	n_renames = 2;
	expunge_both(f, m);
	assert_int_equal(n_renames, 0);
}

/* By somebody who never leaves it alone: the message stays, as does its mark,
 * and can be expunged later. */
static void
other_renamed_always(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	n_renames = 20;
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_in_range(n_renames, 1, 19);
	n_renames = 0;
	refresh(f, m);
	assert_listing(m, "1:T 3");
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	mailbox_close(&m);
	expect_anew(f, "3");
}

/* While the directories are read for it. */
static void
other_missed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_with(f, "cur/1.a:2,");

	missed_from = "1.a:2,";
	missed_to = "1.a:2,S";
	expunge_both(f, m);
	assert_null(missed_from);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(expunged_in_cur),
		CASE(expunged_in_new),
		CASE(moved),
		CASE(kept_if_renamed),
		CASE(kept_if_renamed_late),
		CASE(stays_with_one_stuck),
		CASE(other_renamed),
		CASE(other_renamed_twice),
		CASE(other_renamed_always),
		CASE(other_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
