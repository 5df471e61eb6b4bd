/*
 * The way back to Courier: its files, written from what is known here.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/export.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

static void
exports_all(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t uid;

	fresh_tree(f, "INBOX.a");
	put_cur(f, "1.M1:2,S", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	put_cur(f, "10.M1:2,", "ten\n");
	write_file(fixture_path(f, ".a/cur/3.M1:2,"), "three\n");
	write_file(
	    fixture_path(f, "courierimapuiddb"), "1 77 9\n3 1.M1\n5 10.M1\n");
	write_file(fixture_path(f, "courierpop3dsizelist"),
	    "/3 5 55\n1.M1:2, 4 1:55:1\n2.M1:2, 4 0:0:0\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "3:S 5 9");
	assert_pop3(m, "3=UID1-55 9=2.M1 5=UID5-55");
	uid = 3;
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "unused"), 0);
	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_REPLACE, MESSAGE_FLAGGED, "One"), 0);
	uid = 9;
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "Two"), 0);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "One"), 0);
	mailbox_close(&m);
	m = open_mailbox(f, "INBOX.a");
	mailbox_close(&m);
	run_export(f, false, 2);
	assert_file(
	    f, "courierimapuiddb", "1 77 10\n3 1.M1\n5 10.M1\n9 2.M1\n");
	assert_file(
	    f, "courierimapkeywords/:list", "One\nTwo\n\n1.M1:0\n2.M1:0 1\n");
	/* what Courier counted and knew stays; a new one has its true size */
	assert_file(f, "courierpop3dsizelist",
	    "/3 6 55\n1.M1:2,F 4 1:55:1\n2.M1:2, 4 0:0:0\n"
	    "10.M1:2, 5 5:55:0\n");
	assert_int_not_equal(
	    access(fixture_path(f, ".a/courierpop3dsizelist"), F_OK), 0);
	assert_int_not_equal(
	    access(fixture_path(f, ".a/courierimapkeywords"), F_OK), 0);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	assert_int_equal(count_files(fixture_path(f, ".a/tmp")), 0);
	/* nothing more to do, neither now nor after looking at it again */
	run_export(f, false, 0);
	m = open_again(f, "INBOX");
	assert_listing(m, "3:F(One) 5 9(One)(Two)");
	mailbox_close(&m);
	run_export(f, false, 0);
	run_export(f, true, 2);
	/* without keywords there is no list */
	m = open_again(f, "INBOX");
	uid = 9;
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_REPLACE, 0, NULL), 0);
	uid = 3;
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_REPLACE, 0, NULL), 0);
	mailbox_close(&m);
	run_export(f, false, 1);
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapkeywords/:list"), F_OK), 0);
}

/* Courier removed a keyword and set another one, and came with a new mail. */
static void
courier_between_two_sessions(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid, validity;
	char text[256];

	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	put_cur(f, "3.M1:2,", "three\n");
	refresh(f, m);
	validity = mailbox_uidvalidity(m);
	for (uid = 1; uid <= 3; uid++)
		assert_int_equal(
		    run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "kw"), 0);
	mailbox_close(&m);
	run_export(f, false, 1);
	/* not exported: 3 changes here */
	m = open_mailbox(f, "INBOX");
	uid = 3;
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "ours"), 0);
	mailbox_close(&m);
	fixture_close(f);
	/* Courier: */
	assert_int_equal(rename(fixture_path(f, "cur/1.M1:2,"),
			     fixture_path(f, "cur/1.M1:2,S")),
	    0);
	put_cur(f, "4.M1:2,", "four\n");
	(void)snprintf(text, sizeof(text),
	    "1 %u 5\n1 1.M1\n2 2.M1\n3 3.M1\n4 4.M1\n", validity);
	(void)unlink(fixture_path(f, "courierimapuiddb"));
	write_file(fixture_path(f, "courierimapuiddb"), text);
	(void)unlink(fixture_path(f, "courierimapkeywords/:list"));
	write_file(fixture_path(f, "courierimapkeywords/:list"),
	    "kw\ntheirs\n\n2.M1:0 1\n3.M1:0\n4.M1:1\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), validity);
	assert_listing(m, "1:S 2(kw)(theirs) 3(kw)(ours) 4(theirs)");
	mailbox_close(&m);
}

/* An update that was taken over doesn't come back. */
static void
updates_count_once(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid = 1;

	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	refresh(f, m);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "old"), 0);
	mailbox_close(&m);
	run_export(f, false, 1);
	write_file(fixture_path(f, "courierimapkeywords/1.M1"), "new\n");
	/* one for a message that comes later */
	write_file(fixture_path(f, "courierimapkeywords/9.M1"), "later\n");
	m = open_again(f, "INBOX");
	assert_listing(m, "1(new) 2");
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapkeywords/1.M1"), F_OK), 0);
	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_REPLACE, 0, "newer"), 0);
	write_file(fixture_path(f, "courierimapkeywords/2.M1"), "two\n");
	put_cur(f, "9.M1:2,", "nine\n");
	later(f);
	refresh(f, m);
	assert_listing(m, "1(newer) 2(two) 3(later)");
	mailbox_close(&m);
	run_export(f, false, 1);
	assert_file(f, "courierimapkeywords/:list",
	    "newer\ntwo\nlater\n\n1.M1:0\n2.M1:1\n9.M1:2\n");
	assert_int_equal(
	    count_files(fixture_path(f, "courierimapkeywords")), 1);
}

/* After a minute of quiet, by the tick alone; and at the end. */
static void
exports_in_the_background(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	f->export_courier = true;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	mailbox_close(&m);
	for (int i = 0; i < 55; i++)
		(void)store_tick(f->store, i * 1000, f->wall_ms);
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
	for (int i = 55; i < 70; i++)
		(void)store_tick(f->store, i * 1000, f->wall_ms);
	assert_int_equal(access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
	(void)unlink(fixture_path(f, "courierimapuiddb"));
	m = open_mailbox(f, "INBOX");
	put_cur(f, "2.M1:2,", "two\n");
	refresh(f, m);
	mailbox_close(&m);
	while (store_finish(f->store, 1, f->wall_ms))
		;
	assert_int_equal(access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
}

/* A database that was closed isn't opened again when nothing changed. */
static void
exports_nothing_unchanged(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t n;

	f->export_courier = true;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	while (store_finish(f->store, 1, f->wall_ms))
		;
	/* opened anew, read, and closed: by others who need the room */
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	account_close_db(f->account);
	n = f->account->n_opened;
	(void)unlink(fixture_path(f, "courierimapuiddb"));
	for (int i = 0; i < 70; i++)
		(void)store_tick(f->store, i * 1000, f->wall_ms);
	assert_int_equal(f->account->n_opened, n);
	/* a change is exported all the same */
	put_cur(f, "2.M1:2,", "two\n");
	refresh(f, m);
	account_close_db(f->account);
	for (int i = 0; i < 70; i++)
		(void)store_tick(f->store, i * 1000, f->wall_ms);
	assert_int_equal(access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
	mailbox_close(&m);
}

static unsigned
count_pieces(struct fixture *f)
{
	struct export *x = export_new(f->account, true);
	unsigned n = 0;
	enum step step;

	do {
		step = export_step(x, (struct waker){ 0 }, 1, f->wall_ms);
		n += step == STEP_YIELD;
	} while (step != STEP_DONE);
	assert_int_equal(export_result(x, NULL), 0);
	export_free(&x);
	return n;
}

static void
forget_sizes(struct mailbox *m)
{
	for (uint32_t seq = 1; seq <= view_count(m->head); seq++) {
		uint32_t i;
		const struct chunk *c = view_at(m->head, seq, &i);

		chunk_fixed(c, i)->file_size = SIZE_UNKNOWN;
		chunk_fixed(c, i)->wire_size = SIZE_UNKNOWN;
	}
}

/* Sizes that the disk has to be asked are asked for some at a time. */
static void
asks_for_few_sizes_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct pop3_entry *v;
	char name[32];
	size_t n_entries;
	unsigned n;

	for (int i = 1; i <= 1000; i++) {
		(void)snprintf(name, sizeof(name), "%d.M1:2,", i);
		put_cur(f, name, "x\n");
	}
	refresh(f, m);
	assert_int_equal(run_pop3(m, &v, &n_entries), 0);
	free(v);
	forget_sizes(m);
	n = count_pieces(f);
	/* now they are known */
	assert_true(n > count_pieces(f) + 5);
	assert_true(n < count_pieces(f) + 50);
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(exports_all),
		CASE(courier_between_two_sessions),
		CASE(updates_count_once),
		CASE(exports_in_the_background),
		CASE(exports_nothing_unchanged),
		CASE(asks_for_few_sizes_at_a_time),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
