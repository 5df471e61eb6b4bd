/*
 * Updates of keywords: files of courierimapkeywords/ that maildirkw puts there,
 * each the new set of one message.  They count once, whoever takes them over.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/export.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/syncs.h"

static void
make_dir(struct fixture *f, const char *name)
{
	assert_int_equal(mkdir(fixture_path(f, name), 0700), 0);
}

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
	make_dir(f, "courierimapkeywords");
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

/* Until it waits, or is through. */
static enum step
refresh_some(struct fixture *f, struct mailbox *m)
{
	const struct waker nobody = { NULL, NULL };
	enum step step;
	int rc = 0;

	do
		step = mailbox_refresh(m, true, nobody, 1, f->wall_ms, &rc);
	while (step == STEP_YIELD);
	assert_int_equal(rc, 0);
	return step;
}

static void
refresh_all(struct fixture *f, struct mailbox *m)
{
	while (refresh_some(f, m) != STEP_DONE)
		syncs_do_all();
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

	fixture_close(f);
	f->syncer = &syncs_holder;
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh_all(f, m);
	make_dir(f, "courierimapkeywords");
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
	refresh_all(f, again);
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
	make_dir(f, "courierimapkeywords");
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
	make_dir(f, "courierimapkeywords");
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

static void
export_all(struct fixture *f)
{
	struct export *x = export_new(f->account, true);

	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		syncs_do_all();
	assert_int_equal(export_result(x, NULL), 0);
	export_free(&x);
}

/* Of the same process another session changes keywords, between the look at
 * those of messages that are known and that at those of new ones. */
static void
keeps_what_changed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *other;
	const uint32_t uid = 1;

	fixture_close(f);
	f->syncer = &syncs_holder;
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh_all(f, m);
	other = open_mailbox(f, "INBOX");
	make_dir(f, "courierimapkeywords");
	for (size_t i = 0; i < NELEMS(sources); i++) {
		export_all(f);
		write_file(fixture_path(f, sources[i].name), sources[i].text);
		put_cur(f, i == 0 ? "2.M1:2," : "3.M1:2,", "new\n");
		later(f);
		assert_int_equal(refresh_some(f, m), STEP_WAIT_SYNC);
		assert_int_equal(
		    run_flags(f, other, &uid, 1, FLAGS_REMOVE, 0, "theirs"), 0);
		refresh_all(f, m);
		assert_listing(m, i == 0 ? "1 2" : "1 2 3");
	}
	mailbox_close(&other);
	mailbox_close(&m);
}

/* --- in pieces ------------------------------------------------------------ */

enum { MANY = 8 * COURIER_UPDATES_PIECE };

static int n_calls; /* of those that are counted */
static const char *counted;

static int
on_counted(const char *call, const char *path)
{
	/* in the directory of keywords */
	n_calls += strcmp(call, counted) == 0 && strchr(path, '/') == NULL &&
	    strstr(path, ".M1") != NULL;
	return 0;
}

/* The loop does nothing but hand pieces over. */
static void
do_a_piece(void)
{
	struct sync_job *job = syncs_held;

	assert_non_null(job);
	assert_int_equal(n_calls, 0);
	syncs_held = job->next;
	job->error = job->run(job);
	assert_in_range(n_calls, 0, COURIER_UPDATES_PIECE);
	n_calls = 0;
	job->done(job);
	assert_int_equal(n_calls, 0);
}

static void
begin_counting(const char *call)
{
	counted = call;
	n_calls = 0;
	fsx_set_fault(on_counted);
}

static void
hold_syncs(struct fixture *f)
{
	fixture_close(f);
	f->syncer = &syncs_holder;
	fixture_open(f);
}

/* Many messages, known, with a file for the keywords of each. */
static struct mailbox *
with_many(struct fixture *f, const char *prefix)
{
	struct mailbox *m;
	char name[64];

	hold_syncs(f);
	m = open_mailbox(f, "INBOX");
	for (int i = 1; i <= MANY; i++) {
		(void)snprintf(name, sizeof(name), "%d.M1:2,", i);
		put_cur(f, name, "x\n");
	}
	refresh_all(f, m);
	make_dir(f, "courierimapkeywords");
	for (int i = 1; i <= MANY; i++) {
		(void)snprintf(name, sizeof(name),
		    "courierimapkeywords/%s%d.M1", prefix, i);
		write_file(fixture_path(f, name), "theirs\n");
	}
	later(f);
	return m;
}

static size_t
count_keyword_files(struct fixture *f)
{
	struct dir_reader r;
	struct slice name;
	size_t n = 0;

	assert_int_equal(
	    dir_reader_open(&r, f->account->root_fd, "courierimapkeywords"), 0);
	while (dir_reader_next(&r, &name))
		n++;
	dir_reader_close(&r);
	return n;
}

static void
assert_all_have_theirs(struct mailbox *m)
{
	struct view *v = mailbox_view(m);
	size_t n;

	assert_int_equal(view_count(v), MANY);
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		(void)mailbox_keyword_set(m, view_get(v, seq)->keywords, &n);
		assert_int_equal(n, 1);
	}
	view_unref(&v);
}

static bool
is_there(struct fixture *f, int i)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "courierimapkeywords/%d.M1", i);
	return access(fixture_path(f, name), F_OK) == 0;
}

/* Updates that were taken over are renamed by a thread, some at a time. */
static void
renames_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_many(f, "");
	enum step step;

	begin_counting("rename");
	/* not all are taken over at once */
	for (int i = 0; i < 4; i++) {
		do {
			step = refresh_some(f, m);
			while (syncs_held != NULL)
				do_a_piece();
		} while (step != STEP_DONE);
		later(f);
	}
	fsx_set_fault(NULL);
	assert_all_have_theirs(m);
	assert_null(m->imported.renaming);
	assert_int_equal(count_keyword_files(f), MANY);
	for (int i = 1; i <= MANY; i++)
		assert_false(is_there(f, i));
	mailbox_close(&m);
}

/* The mailbox goes while a thread renames. */
static void
is_closed_while_renaming(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_many(f, "");
	int n = 0;

	(void)refresh_some(f, m);
	assert_non_null(m->imported.renaming);
	begin_counting("rename");
	while (n_calls == 0)
		assert_true(syncs_do_one());
	fsx_set_fault(NULL);
	assert_non_null(m->imported.renaming);
	mailbox_close(&m);
	fixture_close(f);
	syncs_do_all();
	for (int i = 1; i <= MANY; i++)
		n += is_there(f, i);
	assert_in_range(n, 1, MANY - COURIER_UPDATES_PIECE);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh_all(f, m);
	assert_all_have_theirs(m);
	mailbox_close(&m);
}

/* Who waits for a message that doesn't come has nothing synced. */
static void
syncs_nothing_for_one_that_waits(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	hold_syncs(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh_all(f, m);
	make_dir(f, "courierimapkeywords");
	write_file(fixture_path(f, "courierimapkeywords/9.M1"), "theirs\n");
	f->wall_ms = clock_wall();
	for (int i = 0; i < 3; i++) {
		store_tick(f->store, 1, f->wall_ms);
		assert_int_equal(refresh_some(f, m), STEP_DONE);
		assert_int_equal(syncs_count_held(), 0);
		assert_null(m->imported.renaming);
	}
	put_cur(f, "9.M1:2,", "nine\n");
	later(f);
	refresh_all(f, m);
	assert_listing(m, "1 2(theirs)");
	syncs_do_all();
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapkeywords/9.M1"), F_OK), 0);
	mailbox_close(&m);
}

/* Until a piece of the merged updates is about to be removed. */
static struct export *
export_until_tidying(struct fixture *f)
{
	struct export *x = export_new(f->account, false);

	for (;;) {
		(void)export_step(x, (struct waker){ 0 }, 1, f->wall_ms);
		if (access(fixture_path(f, "courierimapuiddb"), F_OK) == 0)
			break;
		syncs_do_all();
	}
	assert_int_equal(syncs_count_held(), 1);
	assert_int_equal(count_keyword_files(f), MANY);
	return x;
}

/* Merged updates are removed by a thread, some at a time, and before it is
 * noted that their mailbox has been exported. */
static void
tidies_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_many(f, ".1.");
	struct export *x;
	unsigned n;

	mailbox_close(&m);
	/* cut short, it is done again */
	x = export_until_tidying(f);
	export_free(&x);
	syncs_do_all();
	assert_int_equal(count_keyword_files(f), MANY - COURIER_UPDATES_PIECE);

	x = export_new(f->account, false);
	begin_counting("unlink");
	while (
	    export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE) {
		assert_int_equal(n_calls, 0);
		while (syncs_held != NULL)
			do_a_piece();
	}
	fsx_set_fault(NULL);
	assert_int_equal(export_result(x, &n), 0);
	assert_int_equal(n, 1);
	export_free(&x);
	assert_int_equal(count_keyword_files(f), 0);
}

/* What is merged here, too, as long as it is being renamed. */
static void
tidies_when_all_are_renamed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct sync_job *late;
	struct export *x;

	hold_syncs(f);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	refresh_all(f, m);
	make_dir(f, "courierimapkeywords");
	write_file(fixture_path(f, "courierimapkeywords/1.M1"), "theirs\n");
	later(f);
	(void)refresh_some(f, m);
	assert_non_null(m->imported.renaming);
	late = syncs_held;
	syncs_held = NULL;
	x = export_new(f->account, false);
	for (int i = 0; i < 100; i++) {
		(void)export_step(x, (struct waker){ 0 }, 1, f->wall_ms);
		syncs_do_all();
	}
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
	syncs_held = late;
	syncs_do_all();
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		syncs_do_all();
	export_free(&x);
	assert_file(f, "courierimapkeywords/:list", "theirs\n\n1.M1:0\n");
	assert_int_equal(count_keyword_files(f), 1);
	mailbox_close(&m);
}

/* An update that is merged meanwhile, under a name that was there. */
static void
tidies_no_newer_ones(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_many(f, ".1.");
	struct export *x;

	mailbox_close(&m);
	x = export_until_tidying(f);
	write_file(fixture_path(f, "new.update"), "newer\n");
	assert_int_equal(rename(fixture_path(f, "new.update"),
			     fixture_path(f, "courierimapkeywords/.1.7.M1")),
	    0);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		syncs_do_all();
	export_free(&x);
	assert_file(f, "courierimapkeywords/.1.7.M1", "newer\n");
	assert_int_equal(count_keyword_files(f), 1);
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
		CASE(renames_in_pieces),
		CASE(is_closed_while_renaming),
		CASE(syncs_nothing_for_one_that_waits),
		CASE(tidies_in_pieces),
		CASE(tidies_when_all_are_renamed),
		CASE(tidies_no_newer_ones),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
