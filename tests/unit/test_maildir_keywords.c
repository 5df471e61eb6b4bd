/*
 * A mailbox whose messages have had thousands of sets of keywords gives back
 * what no message has, without anybody having others than before.
 */
#include "base/log.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

enum { SETS = 4200 };

static void
set(struct fixture *f, struct mailbox *m, uint32_t uid, enum flags_how how,
    const char *keyword)
{
	assert_int_equal(run_flags(f, m, &uid, 1, how, 0, keyword), 0);
}

/* "1(last) 2(early)(kept)", after thousands of others that 1 had. */
static void
have_had_many(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	char keyword[16];

	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	refresh(f, m);
	set(f, m, 2, FLAGS_ADD, "early");
	for (int k = 0; k < SETS; k++) {
		(void)snprintf(keyword, sizeof(keyword), "k%d", k);
		set(f, m, 1, FLAGS_REPLACE, keyword);
		if (k == SETS / 2)
			set(f, m, 2, FLAGS_ADD, "kept");
	}
	set(f, m, 1, FLAGS_REPLACE, "last");
	mailbox_close(&m);
}

static uint64_t
highest(struct mailbox *m)
{
	struct view *v = mailbox_view(m);
	uint64_t modseq = view_highest_modseq(v);

	view_unref(&v);
	return modseq;
}

static void
gives_back_sets(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint64_t modseq;

	have_had_many(f);
	m = open_again(f, "INBOX");
	modseq = highest(m);
	assert_true(m->n_sets > SETS);
	mailbox_close(&m);
	for (int i = 0; i < 2; i++) {
		fixture_reopen(f);
		m = open_again(f, "INBOX");
		assert_listing(m, "1(last) 2(early)(kept)");
		assert_int_equal(highest(m), modseq);
		assert_int_equal(m->n_sets, 3);
		assert_int_equal(mailbox_n_keywords(m), 3);
		mailbox_close(&m);
	}
	m = open_again(f, "INBOX");
	set(f, m, 1, FLAGS_ADD, "kept");
	set(f, m, 2, FLAGS_REMOVE, "early");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "1(kept)(last) 2(kept)");
	mailbox_close(&m);
}

/* The mailbox as it is opened while another process has the database open. */
static struct mailbox *
open_beside(struct fixture *f, struct fixture *other)
{
	struct mailbox *m;

	have_had_many(f);
	fixture_close(f);
	fixture_open(other);
	assert_int_equal(account_open(other->account, NULL), 0);
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_true(m->n_sets > SETS);
	return m;
}

/* As long as another process has the database open all stays. */
static void
others_have_it_open(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m, *theirs;

	m = open_beside(f, &other);
	assert_listing(m, "1(last) 2(early)(kept)");
	theirs = open_again(&other, "INBOX");
	set(&other, theirs, 1, FLAGS_ADD, "more");
	mailbox_close(&theirs);
	refresh(f, m);
	assert_listing(m, "1(last)(more) 2(early)(kept)");
	mailbox_close(&m);
	fixture_close(&other);
}

/* One that has closed the database has the numbers still in memory. */
static void
others_know_numbers(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m, *theirs;

	m = open_beside(f, &other);
	account_close_db(f->account);
	fixture_reopen(&other);
	theirs = open_again(&other, "INBOX");
	assert_int_equal(theirs->n_sets, 3);
	set(&other, theirs, 1, FLAGS_ADD, "new");
	assert_listing(m, "1(last) 2(early)(kept)");
	assert_int_equal(try_refresh(f, m, true), ERR_STALE);
	assert_true(mailbox_gone(m));
	mailbox_close(&m);
	m = open_again(f, "INBOX");
	assert_listing(m, "1(last)(new) 2(early)(kept)");
	set(f, m, 2, FLAGS_ADD, "newer");
	mailbox_close(&m);
	refresh(&other, theirs);
	assert_listing(theirs, "1(last)(new) 2(early)(kept)(newer)");
	mailbox_close(&theirs);
	fixture_close(&other);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(gives_back_sets),
		CASE(others_have_it_open),
		CASE(others_know_numbers),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
