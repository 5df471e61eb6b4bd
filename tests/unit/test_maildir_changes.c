/*
 * CREATE, DELETE, RENAME and SUBSCRIBE as steps: nobody else of a worker waits
 * while one of them waits for the disk or for another process.
 */
#include <sys/stat.h>

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "tests/unit/change_fixture.h"

enum { RENAMES_MAX = 20 };

/* --- left, or in the way of another process ------------------------------- */

static bool
exists(struct fixture *f, const char *name)
{
	int rc = account_exists(f->account, slice_str(name), NULL);

	assert_true(rc == 0 || rc == ERR_NOT_FOUND);
	return rc == 0;
}

static void
test_busy(void **state)
{
	struct fixture *f = *state;
	struct sqlite3 *h;
	struct account_change *c[4];
	const bool there[4] = { false, false, true, true };
	const char *const names[4] = { "INBOX.b", "INBOX.a", "INBOX.a2",
		"INBOX.old" };

	assert_int_equal(account_open(f->account, NULL), 0);
	(void)deliver(f, "", "text");
	for (size_t k = 0; k < 4; k++) {
		enum step st = STEP_WAIT_SYNC;

		switch (k) {
		case 0:
			c[k] = account_create(f->account, SLICE("INBOX.b"));
			assert_int_equal(change_finish(&c[k]), 0);
			c[k] = account_delete(f->account, SLICE("INBOX.b"));
			break;
		case 1:
			c[k] = account_rename(
			    f->account, SLICE("INBOX.a"), SLICE("INBOX.a2"));
			break;
		case 2:
			c[k] = account_delete(f->account, SLICE("INBOX.a2"));
			assert_int_equal(change_finish(&c[k]), 0);
			c[k] = account_create(f->account, SLICE("INBOX.a2"));
			break;
		default:
			c[k] = account_rename(
			    f->account, SLICE("INBOX"), SLICE("INBOX.old"));
			break;
		}
		h = fixture_take_database(f);
		fixture_sleeps = 0;
		while (st == STEP_WAIT_SYNC) {
			syncs_do_all();
			st = change_step(c[k]);
		}
		/* it says so, and is not waiting here */
		assert_int_equal(st, STEP_WAIT_PEER);
		assert_int_equal(change_step(c[k]), STEP_WAIT_PEER);
		assert_int_equal(fixture_sleeps, 0);
		assert_true(exists(f, names[k]) == !there[k]);
		fixture_give_back(h);
		assert_int_equal(change_finish(&c[k]), 0);
		assert_true(exists(f, names[k]) == there[k]);
	}
}

/* Who gives up leaves nothing. */
static void
test_given_up(void **state)
{
	struct fixture *f = *state;
	struct account_change *c =
	    account_rename(f->account, SLICE("INBOX"), SLICE("INBOX.old"));
	struct sqlite3 *h;

	assert_int_equal(change_step(c), STEP_WAIT_SYNC);
	h = fixture_take_database(f);
	syncs_do_all();
	assert_int_equal(change_step(c), STEP_WAIT_PEER);
	account_change_free(&c);
	fixture_give_back(h);
	assert_false(exists(f, "INBOX.old"));
	assert_true(exists(f, "INBOX"));
}

/* How many messages INBOX and those that it became have. */
static unsigned
mail_of(struct fixture *f)
{
	unsigned n = count_files(fixture_path(f, "new")) +
	    count_files(fixture_path(f, "cur"));

	for (unsigned k = 0; k < RENAMES_MAX; k++)
		for (int cur = 0; cur < 2; cur++) {
			char name[32];

			(void)snprintf(name, sizeof(name), ".old%u/%s", k,
			    cur ? "cur" : "new");
			if (access(fixture_path(f, name), F_OK) == 0)
				n += count_files(fixture_path(f, name));
		}
	return n;
}

static struct account_change *
rename_inbox(struct fixture *f, unsigned k)
{
	char name[32];

	(void)deliver(f, "", "text");
	(void)snprintf(name, sizeof(name), "INBOX.old%u", k);
	return account_rename(f->account, SLICE("INBOX"), slice_str(name));
}

/* The client goes away while INBOX is renamed. */
static void
test_inbox_left(void **state)
{
	struct fixture *f = *state;
	bool over = false;
	unsigned at;

	for (at = 0; !over && at < RENAMES_MAX; at++) {
		struct account_change *c = rename_inbox(f, at);

		for (unsigned k = 0; k < at && !over; k++) {
			syncs_do_all();
			over = change_step(c) == STEP_DONE;
		}
		account_change_free(&c);
		syncs_do_all();
		(void)store_tick(f->store, clock_now(), f->wall_ms);
		assert_int_equal(mail_of(f), at + 1);
	}
	assert_in_range(at, 4, RENAMES_MAX - 1);
}

static unsigned syncs_before_error;

static int
fail_sync(const char *call, const char *path)
{
	(void)path;
	if (strcmp(call, "fsync") != 0 && strcmp(call, "fdatasync") != 0)
		return 0;
	return syncs_before_error-- == 0 ? EIO : 0;
}

/* Each of its syncs fails. */
static void
test_inbox_not_synced(void **state)
{
	struct fixture *f = *state;
	unsigned at;
	int rc = ERR_SYS;

	for (at = 0; rc != 0 && at < RENAMES_MAX; at++) {
		struct account_change *c = rename_inbox(f, at);

		syncs_before_error = at;
		fsx_set_fault(fail_sync);
		rc = change_finish(&c);
		fsx_set_fault(NULL);
		(void)store_tick(f->store, clock_now(), f->wall_ms);
		assert_int_equal(mail_of(f), at + 1);
	}
	assert_in_range(at, 4, RENAMES_MAX - 1);
}

/* Mail comes into a new mailbox before CREATE is through. */
static void
test_created_left(void **state)
{
	struct fixture *f = *state;
	struct account_change *c = account_create(f->account, SLICE("INBOX.b"));

	assert_int_equal(change_step(c), STEP_WAIT_SYNC);
	syncs_do_all();
	assert_int_equal(change_step(c), STEP_WAIT_SYNC);
	(void)deliver(f, ".b/", "text");
	account_change_free(&c);
	syncs_do_all();
	(void)store_tick(f->store, clock_now(), f->wall_ms);
	assert_int_equal(count_files(fixture_path(f, ".b/new")), 1);
}

static const char *arrival; /* the path that mail gets; NULL: it came */
static unsigned calls_before_mail;

/* Mail comes just before a call that takes something away, and after that one
 * the process ends. */
static int
deliver_and_end(const char *call, const char *path)
{
	(void)path;
	if (arrival == NULL)
		return EIO;
	if ((strcmp(call, "rename") == 0 || strcmp(call, "rmdir") == 0) &&
	    calls_before_mail-- == 0) {
		write_file(arrival, "text");
		arrival = NULL;
	}
	return 0;
}

/* Mail comes while what CREATE has made is taken away again, wherever that
 * ends: it is never swept up, and the name has it. */
static void
test_unmade_left(void **state)
{
	enum { DIRS = 3 };
	struct fixture *f = *state;

	for (unsigned at = 0; at < DIRS; at++) {
		char *name = mem_printf("INBOX.b%u", at), path[512];
		struct account_change *c =
		    account_create(f->account, slice_str(name));
		struct mailbox *m;

		assert_int_equal(change_step(c), STEP_WAIT_SYNC);
		syncs_do_all();
		assert_int_equal(change_step(c), STEP_WAIT_SYNC);
		(void)snprintf(
		    path, sizeof(path), "%s/.b%u/new/1.M1", f->path, at);
		arrival = path;
		calls_before_mail = at;
		fsx_set_fault(deliver_and_end);
		account_change_free(&c);
		fsx_set_fault(NULL);
		assert_null(arrival);
		syncs_do_all();
		f->wall_ms += INT64_C(40) * 3600 * 1000;
		f->account->sweep = true;
		(void)store_tick(f->store, clock_now(), f->wall_ms);
		syncs_do_all();
		c = account_create(f->account, slice_str(name));
		(void)!change_finish(&c);
		m = open_mailbox(f, name);
		mailbox_close(&m);
		assert_int_equal(access(path, F_OK), 0);
		free(name);
	}
}

/* --- a disk that takes its time ------------------------------------------- */

static void
test_slow(void **state)
{
	struct fixture *f = *state;
	struct account_change *c[4] = {
		account_create(f->account, SLICE("INBOX.b")),
		account_rename(f->account, SLICE("INBOX.b"), SLICE("INBOX.c")),
		account_subscribe(f->account, SLICE("INBOX.c"), true),
		account_delete(f->account, SLICE("INBOX.c")),
	};
	struct mailbox *m;
	struct mailbox_list l;

	for (size_t k = 0; k < 4; k++)
		assert_int_equal(change_step(c[k]), STEP_WAIT_SYNC);
	/* others go on */
	(void)deliver(f, ".a/", "text");
	m = open_mailbox(f, "INBOX.a");
	mailbox_close(&m);
	/* one after the other, in that order */
	for (size_t k = 0; k < 4; k++) {
		for (size_t j = 3; j > k; j--)
			assert_int_equal(change_step(c[j]), STEP_WAIT_SYNC);
		change_n_woken = 0;
		assert_int_equal(change_finish(&c[k]), 0);
		assert_true(change_n_woken > 0);
	}
	assert_false(exists(f, "INBOX.b"));
	assert_false(exists(f, "INBOX.c"));
	assert_int_equal(account_subscriptions(f->account, &l, NULL), 0);
	assert_int_equal(l.n, 1);
	mailbox_list_fini(&l);
}

/* OK comes after the syncs, whatever round they are in. */
static void
test_order(void **state)
{
	struct fixture *f = *state;
	struct account_change *c = account_create(f->account, SLICE("INBOX.b"));
	int n = 0;

	while (change_step(c) != STEP_DONE) {
		assert_non_null(syncs_held);
		syncs_do_all();
		n++;
	}
	/* what was made, then its name and its row */
	assert_int_equal(n, 2);
	account_change_free(&c);
}

/* The client has gone: its job ends, and the next one's turn comes then. */
static void
test_gone(void **state)
{
	struct fixture *f = *state;
	struct account_change *first =
	    account_create(f->account, SLICE("INBOX.b"));
	struct account_change *second =
	    account_subscribe(f->account, SLICE("INBOX.a"), true);
	struct sync_job *job;

	assert_int_equal(change_step(first), STEP_WAIT_SYNC);
	assert_int_equal(change_step(second), STEP_WAIT_SYNC);
	job = syncs_held;
	account_change_free(&first);
	assert_int_equal(change_step(second), STEP_WAIT_SYNC);
	assert_ptr_equal(syncs_held, job);
	assert_null(job->next);
	change_n_woken = 0;
	syncs_do_all();
	assert_int_equal(change_n_woken, 1);
	assert_int_equal(change_finish(&second), 0);
	/* and one whose account goes, too */
	first = account_create(f->account, SLICE("INBOX.d"));
	assert_int_equal(change_step(first), STEP_WAIT_SYNC);
	account_change_free(&first);
	fixture_close(f);
	syncs_do_all();
	fixture_open(f);
}

static unsigned
deleted_trees(struct fixture *f)
{
	return count_files(fixture_path(f, "tmp"));
}

/* The files of what was deleted are removed by threads. */
static void
test_swept(void **state)
{
	enum { FILES = 900 }; /* a thousand go at a time */
	struct fixture *f = *state;
	struct account_change *c;
	struct mailbox *m;

	put_many(f, ".a/cur/", FILES, ".M1:2,", "x");
	c = account_delete(f->account, SLICE("INBOX.a"));
	assert_int_equal(change_finish(&c), 0);
	for (int i = 0; i < 3; i++)
		(void)store_tick(f->store, 1, f->wall_ms);
	assert_non_null(syncs_held);
	assert_null(syncs_held->next);
	assert_int_equal(deleted_trees(f), 1);
	/* what comes meanwhile may yet be put back; the account may go */
	assert_int_equal(
	    mkdir(fixture_path(f, "tmp/postern-deleted.0"), 0700), 0);
	write_file(fixture_path(f, "tmp/postern-deleted.0/x"), "x");
	fixture_close(f);
	syncs_do_all();
	assert_int_equal(
	    access(fixture_path(f, "tmp/postern-deleted.0/x"), F_OK), 0);
	assert_int_equal(deleted_trees(f), 1);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	for (int i = 0; i < 3; i++) {
		(void)store_tick(f->store, 1, f->wall_ms);
		syncs_do_all();
	}
	assert_int_equal(deleted_trees(f), 0);
	mailbox_close(&m);
}

/* What a process is at work on isn't swept up by another, unless it is so old
 * that the process must have ended. */
static void
test_not_swept(void **state)
{
	struct fixture *f = *state;
	const long long now_s = f->wall_ms / 1000;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *young = mem_printf("tmp/postern-work.%lld.M1P1_1.host", now_s);
	char *old =
	    mem_printf("tmp/postern-work.%lld.M1P1_1.host", now_s - 37 * 3600);

	assert_int_equal(mkdir(fixture_path(f, young), 0700), 0);
	assert_int_equal(mkdir(fixture_path(f, old), 0700), 0);
	for (int i = 0; i < 3; i++) {
		f->account->sweep = true;
		(void)store_tick(f->store, 1, f->wall_ms);
		syncs_do_all();
	}
	assert_int_equal(access(fixture_path(f, young), F_OK), 0);
	assert_int_not_equal(access(fixture_path(f, old), F_OK), 0);
	free(young);
	free(old);
	mailbox_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_not_swept, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_swept, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_busy, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_given_up, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_inbox_left, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_inbox_not_synced, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_created_left, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_unmade_left, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_slow, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_order, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_gone, change_setup, change_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
