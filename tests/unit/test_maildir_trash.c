/*
 * The trash: when it is emptied, and what the quota counts of it.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/change.h"
#include "maildir/internal.h"
#include "maildir/trash.h"
#include "tests/support/maildir_fixture.h"

#define DAY_MS (INT64_C(86400) * 1000)

static void
parses_rules(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "Trash:7", "Trash=7 " },
		{ "Trash:7,Junk:30", "Trash=7 Junk=30 " },
		{ " Trash:7 , Lists.a:1", "Trash=7 Lists.a=1 " },
		{ "14", "Papierkorb=14 " },
		{ "0", "Papierkorb=1 " },
		{ "Trash:0,Junk:-5", "Trash=1 Junk=1 " },
		{ "a:b:9", "a:b=9 " },
		{ "Trash:,x,:7,Trash:seven", "" },
		{ "Trash:99999999999", "Trash=36500 " },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct trash_rule rules[TRASH_RULES_MAX];
		size_t n = trash_parse(
		    slice_str(cases[i].text), SLICE("Papierkorb"), rules);
		struct buf out;

		buf_init(&out, 4096);
		for (size_t k = 0; k < n; k++)
			buf_putf(&out, "%.*s=%u ", SLICE_ARG(rules[k].mailbox),
			    rules[k].days);
		assert_string_equal(buf_cstr(&out), cases[i].expected);
		buf_fini(&out);
	}
}

static void
pass(struct fixture *f, int64_t ms)
{
	f->wall_ms += ms;
	for (int i = 0; i < 130; i++)
		(void)store_tick(f->store, i * 1000, f->wall_ms);
}

static void
look_at(struct fixture *f, const char *name, const char *expected)
{
	struct mailbox *m = open_mailbox(f, name);

	refresh(f, m);
	assert_listing(m, expected);
	mailbox_close(&m);
}

static void
empties_by_date_of_saving(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	uint32_t uid;

	f->empty_trash = "Trash:7,Junk:2,Missing:1";
	fixture_reopen(f);
	(void)store_tick(f->store, 1, f->wall_ms);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Trash")), 0);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Junk")), 0);
	assert_int_equal(run_append(f, "INBOX", "inbox\n", 0, NULL, &uid), 0);
	assert_int_equal(
	    run_append(f, "INBOX.Junk", "junk\n", 0, NULL, &uid), 0);
	assert_int_equal(
	    run_append(f, "INBOX.Trash", "trash\n", 0, NULL, &uid), 0);
	pass(f, 3 * DAY_MS);
	look_at(f, "INBOX.Junk", "");
	look_at(f, "INBOX.Trash", "1");
	/* an old message is new in the trash; its mtime says nothing */
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(
	    utimensat(AT_FDCWD, fixture_path(f, message_path(m, 1)), old, 0),
	    0);
	assert_int_equal(run_copy(f, m, (const uint32_t[]){ 1 }, 1,
			     "INBOX.Trash", true, NULL),
	    0);
	mailbox_close(&m);
	pass(f, 3 * DAY_MS);
	look_at(f, "INBOX.Trash", "1 2");
	pass(f, 2 * DAY_MS);
	look_at(f, "INBOX.Trash", "2");
	pass(f, 3 * DAY_MS);
	look_at(f, "INBOX.Trash", "");
}

/* Neither a session nor a short pause empties it. */
static void
waits_for_quiet(void **state)
{
	struct fixture *f = *state;

	f->empty_trash = "1";
	f->trash_name = "Bin";
	fixture_reopen(f);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Bin")), 0);
	assert_int_equal(run_append(f, "INBOX.Bin", "x\n", 0, NULL, NULL), 0);
	f->wall_ms += 2 * DAY_MS;
	for (int i = 0; i < 50; i++) {
		(void)store_tick(f->store, i * 1000, f->wall_ms);
		look_at(f, "INBOX.Bin", "1");
	}
	pass(f, 0);
	look_at(f, "INBOX.Bin", "");
}

/* Another process has the database for longer than anybody waits: the trash
 * is emptied as soon as it has let go, not at the next round. */
static void
tries_again_when_busy(void **state)
{
	struct fixture *f = *state;
	sqlite3 *other = NULL;

	f->empty_trash = "Trash:7,Junk:7";
	fixture_reopen(f);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Trash")), 0);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Junk")), 0);
	assert_int_equal(run_append(f, "INBOX.Trash", "x\n", 0, NULL, NULL), 0);
	assert_int_equal(run_append(f, "INBOX.Junk", "x\n", 0, NULL, NULL), 0);
	assert_int_equal(
	    sqlite3_open(fixture_path(f, "postern.db"), &other), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL),
	    SQLITE_OK);
	pass(f, 8 * DAY_MS);
	assert_int_equal(count_files(fixture_path(f, ".Trash/cur")), 1);
	assert_int_equal(
	    sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	pass(f, 0);
	assert_int_equal(count_files(fixture_path(f, ".Trash/cur")), 0);
	assert_int_equal(count_files(fixture_path(f, ".Junk/cur")), 0);
}

static void
quota_and_trash(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid[] = { 1 };
	struct account_quota q;
	struct mailbox *m;

	f->quota = "1000S";
	f->trash_name = "Bin";
	for (int all = 0; all < 2; all++) {
		f->trash_quota = all != 0;
		fixture_reopen(f);
		(void)unlink(fixture_path(f, "maildirsize"));
		if (all == 0)
			assert_int_equal(
			    create_now(f->account, SLICE("INBOX.Bin")), 0);
		assert_int_equal(
		    run_append(f, "INBOX.Bin", "0123456789\n", 0, NULL, NULL),
		    0);
		assert_int_equal(
		    run_append(f, "INBOX", "0123\n", 0, NULL, NULL), 0);
		m = open_mailbox(f, "INBOX");
		refresh(f, m);
		assert_int_equal(
		    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_DELETED, NULL),
		    0);
		mailbox_close(&m);
		assert_int_equal(account_quota(f->account, &q, NULL), 0);
		assert_int_equal(q.bytes, all ? 2 * 11 + 2 * 5 : 0);
		assert_int_equal(q.messages, all ? 4 : 0);
		/* and it equals a recount */
		(void)unlink(fixture_path(f, "maildirsize"));
		assert_int_equal(account_quota(f->account, &q, NULL), 0);
		assert_int_equal(q.messages, all ? 4 : 0);
	}
}

/* A message that gets \Deleted while others are thrown away isn't removed: it
 * hasn't come into the trash. */
static void
removes_only_what_was_thrown_away(void **state)
{
	const uint32_t both[] = { 1, 2 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct change_expunge *c;
	size_t n;

	put_cur(f, "1.M1:2,T", "one\n");
	put_cur(f, "2.M2:2,", "two\n");
	refresh(f, m);
	assert_int_equal(
	    change_expunge_to_trash_begin(m, both, 2, NULL, 0, &c, NULL), 0);
	assert_int_equal(
	    run_flags(f, m, &both[1], 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	while (change_expunge_step(c, (struct waker){ 0 }, 1, f->wall_ms) !=
	    STEP_DONE)
		;
	assert_int_equal(change_expunge_result(c, &n), 0);
	assert_int_equal(n, 1);
	change_expunge_free(&c);
	assert_int_equal(count_files(fixture_path(f, ".Trash/cur")), 1);
	assert_listing(m, "2:T");
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_rules),
		CASE(empties_by_date_of_saving),
		CASE(waits_for_quiet),
		CASE(tries_again_when_busy),
		CASE(quota_and_trash),
		CASE(removes_only_what_was_thrown_away),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
