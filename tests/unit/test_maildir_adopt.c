/*
 * Courier was here again, and gave many UIDs: they are adopted in several
 * transactions, between which others look, add messages, or the process ends.
 */
#include <unistd.h>

#include "base/num.h"
#include "maildir/edit.h"
#include "tests/support/maildir_fixture.h"

enum {
	OURS = 1000,  /* messages before */
	MORE = 12000, /* that Courier gave UIDs since */
	FEW = 4000,   /* of them, where that is done again and again */
	CALLS_MAX = 1000,
	VALIDITY = 77,
};

/* OURS messages, and n more; none of them has a file. */
static void
write_list(struct fixture *f, unsigned n)
{
	write_uid_list(f, "courierimapuiddb", VALIDITY, OURS + n);
}

static struct mailbox *
open_ours(struct fixture *f)
{
	fresh_tree(f, "INBOX");
	write_list(f, 0);
	fixture_open(f);
	return open_mailbox(f, "INBOX");
}

/* Which message a UID names, from 0; -1: none. */
static int
number_of(struct mailbox *m, uint32_t uid)
{
	uint32_t seq = view_find(m->head, uid), i, number;
	const struct chunk *c;

	if (seq == 0)
		return -1;
	c = view_at(m->head, seq, &i);
	assert_true(num_u32(slice_first(chunk_base(c, i), 7), &number));
	/* and it is found by that name */
	assert_int_equal(mailbox_find_base(m, chunk_base(c, i)), uid);
	return (int)number - 1000000;
}

static void
assert_list(struct mailbox *m, unsigned n)
{
	assert_int_equal(view_count(m->head), n);
	assert_int_equal(mailbox_need_names(m, NULL, NULL), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(number_of(m, 2 * i + 1), i);
	assert_true(m->uidnext >= 2 * n + 1);
}

static unsigned
count_checks(struct mailbox *m)
{
	unsigned n = 1;
	int rc;

	while ((rc = import_check(m, true, NULL)) == ERR_MORE)
		assert_true(++n < CALLS_MAX);
	assert_int_equal(rc, 0);
	return n;
}

/* No piece takes more than a part of them; whoever looks at the mailbox in
 * between finds a beginning of the list, and nobody gives what comes next. */
static void
adopts_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_ours(f);
	uint32_t before = OURS, most = 0;
	unsigned n = 1;

	write_list(f, MORE);
	for (; import_check(m, true, NULL) == ERR_MORE; n++) {
		uint32_t now = view_count(m->head);

		if (now - before > most)
			most = now - before;
		before = now;
		assert_true(now == OURS || m->uidnext == 2 * (OURS + MORE) + 1);
		assert_true(n < CALLS_MAX);
	}
	assert_in_range(most, 1, PIECE_WORK / 4);
	assert_true(n >= 4 * MORE / PIECE_WORK);
	assert_list(m, OURS + MORE);
	assert_int_equal(count_checks(m), 1);
	mailbox_close(&m);
}

/* Another session of the worker that looks at the same time gets all of it. */
static void
refresh_ends_with_all(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_ours(f);
	int rc;

	write_list(f, MORE);
	do
		assert_int_equal(import_check(m, true, NULL), ERR_MORE);
	while (view_count(m->head) == OURS);
	assert_in_range(view_count(m->head), OURS + 1, OURS + MORE - 1);
	/* the files aren't there: it shows nothing that came by halves */
	refresh(f, m);
	assert_int_equal(view_count(m->shown), 0);
	assert_int_equal(view_uidnext(m->shown), 2 * (OURS + MORE) + 1);
	assert_null(m->imported.check);
	rc = import_check(m, true, NULL);
	assert_int_equal(rc, 0);
	mailbox_close(&m);
}

/* Both gave the same UIDs to others: ours get new ones, in pieces too. */
static void
renumbers_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_ours(f);
	unsigned n;
	FILE *out;

	write_list(f, MORE);
	(void)count_checks(m);
	out = fopen(fixture_path(f, "courierimapuiddb"), "w");
	assert_non_null(out);
	(void)fprintf(out, "1 %u %u\n", VALIDITY, 2 * (OURS + MORE) + 101);
	put_uid_lines(out, 1, 50000, OURS + MORE);
	assert_int_equal(fclose(out), 0);
	n = count_checks(m);
	assert_true(n >= 16 * MORE / PIECE_WORK);
	assert_int_equal(view_count(m->head), OURS + MORE);
	for (unsigned i = 0; i < OURS + MORE; i++) {
		assert_int_equal(number_of(m, 2 * i + 1), -1);
		assert_int_equal(number_of(m, 2 * (OURS + MORE) + 101 + i), i);
	}
	mailbox_close(&m);
}

/* Ended after each piece in turn, it goes on at the next start. */
static void
goes_on_after_an_end(void **state)
{
	struct fixture *f = *state;
	bool through = false;

	for (unsigned k = 1; !through; k++) {
		struct mailbox *m = open_ours(f);
		int rc = ERR_MORE;

		write_list(f, FEW);
		for (unsigned n = 0; rc == ERR_MORE && n < k; n++)
			rc = import_check(m, true, NULL);
		through = rc == 0;
		mailbox_close(&m);
		fixture_reopen(f);
		m = open_mailbox(f, "INBOX");
		assert_list(m, OURS + FEW);
		mailbox_close(&m);
	}
}

static void
begin_to_adopt(struct fixture *f, struct mailbox **m, unsigned n)
{
	*m = open_ours(f);
	write_list(f, n);
	do
		assert_int_equal(import_check(*m, true, NULL), ERR_MORE);
	while (view_count((*m)->head) == OURS);
}

/* The list is gone by then: what it said names nothing else. */
static void
list_goes_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t count, uid;

	begin_to_adopt(f, &m, MORE);
	count = view_count(m->head);
	assert_in_range(count, OURS + 1, OURS + MORE - 1);
	mailbox_close(&m);
	assert_int_equal(unlink(fixture_path(f, "courierimapuiddb")), 0);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_list(m, count);
	assert_int_equal(m->uidnext, 2 * (OURS + MORE) + 1);
	assert_int_equal(run_append(f, "INBOX", "text\n", 0, NULL, &uid), 0);
	assert_int_equal(uid, 2 * (OURS + MORE) + 1);
	/* nor when it comes back */
	write_list(f, MORE);
	(void)count_checks(m);
	for (unsigned i = count; i < OURS + MORE; i++)
		assert_int_equal(number_of(m, 2 * i + 1), -1);
	mailbox_close(&m);
}

/* A message comes in between: it keeps its UID, and no other one gets it. */
static void
message_comes_meanwhile(void **state)
{
	struct fixture *f = *state;
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
	struct mailbox *m;
	struct file_name name;
	struct edit ed;
	uint32_t count, uid;

	begin_to_adopt(f, &m, MORE);
	count = view_count(m->head);
	file_name_parse(SLICE("1999999.M1P1.host:2,"), false, &name);
	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	assert_int_equal(edit_append(&ed, &name, 0, &fixed, &uid, NULL), 0);
	assert_int_equal(edit_commit(&ed, NULL), 0);
	assert_int_equal(uid, 2 * (OURS + MORE) + 1);
	(void)count_checks(m);
	assert_int_equal(view_count(m->head), count + 1);
	assert_int_equal(number_of(m, uid), 999999);
	for (unsigned i = count; i < OURS + MORE; i++)
		assert_int_equal(number_of(m, 2 * i + 1), -1);
	mailbox_close(&m);
}

/* Two processes adopt it at a time; one of them has lost a message since. */
static void
processes_share_the_work(void **state)
{
	struct fixture *f = *state, other;
	struct mailbox *m, *theirs = NULL;
	struct edit ed;
	uint32_t i;
	size_t at;

	begin_to_adopt(f, &m, MORE);
	other = *f;
	fixture_open(&other);
	while (mailbox_open(other.account, SLICE("INBOX"), &theirs, NULL) ==
	    ERR_MORE)
		;
	assert_non_null(theirs);
	assert_list(theirs, OURS + MORE);
	assert_int_equal(edit_begin(&ed, theirs, NULL), 0);
	assert_true(edit_find(&ed, 2 * (OURS + MORE) - 1, &at, &i));
	edit_remove(&ed, at, i);
	assert_int_equal(edit_commit(&ed, NULL), 0);
	(void)count_checks(m);
	/* what went away meanwhile doesn't come back */
	assert_int_equal(mailbox_check(m, NULL), 0);
	assert_list(m, OURS + MORE - 1);
	mailbox_close(&m);
	mailbox_close(&theirs);
	fixture_close(&other);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(adopts_in_pieces),
		CASE(refresh_ends_with_all),
		CASE(renumbers_in_pieces),
		CASE(goes_on_after_an_end),
		CASE(list_goes_meanwhile),
		CASE(message_comes_meanwhile),
		CASE(processes_share_the_work),
	};

	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}
