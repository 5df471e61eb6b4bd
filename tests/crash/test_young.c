/*
 * Messages whose files the disk may not have yet (maildir/young.h): what is
 * waited for, and what others see.
 */
#include <sys/stat.h>

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "maildir/scan.h"
#include "maildir/young.h"
#include "tests/crash/young.h"

/* --- what is waited for --------------------------------------------------- */

/* One wait for the disk; the file has its name only after that. */
static void
append_waits_for_the_log_alone(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	forget_calls();
	assert_int_equal(run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 0);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 0);
	assert_int_equal(count_calls(CALL_SYNC, WAL), 1);
	assert_true(last_call(CALL_WRITE, MAIL) < first_call(CALL_WRITE, WAL));
	assert_true(last_call(CALL_WRITE, WAL) < first_call(CALL_SYNC, WAL));
	assert_true(first_call(CALL_SYNC, WAL) < first_call(CALL_RENAME, MAIL));
	assert_listing(m, "1");
	assert_int_equal(count_rows(f), 1);

	/* the disk is synced before the bytes leave the database */
	forget_calls();
	ticks(f, 3);
	assert_int_equal(count_calls(CALL_SYNC, DISK), 1);
	assert_true(first_call(CALL_SYNC, DISK) < first_call(CALL_WRITE, WAL));
	assert_int_equal(count_rows(f), 0);
	assert_null(f->account->young);
	forget_calls();
	ticks(f, 20);
	assert_int_equal(count_calls(CALL_SYNC, DISK), 0);
	assert_null(f->store->disks[0]);
	mailbox_close(&m);
}

static void
append_to(struct fixture *f, struct account *a)
{
	struct account *own = f->account;

	f->account = a;
	assert_int_equal(run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	f->account = own;
}

/* All have their rows deleted, however many there are whose messages come
 * faster. */
static void
accounts_take_turns(void **state)
{
	enum { MANY = 150, TICKS = 12 };
	struct fixture *f = *state;
	struct account *all[MANY];
	bool forgotten[MANY] = { false };
	size_t n = 0;

	f->store->opt.open_max = MANY + 1;
	append_to(f, f->account);
	for (size_t i = 0; i < MANY; i++) {
		char name[16];
		char *path;

		(void)snprintf(name, sizeof(name), "a%zu", i);
		path = mem_printf("%s/%s", f->root, name);
		all[i] = account_get(f->store, path, "");
		free(path);
		append_to(f, all[i]);
	}
	for (int tick = 0; tick < TICKS; tick++) {
		ticks(f, 1);
		for (size_t i = 0; i < MANY; i++)
			if (all[i]->young == NULL) {
				forgotten[i] = true;
				append_to(f, all[i]);
			}
	}
	for (size_t i = 0; i < MANY; i++) {
		n += forgotten[i];
		account_release(&all[i]);
	}
	assert_int_equal(n, MANY);
}

/* One sync of the disk is for all accounts that it has. */
static void
accounts_share_a_sync(void **state)
{
	struct fixture *f = *state, g = *f;
	char *path = mem_printf("%s/second", f->root);

	g.path = path;
	g.account = account_get(f->store, path, "");
	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	assert_int_equal(run_append(&g, "INBOX", "two", 0, NULL, NULL), 0);
	assert_int_equal(count_rows(f), 1);
	assert_int_equal(count_rows(&g), 1);
	forget_calls();
	ticks(f, 3);
	assert_int_equal(count_calls(CALL_SYNC, DISK), 1);
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(count_rows(&g), 0);
	account_release(&g.account);
	free(path);
}

/* What is large, or too much, or wanted so, is on the disk before the OK. */
static void
some_are_synced_before(void **state)
{
	struct fixture *f = *state;
	char *large = mem_alloc(66000), *some = mem_alloc(60001);
	unsigned n = 0;

	memset(large, 'x', 65999);
	large[65999] = '\0';
	expect_synced_before(f, large);
	assert_int_equal(count_rows(f), 0);

	/* 4 MB of an account at a time, if the disk takes long */
	memset(some, 'y', 60000);
	some[60000] = '\0';
	hold_disk_syncs(true);
	do {
		assert_int_equal(
		    run_append(f, "INBOX", some, 0, NULL, NULL), 0);
		n++;
	} while (count_rows(f) == (int)n);
	/* more than 1 MB waited for no tick */
	assert_int_equal(held_syncs(), 1);
	assert_true(n > 60 && n < 80);
	hold_disk_syncs(false);
	release_syncs(0);
	ticks(f, 3);
	assert_int_equal(count_rows(f), 0);

	f->fsync_always = true;
	fixture_reopen(f);
	expect_synced_before(f, "x");
	assert_int_equal(count_rows(f), 0);
	free(large);
	free(some);
}

/* Nothing is overwritten by zeros, which would take a page for each. */
static void
leaving_costs_few_pages(void **state)
{
	struct fixture *f = *state;
	char text[4001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 40; i++)
		assert_int_equal(
		    run_append(f, "INBOX", text, 0, NULL, NULL), 0);
	forget_calls();
	ticks(f, 3);
	assert_int_equal(count_rows(f), 0);
	/* two writes a page */
	assert_true(count_calls(CALL_WRITE, WAL) < 40);
}

/* Who closes the account leaves nothing behind. */
static void
closing_syncs(void **state)
{
	struct fixture *f = *state;
	struct append *p;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	p = begin_commit(f, "INBOX", "two");
	forget_calls();
	account_close_db(f->account);
	assert_true(first_call(CALL_SYNC, WAL) < first_call(CALL_RENAME, MAIL));
	assert_true(
	    first_call(CALL_RENAME, MAIL) < first_call(CALL_SYNC, DISK));
	assert_int_equal(count_rows(f), 0);
	release_syncs(0);
	hold_syncs(false);
	assert_int_equal(end_append(f, &p), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
}

/* --- others --------------------------------------------------------------- */

/* A scan of this process waits; so does whoever renames the mailbox. */
static void
nobody_takes_it_for_missing(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct append *p;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	m = open_mailbox(f, "INBOX.t");
	refresh(f, m);
	p = begin_commit(f, "INBOX.t", "x");
	hold_syncs(false);
	scan_distrust(m);
	refresh(f, m);
	/* nor does it wait for the log, or show what isn't in it for sure */
	assert_int_equal(count_files(fixture_path(f, ".t/cur")), 0);
	assert_listing(m, "");
	/* new mail has it synced */
	(void)deliver(f, ".t/", "new");
	refresh(f, m);
	assert_int_equal(count_files(fixture_path(f, ".t/cur")), 2);
	assert_listing(m, "1 2");
	release_syncs(0);
	assert_int_equal(end_append(f, &p), 0);

	p = begin_commit(f, "INBOX.t", "y");
	hold_syncs(false);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.t"), SLICE("INBOX.u")), 0);
	assert_int_equal(count_files(fixture_path(f, ".u/cur")), 3);
	release_syncs(0);
	(void)end_append(f, &p);
	mailbox_close(&m);
	m = open_mailbox(f, "INBOX.u");
	refresh(f, m);
	assert_listing(m, "1 2 3");
	mailbox_close(&m);
}

/* Another process may have synced the log, and told of the message. */
static void
who_selects_sees_what_is_committed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *p;

	refresh(f, m);
	p = begin_commit(f, "INBOX", "x");
	hold_syncs(false);
	refresh(f, m);
	assert_listing(m, "");
	mailbox_want_committed(m);
	refresh(f, m);
	assert_listing(m, "1");
	release_syncs(0);
	assert_int_equal(end_append(f, &p), 0);
	mailbox_close(&m);
}

static void
execute(sqlite3 *h, const char *sql)
{
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void
append_two(struct fixture *f)
{
	assert_int_equal(run_append(f, "INBOX", "two", 0, NULL, NULL), 0);
}

/* A backup of the database that has less is put back: what is wanted will never
 * come, and nobody waits for it. */
static void
what_is_not_there_is_not_wanted(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	sqlite3 *h = NULL;
	enum step step = STEP_WAIT_SYNC;
	int result = 0;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, NULL), 0);
	refresh(f, m);
	assert_int_equal(
	    sqlite3_open(fixture_path(f, "postern.db"), &h), SQLITE_OK);
	execute(h,
	    "CREATE TEMP TABLE fixed AS SELECT * FROM chunk_fixed;"
	    "CREATE TEMP TABLE names AS SELECT * FROM chunk_names;"
	    "CREATE TEMP TABLE states AS SELECT * FROM chunk_state");
	fixture_elsewhere(f, append_two);
	assert_int_equal(mailbox_check(m, NULL), 0);
	mailbox_want_committed(m);
	assert_int_equal(unlink(fixture_path(f, message_path(m, 2))), 0);
	execute(h,
	    "BEGIN; REPLACE INTO chunk_fixed SELECT * FROM fixed;"
	    "REPLACE INTO chunk_names SELECT * FROM names;"
	    "REPLACE INTO chunk_state SELECT * FROM states;"
	    "UPDATE mailbox SET uidnext = 2, change = change + 1; COMMIT");
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	hold_syncs(true);
	for (int i = 0; i < 5 && step != STEP_DONE; i++) {
		release_syncs(0);
		step = mailbox_refresh(m, true, (struct waker){ 0 },
		    clock_now(), f->wall_ms, &result);
	}
	assert_int_equal(step, STEP_DONE);
	assert_int_equal(result, 0);
	hold_syncs(false);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/* Removed by another program while its bytes are still in the database. */
static void
removed_is_removed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid = 0;

	assert_int_equal(run_append(f, "INBOX", "one", 0, NULL, &uid), 0);
	assert_int_equal(unlink(fixture_path(f, message_path(m, uid))), 0);
	refresh(f, m);
	assert_listing(m, "");
	assert_int_equal(run_append(f, "INBOX", "two", 0, NULL, &uid), 0);
	assert_int_equal(run_remove(f, m, &uid, 1), 1);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "");
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	assert_int_equal(count_rows(f), 0);
	mailbox_close(&m);
}

/* --- failures ------------------------------------------------------------- */

static int
fail_rename(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "rename") == 0 ? ENOSPC : 0;
}

/* The directory takes no name any more: NO, and nothing stays. */
static void
failed_rename_is_no(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	fsx_set_fault(fail_rename);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), ERR_SPACE);
	fsx_set_fault(NULL);
	refresh(f, m);
	assert_listing(m, "");
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	ticks(f, 3);
	assert_int_equal(count_rows(f), 0);
	mailbox_close(&m);
}

/* So is a sync of the log that fails. */
static void
failed_log_is_no(void **state)
{
	struct fixture *f = *state;
	struct append *p;

	assert_int_equal(run_append(f, "INBOX", "w", 0, NULL, NULL), 0);
	p = begin_commit(f, "INBOX", "x");
	release_syncs(EIO);
	hold_syncs(false);
	assert_int_equal(end_append(f, &p), ERR_SYS);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	assert_int_equal(run_append(f, "INBOX", "y", 0, NULL, NULL), 0);
}

static off_t
log_size(struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(fixture_path(f, "postern.db-wal"), &st), 0);
	return st.st_size;
}

/* What it lost is copied into the database before the next sync, by whoever
 * waits for that. */
static void
failed_log_is_copied_aside(void **state)
{
	struct fixture *f = *state;
	struct append *p;

	p = begin_commit(f, "INBOX", "x");
	release_syncs(EIO);
	assert_int_equal(end_append(f, &p), ERR_SYS);
	p = begin_commit(f, "INBOX", "y");
	assert_true(log_size(f) > 0);
	forget_calls();
	release_syncs(0);
	hold_syncs(false);
	assert_int_equal(end_append(f, &p), 0);
	assert_int_equal(log_size(f), 0);
	assert_false(f->account->wal_failed);
	assert_true(first_call(CALL_TRUNCATE, WAL) >= 0 &&
	    first_call(CALL_TRUNCATE, WAL) < first_call(CALL_RENAME, MAIL));
	fixture_reopen(f);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(append_waits_for_the_log_alone),
		CASE(accounts_share_a_sync),
		CASE(accounts_take_turns),
		CASE(some_are_synced_before),
		CASE(leaving_costs_few_pages),
		CASE(closing_syncs),
		CASE(nobody_takes_it_for_missing),
		CASE(who_selects_sees_what_is_committed),
		CASE(what_is_not_there_is_not_wanted),
		CASE(removed_is_removed),
		CASE(failed_rename_is_no),
		CASE(failed_log_is_no),
		CASE(failed_log_is_copied_aside),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
