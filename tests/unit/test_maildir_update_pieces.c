/*
 * Updates of keywords (test_maildir_updates.c), as many as there may be: a
 * thread renames those that were taken over, and removes merged ones, some at a
 * time.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/export.h"
#include "maildir/import_impl.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/syncs.h"

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

/* INBOX of an account whose syncs are held. */
static struct mailbox *
open_held(struct fixture *f)
{
	f->syncer = &syncs_holder;
	fixture_reopen(f);
	return open_mailbox(f, "INBOX");
}

/* A message, known, and room for updates of its keywords. */
static struct mailbox *
with_one(struct fixture *f)
{
	struct mailbox *m = open_held(f);

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	put_dir(f, "courierimapkeywords");
	return m;
}

/* Many messages, known, with a file for the keywords of each. */
static struct mailbox *
with_many(struct fixture *f, const char *prefix)
{
	struct mailbox *m = open_held(f);
	char name[64];

	for (int i = 1; i <= MANY; i++) {
		(void)snprintf(name, sizeof(name), "%d.M1:2,", i);
		put_cur(f, name, "x\n");
	}
	refresh(f, m);
	put_dir(f, "courierimapkeywords");
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
	size_t theirs = mailbox_keyword_find(m, SLICE("theirs")), n;

	assert_int_equal(view_count(v), MANY);
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		const uint16_t *set =
		    mailbox_keyword_set(m, view_get(v, seq)->keywords, &n);

		assert_int_equal(n, 1);
		assert_int_equal(set[0], theirs);
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

/* Courier's old list, and an update for each message, of which some are read:
 * not the last ones. */
static struct mailbox *
with_some_read(struct fixture *f)
{
	struct mailbox *m = with_many(f, "");
	FILE *list = fopen(fixture_path(f, "courierimapkeywords/:list"), "w");
	enum step step = STEP_YIELD;
	int rc;

	assert_non_null(list);
	(void)fprintf(list, "old\n\n");
	for (int i = 1; i <= MANY; i++)
		(void)fprintf(list, "%d.M1:0\n", i);
	assert_int_equal(fclose(list), 0);
	while (m->imported.finish == NULL ||
	    m->imported.finish->keywords.updates.at == 0) {
		assert_int_equal(step, STEP_YIELD);
		step = mailbox_refresh(
		    m, false, (struct waker){ 0 }, 1, f->wall_ms, &rc);
	}
	assert_int_equal(step, STEP_YIELD);
	assert_in_range(m->imported.finish->keywords.updates.at, 1, MANY - 1);
	return m;
}

/* Somebody else merges one before it is read: it has another name then. */
static void
one_is_merged_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_some_read(f);

	assert_int_equal(rename(fixture_path(f, "courierimapkeywords/9.M1"),
			     fixture_path(f, "courierimapkeywords/.9.9.M1")),
	    0);
	refresh(f, m);
	assert_all_have_theirs(m);
	syncs_do_all();
	mailbox_close(&m);
}

/* A client sets a keyword before the one of an older update is taken over. */
static void
one_is_set_meanwhile(void **state)
{
	const uint32_t uid = 9;
	struct fixture *f = *state;
	struct mailbox *m = with_some_read(f);
	char *text;

	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "ours"), 0);
	refresh(f, m);
	text = strstr(listing(m), " 9");
	assert_non_null(text);
	if (strncmp(text, " 9(ours)(theirs) ", 17) != 0 &&
	    strncmp(text, " 9(theirs)(ours) ", 17) != 0)
		fail_msg("%.30s", text);
	syncs_do_all();
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
	refresh(f, m);
	assert_all_have_theirs(m);
	mailbox_close(&m);
}

/* Who waits for a message that doesn't come has nothing synced. */
static void
syncs_nothing_for_one_that_waits(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = with_one(f);

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
	refresh(f, m);
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

/* An update was taken over, and the disk hangs before it is renamed: only the
 * caller has that job. */
static struct mailbox *
with_one_hanging(struct fixture *f, struct sync_job **late)
{
	struct mailbox *m = with_one(f);

	write_file(fixture_path(f, "courierimapkeywords/1.M1"), "theirs\n");
	later(f);
	(void)refresh_some(f, m);
	assert_non_null(m->imported.renaming);
	*late = syncs_held;
	syncs_held = NULL;
	return m;
}

static void
assert_not_exported(struct fixture *f)
{
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
}

/* What is merged here, too, as long as it is being renamed. */
static void
tidies_when_all_are_renamed(void **state)
{
	struct fixture *f = *state;
	struct sync_job *late;
	struct mailbox *m = with_one_hanging(f, &late);
	struct export *x = export_new(f->account, false);

	for (int i = 0; i < 100; i++) {
		(void)export_step(x, (struct waker){ 0 }, 1, f->wall_ms);
		syncs_do_all();
	}
	assert_not_exported(f);
	syncs_held = late;
	syncs_do_all();
	assert_int_equal(finish_export(f, &x), 1);
	assert_file(f, "courierimapkeywords/:list", "theirs\n\n1.M1:0\n");
	assert_int_equal(count_keyword_files(f), 1);
	mailbox_close(&m);
}

static void
export_now(struct fixture *f)
{
	run_export(f, false, 1);
}

/* Whoever waits for that gives up some time, and lets others export. */
static void
gives_up_if_renaming_hangs(void **state)
{
	struct fixture *f = *state;
	struct sync_job *late;
	struct mailbox *m = with_one_hanging(f, &late);
	struct export *x = export_new(f->account, false);
	int64_t now = 1;
	int i;

	for (i = 0; i < 100; i++) {
		if (export_step(x, (struct waker){ 0 }, now += 500,
			f->wall_ms) == STEP_DONE)
			break;
		syncs_do_all();
	}
	assert_in_range(i, 20, 99);
	assert_int_equal(export_result(x, NULL), ERR_BUSY);
	assert_not_exported(f);
	fixture_elsewhere(f, export_now);
	assert_file(f, "courierimapkeywords/:list", "theirs\n\n1.M1:0\n");
	export_free(&x);
	syncs_held = late;
	syncs_do_all();
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
	assert_int_equal(finish_export(f, &x), 1);
	assert_file(f, "courierimapkeywords/.1.7.M1", "newer\n");
	assert_int_equal(count_keyword_files(f), 1);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(renames_in_pieces),
		CASE(one_is_merged_meanwhile),
		CASE(one_is_set_meanwhile),
		CASE(is_closed_while_renaming),
		CASE(syncs_nothing_for_one_that_waits),
		CASE(tidies_in_pieces),
		CASE(tidies_when_all_are_renamed),
		CASE(gives_up_if_renaming_hangs),
		CASE(tidies_no_newer_ones),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
