/*
 * Updates of keywords: files of courierimapkeywords/ that maildirkw puts there,
 * each the new set of one message.  They count once, whoever takes them over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/syncs.h"

/* A program of Courier's sets keywords while a session is open. */
static void
sees_maildirkw(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	assert_int_equal(
	    run_flags(f, m, (const uint32_t[]){ 1 }, 1, FLAGS_ADD, 0, "mine"),
	    0);
	put_dir(f, "courierimapkeywords");
	write_file(fixture_path(f, "courierimapkeywords/1.M1"), "theirs\n");
	later(f);
	refresh(f, m);
	assert_listing(m, "1(theirs)");
	/* no such name can be renamed when it has been taken over: it would
	 * count again and again */
	write_file(
	    fixture_path(f, "courierimapkeywords/1.M1:2,"), "for ever\n");
	later(f);
	refresh(f, m);
	assert_listing(m, "1(theirs)");
	mailbox_close(&m);
}

static void
append_one(struct fixture *f)
{
	assert_int_equal(run_append(f, "INBOX", "theirs\n", 0, NULL, NULL), 0);
}

static void
take_over_and_remove(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid = 1;

	refresh(f, m);
	assert_listing(m, "1(theirs)");
	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_REMOVE, 0, "theirs"), 0);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/*
 * All is read and synced but keywords that wait for the database: who comes
 * then is told what was committed before he came.
 */
static void
tells_what_came_while_keywords_waited(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *again;
	struct view *v;
	struct sqlite3 *h;

	f->syncer = &syncs_holder;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	put_dir(f, "courierimapkeywords");
	write_file(fixture_path(f, "courierimapkeywords/1.M1"), "theirs\n");
	later(f);
	fixture_elsewhere(f, append_one);
	assert_int_equal(refresh_some(f, m), STEP_WAIT_SYNC);
	h = fixture_take_database(f);
	syncs_do_all();
	assert_int_equal(refresh_some(f, m), STEP_WAIT_PEER);
	fixture_give_back(h);

	fixture_elsewhere(f, append_one);
	again = open_mailbox(f, "INBOX");
	refresh(f, again);
	v = mailbox_view(again);
	assert_int_equal(view_count(v), 3);
	view_unref(&v);
	mailbox_close(&again);
	mailbox_close(&m);
}

struct source {
	const char *name, *text;
};
/* Of the message 1.M1: an update, and a list that Courier wrote. */
static const struct source sources[] = {
	{ "courierimapkeywords/1.M1", "theirs\n" },
	{ "courierimapkeywords/:list", "theirs\n\n1.M1:0\n" },
};

/* What this process has read, but another has taken over first. */
static void
takes_nothing_over_twice(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct sqlite3 *h;

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	put_dir(f, "courierimapkeywords");
	for (size_t i = 0; i < NELEMS(sources); i++) {
		write_file(fixture_path(f, sources[i].name), sources[i].text);
		later(f);
		h = fixture_take_database(f);
		assert_int_equal(refresh_some(f, m), STEP_WAIT_PEER);
		fixture_give_back(h);
		fixture_elsewhere(f, take_over_and_remove);
		refresh(f, m);
		assert_listing(m, "1");
	}
	mailbox_close(&m);
}

static void
write_update(struct fixture *f, const char *keyword)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s\n", keyword);
	write_file(fixture_path(f, "courierimapkeywords/1.M1"), text);
}

/* INBOX with a message, and an update of its keywords that has just come. */
static struct mailbox *
with_update(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	put_dir(f, "courierimapkeywords");
	write_update(f, "theirs");
	f->wall_ms = clock_wall();
	store_tick(f->store, 1, f->wall_ms);
	return m;
}

static struct fixture *acts; /* when an update is about to be renamed */
static void (*act)(struct fixture *f);
static int act_fails;

static int
on_rename(const char *call, const char *path)
{
	struct fixture *f = acts;

	if (f == NULL || strcmp(call, "rename") != 0 ||
	    strcmp(path, "1.M1") != 0)
		return 0;
	acts = NULL;
	act(f);
	return act_fails;
}

static void
refresh_while(struct fixture *f, struct mailbox *m,
    void (*fn)(struct fixture *f), int fails)
{
	acts = f;
	act = fn;
	act_fails = fails;
	fsx_set_fault(on_rename);
	refresh(f, m);
	fsx_set_fault(NULL);
	assert_null(acts);
}

/* A client does, whose process has seen the commit, not the update. */
static void
remove_theirs(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid = 1;

	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_REMOVE, 0, "theirs"), 0);
	assert_listing(m, "1");
	mailbox_close(&m);
}

static void
look(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_listing(m, "1");
	mailbox_close(&m);
}

static void
remove_and_look(struct fixture *f)
{
	fixture_elsewhere(f, remove_theirs);
	fixture_elsewhere(f, look);
}

/* The file is still there when others look: this process hasn't come to rename
 * it, or died before, or can't. */
static void
counts_once_while_it_is_there(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_update(f);

	refresh_while(f, m, remove_and_look, 0);
	refresh(f, m);
	assert_listing(m, "1");
	/* it is the file that counts once, not what it says */
	write_update(f, "theirs");
	later(f);
	refresh(f, m);
	assert_listing(m, "1(theirs)");
	mailbox_close(&m);
}

static void
counts_once_though_it_stays(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_update(f);

	refresh_while(f, m, remove_and_look, EACCES);
	for (int i = 0; i < 3; i++) {
		later(f);
		refresh(f, m);
		assert_listing(m, "1");
	}
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "1");
	mailbox_close(&m);
}

static void
update_again(struct fixture *f)
{
	next_tick();
	assert_int_equal(rename(fixture_path(f, "new.update"),
			     fixture_path(f, "courierimapkeywords/1.M1")),
	    0);
}

/* Another update comes when the one before is about to be renamed. */
static void
leaves_one_that_came_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_update(f);

	write_file(fixture_path(f, "new.update"), "newer\n");
	later(f);
	refresh_while(f, m, update_again, 0);
	later(f);
	refresh(f, m);
	assert_listing(m, "1(newer)");
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapkeywords/1.M1"), F_OK), 0);
	mailbox_close(&m);
}

/* Of the same process another session changes keywords, between the look at
 * those of messages that are known and that at those of new ones. */
static void
keeps_what_changed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *other;
	const uint32_t uid = 1;

	f->syncer = &syncs_holder;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	other = open_mailbox(f, "INBOX");
	put_dir(f, "courierimapkeywords");
	for (size_t i = 0; i < NELEMS(sources); i++) {
		run_export(f, true, 1);
		write_file(fixture_path(f, sources[i].name), sources[i].text);
		put_cur(f, i == 0 ? "2.M1:2," : "3.M1:2,", "new\n");
		later(f);
		assert_int_equal(refresh_some(f, m), STEP_WAIT_SYNC);
		assert_int_equal(
		    run_flags(f, other, &uid, 1, FLAGS_REMOVE, 0, "theirs"), 0);
		refresh(f, m);
		assert_listing(m, i == 0 ? "1 2" : "1 2 3");
	}
	mailbox_close(&other);
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(sees_maildirkw),
		CASE(tells_what_came_while_keywords_waited),
		CASE(takes_nothing_over_twice),
		CASE(counts_once_while_it_is_there),
		CASE(counts_once_though_it_stays),
		CASE(leaves_one_that_came_meanwhile),
		CASE(keeps_what_changed_meanwhile),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
