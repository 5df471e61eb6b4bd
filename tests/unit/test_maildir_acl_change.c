/*
 * Access control lists that change by steps: nobody's line is lost, and no
 * mailbox gets what was meant for another one.
 */
#include <sys/stat.h>

#include <stdio.h>
#include <unistd.h>

#include "base/fsx.h"
#include "tests/unit/change_fixture.h"

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
		assert_int_equal(change_step(c[k]), STEP_WAIT_SYNC);
	}
	/* the second one's turn comes when the first is through */
	assert_int_equal(s[1].n_read, 0);
	assert_int_equal(
	    access(fixture_path(f, ".a/courierimapacl"), F_OK), -1);
	assert_int_equal(change_finish(&c[0]), 0);
	assert_int_equal(change_finish(&c[1]), 0);
	assert_file(f, ".a/courierimapacl", OWNERS "user=x r\nuser=y r\n");
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
		assert_int_equal(change_step(c[0]), STEP_WAIT_SYNC);
		assert_int_equal(change_step(c[1]), STEP_WAIT_SYNC);
		assert_int_equal(change_finish(&c[0]), 0);
		assert_int_equal(change_finish(&c[1]), ERR_NOT_FOUND);
		assert_int_equal(s.n_read, 0);
		assert_int_equal(
		    access(fixture_path(f, ".a/courierimapacl"), F_OK), -1);
		c[0] = account_create(f->account, SLICE("INBOX.a"));
		assert_int_equal(change_finish(&c[0]), 0);
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

		assert_int_equal(change_step(c), STEP_WAIT_SYNC);
		assert_int_equal(s.n_read, again + 1);
		assert_int_equal(rename(fixture_path(f, ".a"),
				     fixture_path(f, again ? ".c" : ".b")),
		    0);
		if (again) {
			assert_int_equal(mkdir(fixture_path(f, ".a"), 0700), 0);
			assert_int_equal(
			    mkdir(fixture_path(f, ".a/cur"), 0700), 0);
		}
		assert_int_equal(change_finish(&c), ERR_NOT_FOUND);
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
	assert_int_equal(change_finish(&c), 0);
	hook_path = fixture_path(f, ".a.1/courierimapacl");
	fsx_set_fault(write_another);
	c = account_acl_change(f->account, SLICE("INBOX.a"), add_line, &s);
	assert_int_equal(change_finish(&c), 0);
	fsx_set_fault(NULL);
	assert_null(hook_path);
	assert_file(f, ".a/courierimapacl", OWNERS "user=x r\n");
	assert_file(f, ".a.1/courierimapacl", "owner al\n");
	/* those that have none do */
	c = account_create(f->account, SLICE("INBOX.b"));
	assert_int_equal(change_finish(&c), 0);
	c = account_acl_change(f->account, SLICE("INBOX"), add_line, &s);
	assert_int_equal(change_finish(&c), 0);
	assert_file(f, ".b/courierimapacl", OWNERS);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_acl, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_acl_behind, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_acl_other_process, change_setup, change_teardown),
		cmocka_unit_test_setup_teardown(
		    test_acl_copies, change_setup, change_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
