/*
 * The log, copied into the database by a thread: while others go on writing to
 * it, and when nobody does any more (maildir/checkpoint.c).
 */
#include <sys/stat.h>

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

/* --- while others write --------------------------------------------------- */

static struct fixture *checkpointed;

/* The first one waits for the test. */
static bool
is_checkpoint(const struct sync_job *job)
{
	(void)job;
	return checkpointed->account != NULL &&
	    checkpointed->account->checkpoint != NULL && syncs_held == NULL;
}

static void *
checkpoint_thread(void *job)
{
	((struct sync_job *)job)->error = ((struct sync_job *)job)->run(job);
	return NULL;
}

static void
commit_until_checkpoint(struct fixture *f, struct mailbox *m)
{
	const uint32_t uid[] = { 1 };

	for (int i = 0; syncs_held == NULL && i < 1000; i++)
		assert_int_equal(
		    run_flags(f, m, uid, 1, FLAGS_REPLACE, 1u << i % 6, NULL),
		    0);
	assert_non_null(syncs_held);
}

/* The log is copied by a thread, while commits go on. */
static void
checkpoint_aside(void **state)
{
	struct fixture *f = *state;
	struct sync_job *job;
	struct mailbox *m;
	pthread_t thread;
	struct stat st;
	off_t size;
	const uint32_t uid[] = { 1 };

	checkpointed = f;
	f->syncer = &syncs_holder;
	syncs_holds = is_checkpoint;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	for (int i = 0; i < 1000; i++) {
		char name[256];

		(void)snprintf(name, sizeof(name), "%d.%0200d:2,", i, 1);
		put_cur(f, name, "");
	}
	refresh(f, m);
	commit_until_checkpoint(f, m);
	assert_int_equal(
	    pthread_create(&thread, NULL, checkpoint_thread, syncs_held), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(
		    run_flags(f, m, uid, 1, FLAGS_REPLACE, 1u << i % 6, NULL),
		    0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	job = syncs_held;
	syncs_held = NULL;
	job->done(job);
	/* the thread did copy it, and from now on it is written anew */
	assert_int_equal(fsx_stat(f->account->root_fd, "postern.db", &st), 0);
	assert_true(st.st_size > 1 << 16);
	assert_int_equal(
	    fsx_stat(f->account->root_fd, "postern.db-wal", &st), 0);
	size = st.st_size;
	/* what came meanwhile is copied by the next one */
	commit_until_checkpoint(f, m);
	assert_int_equal(
	    fsx_stat(f->account->root_fd, "postern.db-wal", &st), 0);
	assert_true(st.st_size < size + size / 2);
	job = syncs_held;
	job->error = job->run(job);
	mailbox_close(&m);
	fixture_close(f);
	/* it may end after the account was closed */
	syncs_held = NULL;
	syncs_holds = NULL;
	job->done(job);
	f->syncer = NULL;
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(m->head->count, 1000);
	mailbox_close(&m);
}

/* --- cold ----------------------------------------------------------------- */

static void
begin(struct fixture *f)
{
	f->syncer = &syncs_at_once;
	fixture_reopen(f);
}

static void
end(struct fixture *f)
{
	fixture_close(f);
	syncs_do_all();
	f->syncer = NULL;
	fixture_open(f);
}

static off_t
log_size(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(fixture_path(f, WAL_NAME), &st), 0);
	return st.st_size;
}

/* The last of them have what is to be synced wait for the test. */
static void
ticks(struct fixture *f, int n)
{
	for (int i = 0; i < n; i++) {
		if (i == n / 2)
			f->store->opt.syncer = &syncs_holder;
		(void)store_tick(f->store, 1, f->wall_ms);
	}
	f->store->opt.syncer = &syncs_at_once;
}

/* Nobody comes until the account is closed. */
static void
leave_alone(struct fixture *f)
{
	ticks(f, 62);
	assert_null(f->account->db.h);
}

static void
look(struct fixture *f, const char *listing)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_listing(m, listing);
	mailbox_close(&m);
}

static void
make_mail(struct fixture *f)
{
	uint32_t uid;

	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    run_append(f, "INBOX", "x\n", 0, NULL, &uid), 0);
}

static void
cold_log_is_emptied(void **state)
{
	struct fixture *f = *state;

	begin(f);
	make_mail(f);
	leave_alone(f);
	/* that was written to */
	assert_int_equal(f->store->n_cold, 0);
	look(f, "1 2 3");
	leave_alone(f);
	assert_int_equal(f->store->n_cold, 1);
	assert_true(log_size(f) > 0);
	syncs_do_all();
	assert_int_equal(log_size(f), 0);
	assert_int_equal(f->store->n_cold, 0);
	assert_null(f->store->cold);
	look(f, "1 2 3");
	leave_alone(f);
	assert_int_equal(f->store->n_cold, 0);
	/* a short one stays */
	assert_int_equal(run_append(f, "INBOX", "x\n", 0, NULL, NULL), 0);
	leave_alone(f);
	assert_in_range(log_size(f), 1, 20 * 4096);
	look(f, "1 2 3 4");
	leave_alone(f);
	assert_int_equal(f->store->n_cold, 0);
	end(f);
	look(f, "1 2 3 4");
}

static void
used_meanwhile(void **state)
{
	struct fixture *f = *state;
	uint32_t uid;

	begin(f);
	make_mail(f);
	leave_alone(f);
	look(f, "1 2 3");
	leave_alone(f);
	assert_int_equal(f->store->n_cold, 1);
	/* what was written before its turn came is copied, too */
	assert_int_equal(run_append(f, "INBOX", "x\n", 0, NULL, &uid), 0);
	syncs_do_all();
	assert_int_equal(run_append(f, "INBOX", "x\n", 0, NULL, &uid), 0);
	assert_int_equal(uid, 5);
	fixture_reopen(f);
	look(f, "1 2 3 4 5");
	end(f);
	look(f, "1 2 3 4 5");
}

/* A reader of another process has need of the log. */
static void
read_meanwhile(void **state)
{
	struct fixture *f = *state;
	sqlite3 *reader;

	begin(f);
	make_mail(f);
	leave_alone(f);
	look(f, "1 2 3");
	assert_int_equal(
	    sqlite3_open(fixture_path(f, DB_NAME), &reader), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM mailbox", NULL,
		NULL, NULL),
	    SQLITE_OK);
	leave_alone(f);
	assert_int_equal(f->store->n_cold, 1);
	syncs_do_all();
	assert_true(log_size(f) > 0);
	assert_int_equal(
	    sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	look(f, "1 2 3");
	end(f);
}

/* Many accounts get cold at once: some at a time. */
static void
some_at_a_time(void **state)
{
	enum { N = 12 };
	struct fixture *f = *state;
	struct account *own;

	begin(f);
	own = f->account;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			char name[16];

			(void)snprintf(name, sizeof(name), "a%d", i);
			f->account =
			    account_get(f->store, fixture_path(f, name), "");
			look(f, "");
			account_release(&f->account);
			f->account = own;
		}
		ticks(f, 62);
	}
	/* those that were closed are gone */
	assert_int_equal(f->store->n_cold, 8);
	assert_int_equal(f->store->n_open, N - 8);
	syncs_do_all();
	ticks(f, 1);
	assert_int_equal(f->store->n_cold, N - 8);
	assert_int_equal(f->store->n_open, 0);
	/* the store may go before they are done */
	end(f);
}

/* Nor does nobody's turn ever come. */
static void
waits_some_time(void **state)
{
	struct fixture *f = *state;

	begin(f);
	make_mail(f);
	leave_alone(f);
	look(f, "1 2 3");
	f->store->n_cold = 100;
	ticks(f, 100);
	assert_non_null(f->account->db.h);
	ticks(f, 30);
	assert_null(f->account->db.h);
	assert_null(f->store->cold);
	f->store->n_cold = 0;
	end(f);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(checkpoint_aside),
		CASE(cold_log_is_emptied),
		CASE(used_meanwhile),
		CASE(read_meanwhile),
		CASE(some_at_a_time),
		CASE(waits_some_time),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
