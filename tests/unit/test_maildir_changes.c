/*
 * CREATE, DELETE, RENAME and SUBSCRIBE as steps: nobody else of a worker waits
 * while one of them waits for the disk or for another process.
 */
#include <sys/stat.h>

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/syncer.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

enum { RENAMES_MAX = 20 };

/* --- a syncer that does nothing until it is told -------------------------- */

static struct sync_job *held;
static unsigned n_woken;

static void
hold(struct syncer *self, struct sync_job *job)
{
	struct sync_job **end = &held;

	(void)self;
	while (*end != NULL)
		end = &(*end)->next;
	job->next = NULL;
	*end = job;
}

static struct syncer holder = { .submit = hold };

static void
do_held(void)
{
	while (held != NULL) {
		struct sync_job *job = held;

		held = job->next;
		sync_job_do(job);
	}
}

static void
woken(void *arg)
{
	(void)arg;
	n_woken++;
}

static const struct waker waker = { woken, NULL };

static int
setup(void **state)
{
	int rc = fixture_setup(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	held = NULL;
	n_woken = 0;
	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	fixture_close(f);
	f->syncer = &holder;
	fixture_open(f);
	return 0;
}

static int
teardown(void **state)
{
	do_held();
	return fixture_teardown(state);
}

/* To its end, with the syncs it waits for. */
static int
finish(struct account_change **c)
{
	int rc = 0;

	while (account_change_step(*c, waker, &rc, NULL) != STEP_DONE) {
		assert_non_null(held);
		do_held();
	}
	account_change_free(c);
	return rc;
}

static enum step
step(struct account_change *c)
{
	int rc = 0;

	return account_change_step(c, waker, &rc, NULL);
}

/* --- another process ------------------------------------------------------ */

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
			assert_int_equal(finish(&c[k]), 0);
			c[k] = account_delete(f->account, SLICE("INBOX.b"));
			break;
		case 1:
			c[k] = account_rename(
			    f->account, SLICE("INBOX.a"), SLICE("INBOX.a2"));
			break;
		case 2:
			c[k] = account_delete(f->account, SLICE("INBOX.a2"));
			assert_int_equal(finish(&c[k]), 0);
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
			do_held();
			st = step(c[k]);
		}
		/* it says so, and is not waiting here */
		assert_int_equal(st, STEP_WAIT_PEER);
		assert_int_equal(step(c[k]), STEP_WAIT_PEER);
		assert_int_equal(fixture_sleeps, 0);
		assert_true(exists(f, names[k]) == !there[k]);
		fixture_give_back(h);
		assert_int_equal(finish(&c[k]), 0);
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

	assert_int_equal(step(c), STEP_WAIT_SYNC);
	h = fixture_take_database(f);
	do_held();
	assert_int_equal(step(c), STEP_WAIT_PEER);
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
			do_held();
			over = step(c) == STEP_DONE;
		}
		account_change_free(&c);
		do_held();
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
		rc = finish(&c);
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

	assert_int_equal(step(c), STEP_WAIT_SYNC);
	do_held();
	assert_int_equal(step(c), STEP_WAIT_SYNC);
	(void)deliver(f, ".b/", "text");
	account_change_free(&c);
	do_held();
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

		assert_int_equal(step(c), STEP_WAIT_SYNC);
		do_held();
		assert_int_equal(step(c), STEP_WAIT_SYNC);
		(void)snprintf(
		    path, sizeof(path), "%s/.b%u/new/1.M1", f->path, at);
		arrival = path;
		calls_before_mail = at;
		fsx_set_fault(deliver_and_end);
		account_change_free(&c);
		fsx_set_fault(NULL);
		assert_null(arrival);
		do_held();
		f->wall_ms += INT64_C(40) * 3600 * 1000;
		f->account->sweep = true;
		(void)store_tick(f->store, clock_now(), f->wall_ms);
		do_held();
		c = account_create(f->account, slice_str(name));
		(void)!finish(&c);
		m = open_mailbox(f, name);
		mailbox_close(&m);
		assert_int_equal(access(path, F_OK), 0);
		free(name);
	}
}

/* --- access control lists ------------------------------------------------- */

#define OWNERS "owner aceilrstwx\nadministrators aceilrstwx\n"

struct setting {
	struct fixture *f;
	const char *add; /* a line */
	unsigned n_read;
};

/* As a session does: what is there, and a line more. */
static int
add_line(void *arg, struct acl *out, struct err *e)
{
	struct setting *s = arg;
	int rc = account_acl(s->f->account, SLICE("INBOX.a"), out, e);

	s->n_read++;
	if (rc == 0)
		acl_parse(slice_str(s->add), out);
	return rc;
}

static void
assert_list(struct fixture *f, const char *path, const char *expected)
{
	char *text = read_file(fixture_path(f, path));

	assert_string_equal(text, expected);
	free(text);
}

/* The syncs are the syncer's, and nobody's line is lost. */
static void
test_acl(void **state)
{
	struct fixture *f = *state;
	struct setting s[2] = { { f, "user=x r\n", 0 },
		{ f, "user=y r\n", 0 } };
	struct account_change *c[2];

	for (int k = 0; k < 2; k++) {
		c[k] = account_acl_change(
		    f->account, SLICE("INBOX.a"), add_line, &s[k]);
		assert_int_equal(step(c[k]), STEP_WAIT_SYNC);
	}
	/* the second one's turn comes when the first is through */
	assert_int_equal(s[1].n_read, 0);
	assert_int_equal(
	    access(fixture_path(f, ".a/courierimapacl"), F_OK), -1);
	assert_int_equal(finish(&c[0]), 0);
	assert_int_equal(finish(&c[1]), 0);
	assert_list(f, ".a/courierimapacl", OWNERS "user=x r\nuser=y r\n");
}

/* Behind a RENAME of the mailbox, or a DELETE, it finds none. */
static void
test_acl_behind(void **state)
{
	struct fixture *f = *state;
	struct setting s = { f, "user=x r\n", 0 };
	struct account_change *c[2];

	for (int k = 0; k < 2; k++) {
		c[0] = k == 0 ? account_rename(f->account, SLICE("INBOX.a"),
				    SLICE("INBOX.b"))
			      : account_delete(f->account, SLICE("INBOX.a"));
		c[1] = account_acl_change(
		    f->account, SLICE("INBOX.a"), add_line, &s);
		assert_int_equal(step(c[0]), STEP_WAIT_SYNC);
		assert_int_equal(step(c[1]), STEP_WAIT_SYNC);
		assert_int_equal(finish(&c[0]), 0);
		assert_int_equal(finish(&c[1]), ERR_NOT_FOUND);
		assert_int_equal(s.n_read, 0);
		assert_int_equal(
		    access(fixture_path(f, ".a/courierimapacl"), F_OK), -1);
		c[0] = account_create(f->account, SLICE("INBOX.a"));
		assert_int_equal(finish(&c[0]), 0);
	}
}

/* Another process renames it, and makes another one of the name, before the
 * list is written: that isn't the one that might be changed. */
static void
test_acl_other_process(void **state)
{
	struct fixture *f = *state;
	struct setting s = { f, "user=x r\n", 0 };

	for (int again = 0; again < 2; again++) {
		struct account_change *c = account_acl_change(
		    f->account, SLICE("INBOX.a"), add_line, &s);

		assert_int_equal(step(c), STEP_WAIT_SYNC);
		assert_int_equal(s.n_read, again + 1);
		assert_int_equal(rename(fixture_path(f, ".a"),
				     fixture_path(f, again ? ".c" : ".b")),
		    0);
		if (again) {
			assert_int_equal(mkdir(fixture_path(f, ".a"), 0700), 0);
			assert_int_equal(
			    mkdir(fixture_path(f, ".a/cur"), 0700), 0);
		}
		assert_int_equal(finish(&c), ERR_NOT_FOUND);
		assert_int_equal(
		    access(fixture_path(f, ".a/courierimapacl"), F_OK), -1);
		assert_int_equal(
		    access(fixture_path(f, "courierimaphieracl/a"), F_OK), -1);
		if (!again)
			assert_int_equal(rename(fixture_path(f, ".b"),
					     fixture_path(f, ".a")),
			    0);
	}
}

static const char *hook_path;

/* Before the first rename: another process is quicker. */
static int
write_another(const char *call, const char *path)
{
	(void)path;
	if (strcmp(call, "rename") != 0 || hook_path == NULL)
		return 0;
	write_file(hook_path, "owner al\n");
	hook_path = NULL;
	return 0;
}

/* What inherits gets a copy, but not one that got a list meanwhile. */
static void
test_acl_copies(void **state)
{
	struct fixture *f = *state;
	struct setting s = { f, "user=x r\n", 0 };
	struct account_change *c;

	c = account_create(f->account, SLICE("INBOX.a.1"));
	assert_int_equal(finish(&c), 0);
	hook_path = fixture_path(f, ".a.1/courierimapacl");
	fsx_set_fault(write_another);
	c = account_acl_change(f->account, SLICE("INBOX.a"), add_line, &s);
	assert_int_equal(finish(&c), 0);
	fsx_set_fault(NULL);
	assert_null(hook_path);
	assert_list(f, ".a/courierimapacl", OWNERS "user=x r\n");
	assert_list(f, ".a.1/courierimapacl", "owner al\n");
	/* those that have none do */
	c = account_create(f->account, SLICE("INBOX.b"));
	assert_int_equal(finish(&c), 0);
	c = account_acl_change(f->account, SLICE("INBOX"), add_line, &s);
	assert_int_equal(finish(&c), 0);
	assert_list(f, ".b/courierimapacl", OWNERS);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
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
		assert_int_equal(step(c[k]), STEP_WAIT_SYNC);
	/* others go on */
	(void)deliver(f, ".a/", "text");
	m = open_mailbox(f, "INBOX.a");
	mailbox_close(&m);
	/* one after the other, in that order */
	for (size_t k = 0; k < 4; k++) {
		for (size_t j = 3; j > k; j--)
			assert_int_equal(step(c[j]), STEP_WAIT_SYNC);
		n_woken = 0;
		assert_int_equal(finish(&c[k]), 0);
		assert_true(n_woken > 0);
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

	while (step(c) != STEP_DONE) {
		assert_non_null(held);
		do_held();
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

	assert_int_equal(step(first), STEP_WAIT_SYNC);
	assert_int_equal(step(second), STEP_WAIT_SYNC);
	job = held;
	account_change_free(&first);
	assert_int_equal(step(second), STEP_WAIT_SYNC);
	assert_ptr_equal(held, job);
	assert_null(job->next);
	n_woken = 0;
	do_held();
	assert_int_equal(n_woken, 1);
	assert_int_equal(finish(&second), 0);
	/* and one whose account goes, too */
	first = account_create(f->account, SLICE("INBOX.d"));
	assert_int_equal(step(first), STEP_WAIT_SYNC);
	account_change_free(&first);
	fixture_close(f);
	do_held();
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
	char name[64];

	for (int i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), ".a/cur/%d.M1:2,", i);
		write_file(fixture_path(f, name), "x");
	}
	c = account_delete(f->account, SLICE("INBOX.a"));
	assert_int_equal(finish(&c), 0);
	for (int i = 0; i < 3; i++)
		(void)store_tick(f->store, 1, f->wall_ms);
	assert_non_null(held);
	assert_null(held->next);
	assert_int_equal(deleted_trees(f), 1);
	/* what comes meanwhile may yet be put back; the account may go */
	assert_int_equal(
	    mkdir(fixture_path(f, "tmp/postern-deleted.0"), 0700), 0);
	write_file(fixture_path(f, "tmp/postern-deleted.0/x"), "x");
	fixture_close(f);
	do_held();
	assert_int_equal(
	    access(fixture_path(f, "tmp/postern-deleted.0/x"), F_OK), 0);
	assert_int_equal(deleted_trees(f), 1);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	for (int i = 0; i < 3; i++) {
		(void)store_tick(f->store, 1, f->wall_ms);
		do_held();
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
		do_held();
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
		    test_not_swept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_swept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_inbox_left, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_inbox_not_synced, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_created_left, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_unmade_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acl, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_acl_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_acl_other_process, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_acl_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
