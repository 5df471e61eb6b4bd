/*
 * Appends that end together, or not at all: what they intend, the syncs that
 * they share.
 */
#include <sys/stat.h>

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/intent.h"
#include "maildir/internal.h"
#include "maildir/scan.h"
#include "tests/crash/script.h"
#include "tests/crash/young.h"

/* One step of each; how many are done. */
static size_t
step_each(struct fixture *f, struct append **v, size_t n)
{
	const struct waker waker = order_waker();
	size_t done = 0;

	for (size_t i = 0; i < n; i++)
		done += v[i] != NULL &&
		    append_commit(v[i], waker, 1, f->wall_ms) == STEP_DONE;
	return done;
}

/* It is in the mailbox by then, and counts. */
static void
abandoned_append_counts(void **state)
{
	struct fixture *f = *state;
	struct account_quota q;
	struct append *p;

	f->quota = "1000S";
	fixture_reopen(f);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	hold_syncs(true);
	p = begin_append(f, "INBOX", "x");
	assert_int_equal(step_each(f, &p, 1), 0);
	release_syncs(0);
	/* in the transaction, and waiting for the syncs */
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	append_free(&p);
	release_syncs(0);
	hold_syncs(false);
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.messages, 2);
	assert_int_equal(q.bytes, 4);
}

/* What a failed sync lost isn't on the disk after closing either. */
static void
failed_sync_outlives_closing(void **state)
{
	struct fixture *f = *state;
	struct append *p;
	struct stat st;

	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	hold_syncs(true);
	p = begin_append(f, "INBOX", "x");
	assert_int_equal(step_each(f, &p, 1), 0);
	release_syncs(0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	release_syncs(EIO);
	hold_syncs(false);
	assert_int_equal(
	    append_commit(p, order_waker(), 1, f->wall_ms), STEP_DONE);
	append_free(&p);
	store_hibernate(f->store);
	/* so that the log is written anew before the next OK */
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	assert_int_equal(stat(fixture_path(f, "postern.db-wal"), &st), 0);
	assert_int_equal(st.st_size, 0);
}

/* The database as on a remote file system: without a log of its own. */
static void
go_remote(struct fixture *f, struct mailbox *m)
{
	refresh(f, m);
	account_close_db(f->account);
	f->account->remote = true;
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	refresh(f, m);
	assert_false(f->account->db.wal);
}

/* Somebody who reads it: then a commit has to be tried again. */
static sqlite3 *
open_reader(struct fixture *f)
{
	sqlite3 *reader;

	assert_int_equal(
	    sqlite3_open(fixture_path(f, "postern.db"), &reader), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM mailbox", NULL,
		NULL, NULL),
	    SQLITE_OK);
	return reader;
}

/* When a commit is tried again the file is in place. */
static void
busy_commit_gives_one_uid(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = order_waker();
	struct append *p;
	sqlite3 *reader;
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	go_remote(f, m);
	p = begin_append(f, "INBOX", "x");
	reader = open_reader(f);
	for (int i = 0; i < 4; i++)
		assert_int_not_equal(
		    append_commit(p, waker, 1, f->wall_ms), STEP_DONE);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	scan_distrust(m);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_int_equal(uids[0], 2);
	append_free(&p);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* The directory was synced beside a commit that is to be tried again: that it
 * failed is told once, and so counts for the next. */
static void
busy_commit_remembers_failed_sync(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = order_waker();
	struct append *p;
	sqlite3 *reader;
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	go_remote(f, m);
	hold_syncs(true);
	p = begin_append(f, "INBOX", "x");
	assert_int_equal(step_each(f, &p, 1), 0);
	release_syncs(0);
	reader = open_reader(f);
	assert_int_equal(step_each(f, &p, 1), 0);
	assert_int_equal(held_syncs(), 1);
	release_syncs(EIO);
	hold_syncs(false);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_not_equal(append_result(p, &validity, &uids, &n), 0);
	append_free(&p);
	refresh(f, m);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/* An append of two messages, up to where its syncs are waited for again. */
static struct append *
begin_two(struct fixture *f)
{
	struct append *p = begin_append(f, "INBOX", "x");

	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("y"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	hold_syncs(true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	release_syncs(0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	assert_int_equal(intent_pending(f->account, NULL), 1);
	return p;
}

/* What it intends is its own to carry out, whoever opens the database. */
static void
intent_of_a_live_append_is_its_own(void **state)
{
	struct fixture *f = *state;
	const struct waker waker = order_waker();
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *p;
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	refresh(f, m);
	p = begin_two(f);
	account_close_db(f->account);
	assert_int_equal(account_open(f->account, NULL), 0);
	release_syncs(0);
	hold_syncs(false);
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_int_equal(n, 2);
	append_free(&p);
	assert_int_equal(intent_pending(f->account, NULL), 0);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* All are in the mailbox, but the directory may not be on the disk yet. */
static void
abandoned_append_keeps_its_intent(void **state)
{
	struct fixture *f = *state;
	struct append *p = begin_two(f);

	/* the intent is durable; the commit waits for its syncs */
	release_syncs(0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	append_free(&p);
	assert_int_equal(intent_pending(f->account, NULL), 1);
	release_syncs(0);
	hold_syncs(false);
	account_close_db(f->account);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(intent_pending(f->account, NULL), 0);
}

static void
leave_two(struct fixture *f)
{
	(void)begin_two(f);
}

/* Who comes first after a crash waits for a thread to carry it out, and no
 * other account's user does. */
static void
intent_is_carried_out_by_a_thread(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	assert_int_equal(account_open(f->account, NULL), 0);
	fixture_close(f);
	lives(f, leave_two);
	fixture_open(f);
	hold_syncs(true);
	forget_calls();
	assert_int_equal(account_open(f->account, NULL), ERR_BUSY);
	assert_int_equal(held_syncs(), 1);
	/* it isn't closed meanwhile */
	ticks(f, 10000);
	assert_int_equal(account_open(f->account, NULL), ERR_BUSY);
	assert_int_equal(count_calls(CALL_SYNC, ANY), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	release_syncs(0);
	hold_syncs(false);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 1);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(intent_pending(f->account, NULL), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

static int
fail_fsync(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "fsync") == 0 ? EIO : 0;
}

/* That fails: it isn't forgotten. */
static void
intent_stays_until_it_is_durable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(account_open(f->account, NULL), 0);
	fixture_close(f);
	lives(f, leave_two);
	fixture_open(f);
	fsx_set_fault(fail_fsync);
	assert_int_equal(account_open(f->account, NULL), ERR_SYS);
	assert_null(f->account->db.h);
	assert_int_equal(account_open(f->account, NULL), ERR_SYS);
	fsx_set_fault(NULL);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(intent_pending(f->account, NULL), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
}

static int
count_intents(struct fixture *f)
{
	sqlite3_stmt *s = NULL;
	int n;

	assert_int_equal(sqlite3_prepare_v2(f->account->db.h,
			     "SELECT count(*) FROM intent", -1, &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int(s, 0);
	(void)sqlite3_finalize(s);
	return n;
}

/* The database is lost while an APPEND has one in it: that of another APPEND,
 * in the new one, isn't taken for it. */
static void
intents_of_a_lost_database_are_others(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct slice names = slice_of("a\0b\0", 4);
	int64_t first = 0, second = 0;

	assert_int_equal(intent_put(m, names, &first, NULL), 0);
	mailbox_close(&m);
	account_close_db(f->account);
	assert_int_equal(unlink(fixture_path(f, "postern.db")), 0);
	(void)unlink(fixture_path(f, "postern.db-wal"));
	(void)unlink(fixture_path(f, "postern.db-shm"));
	m = open_mailbox(f, "INBOX");
	assert_int_equal(count_intents(f), 0);
	assert_int_equal(intent_put(m, names, &second, NULL), 0);
	assert_true(first != second);
	intent_drop(f->account, first);
	assert_int_equal(count_intents(f), 1);
	intent_drop(f->account, second);
	assert_int_equal(count_intents(f), 0);
	mailbox_close(&m);
}

static void
intents_go_with_their_mailbox(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	int64_t id = 0;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	m = open_mailbox(f, "INBOX.t");
	assert_int_equal(intent_put(m, slice_of("a\0b\0", 4), &id, NULL), 0);
	assert_int_equal(count_intents(f), 1);
	mailbox_close(&m);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(count_intents(f), 0);
	intent_leave(f->account);
}

static void
appends_share_their_syncs(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct append *v[4];
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	sync_files_first(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX.t", "x", 0, NULL, NULL), 0);
	hold_syncs(true);
	for (size_t i = 0; i < NELEMS(v); i++)
		v[i] = begin_append(f, i == 1 ? "INBOX.t" : "INBOX", "x");
	forget_calls();
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	/* their files are synced side by side */
	assert_int_equal(held_syncs(), NELEMS(v));
	release_syncs(0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), NELEMS(v));
	/* all of them join before the first begins the transaction */
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 0);
	/* one goes away meanwhile */
	append_free(&v[2]);
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 3);
	/* the log, and two directories */
	assert_int_equal(held_syncs(), 3);
	/* its client is not told of what isn't durable */
	append_free(&v[3]);
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	release_syncs(0);
	assert_int_equal(count_calls(CALL_SYNC, WAL), 1);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 2);
	assert_true(last_call(CALL_RENAME, MAIL) < first_call(CALL_WRITE, WAL));
	assert_int_equal(step_each(f, v, NELEMS(v)), 2);
	assert_int_equal(append_result(v[0], &validity, &uids, &n), 0);
	assert_int_equal(uids[0], 1);
	assert_int_equal(append_result(v[1], &validity, &uids, &n), 0);
	assert_int_equal(uids[0], 2);
	append_free(&v[0]);
	append_free(&v[1]);
	hold_syncs(false);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* The mailbox of the second goes away: it fails alone. */
static void
one_of_a_group_fails_alone(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *v[3];
	uint32_t validity;
	const uint32_t *uids;
	size_t n, done;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	refresh(f, m);
	for (size_t i = 0; i < NELEMS(v); i++)
		v[i] = begin_append(f, i == 1 ? "INBOX.t" : "INBOX", "x");
	hold_syncs(true);
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	release_syncs(0);
	hold_syncs(false);
	remove_tree(fixture_path(f, ".t"));
	do
		done = step_each(f, v, NELEMS(v));
	while (done < NELEMS(v));
	assert_int_equal(append_result(v[0], &validity, &uids, &n), 0);
	assert_int_not_equal(append_result(v[1], &validity, &uids, &n), 0);
	assert_int_equal(append_result(v[2], &validity, &uids, &n), 0);
	for (size_t i = 0; i < NELEMS(v); i++)
		append_free(&v[i]);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* So many that sync their files first, and whose syncs are held. */
static struct mailbox *
begin_held(struct fixture *f, struct append **v, size_t n)
{
	struct mailbox *m;

	sync_files_first(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	hold_syncs(true);
	for (size_t i = 0; i < n; i++)
		v[i] = begin_append(f, "INBOX", "x");
	return m;
}

/* A turn is waited only for those who are expected; and the directory's sync
 * begins before the log is written. */
static void
one_append_waits_for_nobody(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct append *v[2];

	m = begin_held(f, v, NELEMS(v));
	assert_int_equal(step_each(f, v, 1), 0);
	release_syncs(0);
	hold_syncs(false);
	forget_calls();
	/* the other one has not all of its bytes yet */
	assert_int_equal(step_each(f, v, 1), 1);
	assert_true(
	    last_call(CALL_RENAME, MAIL) < first_call(CALL_SYNC, DIR_OF_MAIL));
	assert_true(
	    last_call(CALL_SYNC, DIR_OF_MAIL) < first_call(CALL_WRITE, WAL));
	assert_true(last_call(CALL_WRITE, WAL) < first_call(CALL_SYNC, WAL));
	append_free(&v[0]);
	append_free(&v[1]);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/* At most two rounds at a time: who comes then shares the third. */
static void
rounds_are_limited(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct append *v[4];

	m = begin_held(f, v, NELEMS(v));
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	release_syncs(0);
	forget_calls();
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
		    step_append(f, v[i], (struct waker){ 0 }), STEP_WAIT_SYNC);
		assert_int_equal(count_calls(CALL_RENAME, MAIL), i + 1);
		assert_int_equal(held_syncs(), 2 * (i + 1));
	}
	for (int k = 0; k < 3; k++)
		assert_int_equal(step_each(f, v + 2, 2), 0);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 2);
	woken = 0;
	release_syncs(0);
	/* those whose rounds have ended, and the first that waits */
	assert_true(woken >= 1);
	assert_int_equal(step_each(f, v, NELEMS(v)), 2);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 4);
	assert_int_equal(held_syncs(), 2);
	release_syncs(0);
	assert_int_equal(step_each(f, v, NELEMS(v)), NELEMS(v));
	for (size_t i = 0; i < NELEMS(v); i++)
		append_free(&v[i]);
	assert_listing(m, "1 2 3 4");
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(abandoned_append_counts),
		CASE(failed_sync_outlives_closing),
		CASE(busy_commit_gives_one_uid),
		CASE(busy_commit_remembers_failed_sync),
		CASE(one_append_waits_for_nobody),
		CASE(intent_of_a_live_append_is_its_own),
		CASE(abandoned_append_keeps_its_intent),
		CASE(intent_is_carried_out_by_a_thread),
		CASE(intent_stays_until_it_is_durable),
		CASE(intents_of_a_lost_database_are_others),
		CASE(intents_go_with_their_mailbox),
		CASE(appends_share_their_syncs),
		CASE(one_of_a_group_fails_alone),
		CASE(rounds_are_limited),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
