/*
 * How the files for Courier come into their places: beside other processes and
 * a RENAME, and cut short.
 */
#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/export.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

/* Whether Courier's list has it. */
static bool
has_word(struct fixture *f, const char *word)
{
	char *text = read_file(fixture_path(f, "courierimapkeywords/:list"));
	bool has = strstr(text, word) != NULL;

	free(text);
	return has;
}

static void
step_export(struct fixture *f, struct export *x)
{
	assert_int_not_equal(
	    export_step(x, (struct waker){ 0 }, 1, f->wall_ms), STEP_DONE);
}

/* INBOX is renamed while its files are written, or when they are to be placed:
 * the keywords go with the messages, and what was begun is left. */
static void
export_leaves_a_renamed_inbox(void **state)
{
	static const struct {
		const char *to, *list;
		unsigned files, more;
	} cases[] = {
		{ "INBOX.a", ".a/courierimapkeywords/:list", 1, 0 },
		{ "INBOX.b", ".b/courierimapkeywords/:list", 2, 2 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct mailbox *m = open_again(f, "INBOX");
		uint32_t uid = (uint32_t)i + 1;
		const char *shown[] = { "1(kw)", "2(kw)" };
		struct export *x;

		next_tick();
		put_cur(f, "1.M1:2,", "one\n");
		refresh(f, m);
		assert_int_equal(
		    run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "kw"), 0);
		mailbox_close(&m);
		x = export_new(f->account, true);
		while (count_files(fixture_path(f, "tmp")) < cases[i].files)
			step_export(f, x);
		for (unsigned n = 0; n < cases[i].more; n++)
			step_export(f, x);
		assert_int_equal(rename_now(f->account, SLICE("INBOX"),
				     slice_str(cases[i].to)),
		    0);
		while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) !=
		    STEP_DONE)
			;
		assert_int_equal(export_result(x, NULL), 0);
		export_free(&x);
		assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
		m = open_again(f, "INBOX");
		assert_listing(m, "");
		mailbox_close(&m);
		m = open_again(f, cases[i].to);
		assert_listing(m, shown[i]);
		mailbox_close(&m);
		run_export(f, true, (unsigned)i + 2);
		assert_file(f, cases[i].list, "kw\n\n1.M1:0\n");
	}
}

/* Another process takes the database as the files are in their place. */
static struct db *taker;

static int
takes_database(const char *call, const char *path)
{
	if (taker != NULL && strcmp(call, "unlink") == 0 &&
	    strstr(path, "courier.lock") != NULL) {
		assert_int_equal(db_begin(taker, NULL), 0);
		taker = NULL;
	}
	return 0;
}

/* Until the files can be announced none is placed; when they are, and can't be
 * noted yet, they stay. */
static void
export_waits_for_the_database(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const char *list = fixture_path(f, "courierimapkeywords/:list");
	const uint32_t uid = 1;
	struct export *x;

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "kw"), 0);
	mailbox_close(&m);
	fixture_open(&other);
	assert_int_equal(account_open(other.account, NULL), 0);
	assert_int_equal(db_begin(&other.account->db, NULL), 0);
	x = export_new(f->account, false);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) !=
	    STEP_WAIT_PEER)
		;
	assert_int_not_equal(access(list, F_OK), 0);
	db_rollback(&other.account->db);
	taker = &other.account->db;
	fsx_set_fault(takes_database);
	while (taker != NULL)
		assert_int_equal(
		    export_step(x, (struct waker){ 0 }, 1, f->wall_ms),
		    STEP_YIELD);
	fsx_set_fault(NULL);
	assert_int_equal(access(list, F_OK), 0);
	step_export(f, x);
	db_rollback(&other.account->db);
	fixture_close(&other);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		;
	assert_int_equal(export_result(x, NULL), 0);
	export_free(&x);
	assert_file(f, "courierimapkeywords/:list", "kw\n\n1.M1:0\n");
}

/* Set or remove a keyword of the only message. */
static void
change_keyword(struct fixture *f, enum flags_how how, const char *keyword)
{
	struct mailbox *m = open_again(f, "INBOX");
	const uint32_t uid = 1;

	assert_int_equal(run_flags(f, m, &uid, 1, how, 0, keyword), 0);
	mailbox_close(&m);
}

static void
put_one(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	mailbox_close(&m);
}

/* The list of the one that is cut short first is in its place, that of the
 * next one isn't: what is there is still ours. */
static void
export_is_cut_short_twice(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct export *x;
	char text[64];

	put_one(f);
	change_keyword(f, FLAGS_ADD, "kept");
	run_export(f, false, 1);
	change_keyword(f, FLAGS_ADD, "was");
	x = export_new(f->account, false);
	while (!has_word(f, "was"))
		step_export(f, x);
	export_free(&x);
	change_keyword(f, FLAGS_REMOVE, "was");
	(void)snprintf(text, sizeof(text), "%ld:host.test", (long)getppid());
	write_file(fixture_path(f, "tmp/courier.lock"), text);
	x = export_new(f->account, false);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) !=
	    STEP_WAIT_PEER)
		;
	export_free(&x);
	assert_true(has_word(f, "was"));
	(void)unlink(fixture_path(f, "tmp/courier.lock"));
	/* the directory is looked at: an update for a message that isn't there
	 */
	write_file(fixture_path(f, "courierimapkeywords/9.M1"), "later\n");
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "1(kept)");
	mailbox_close(&m);
	run_export(f, false, 1);
	assert_file(f, "courierimapkeywords/:list", "kept\n\n1.M1:0\n");
}

/* The disk doesn't say whether there is a file of which the path has this, but
 * for the first times it is asked. */
static const char *unseen;
static unsigned n_seen;

int __real_fsx_stat(int dirfd, const char *name, struct stat *st);
int __wrap_fsx_stat(int dirfd, const char *name, struct stat *st);

int
__wrap_fsx_stat(int dirfd, const char *name, struct stat *st)
{
	if (unseen != NULL && strstr(name, unseen) != NULL && n_seen-- == 0) {
		n_seen = 0;
		errno = EIO;
		return -1;
	}
	return __real_fsx_stat(dirfd, name, st);
}

/* An export was cut short when its list was in its place, and the disk doesn't
 * say it: nothing is concluded, and what was removed doesn't come back. */
static void
placed_and_unseen(void **state)
{
	static const struct {
		const char *unseen;
		unsigned n_seen;
	} cases[] = { { "tmp/postern-list.", 0 },
		{ "courierimapkeywords/:list", 1 } };
	struct fixture *f = *state;

	put_one(f);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct export *x;
		struct mailbox *m;
		int rc = 0;

		change_keyword(f, FLAGS_ADD, "kept");
		run_export(f, false, 1);
		change_keyword(f, FLAGS_ADD, "was");
		x = export_new(f->account, false);
		while (!has_word(f, "was"))
			step_export(f, x);
		export_free(&x);
		/* by Courier, or here */
		if (i == 0)
			write_file(fixture_path(f, "courierimapkeywords/:list"),
			    "kept\n\n1.M1:0\n");
		else
			change_keyword(f, FLAGS_REMOVE, "was");
		later(f);
		fixture_reopen(f);
		unseen = cases[i].unseen;
		n_seen = cases[i].n_seen;
		m = try_open(f, "INBOX", &rc);
		unseen = NULL;
		assert_null(m);
		assert_int_equal(rc, ERR_SYS);
		m = open_again(f, "INBOX");
		assert_listing(m, "1(kept)");
		mailbox_close(&m);
	}
}

static unsigned n_refused;

static int
refuses_exchange(const char *call, const char *path)
{
	if (n_refused != 0 || strcmp(call, "rename") != 0 ||
	    strstr(path, "postern-list.") == NULL)
		return 0;
	n_refused++;
	return EINVAL;
}

/* On a file system that can't let two files change places, too. */
static void
exports_without_exchange(void **state)
{
	struct fixture *f = *state;

	put_one(f);
	change_keyword(f, FLAGS_ADD, "first");
	for (int i = 0; i < 2; i++) {
		n_refused = 0;
		fsx_set_fault(refuses_exchange);
		run_export(f, false, 1);
		fsx_set_fault(NULL);
		assert_int_equal(n_refused, 1);
		assert_file(f, "courierimapkeywords/:list",
		    i == 0 ? "first\n\n1.M1:0\n"
			   : "first\nsecond\n\n1.M1:0 1\n");
		change_keyword(f, FLAGS_ADD, "second");
	}
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

/* So many steps of it, some ms apart; whether it is done. */
static bool
export_steps(struct fixture *f, struct export *x, unsigned n)
{
	static int64_t now_ms = 1;

	while (n-- > 0)
		if (export_step(x, (struct waker){ 0 }, now_ms++, f->wall_ms) ==
		    STEP_DONE)
			return true;
	return false;
}

/* Another process changes the keywords, and exports them. */
static void
change_and_export(struct fixture *f)
{
	struct export *x;

	change_keyword(f, FLAGS_REMOVE, "old");
	change_keyword(f, FLAGS_ADD, "new");
	x = export_new(f->account, false);
	(void)export_steps(f, x, UINT_MAX);
	export_free(&x);
}

static void
assert_no_keywords(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t i;
	const struct chunk *c;

	refresh(f, m);
	c = view_at(m->head, 1, &i);
	assert_int_equal(chunk_message(c, i)->keywords, 0);
	mailbox_close(&m);
}

/* The first one's database is closed, too, when it has got so far. */
static bool closes;

static bool
export_until(struct fixture *f, struct export *x, unsigned n)
{
	bool done = export_steps(f, x, n);

	if (closes)
		account_close_db(f->account);
	return done;
}

static struct export *begun;

/* The same, and the first one's goes on before this process removes one, which
 * looks at no list that it knows. */
static void
export_and_remove(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid = 1;

	change_and_export(f);
	(void)export_steps(f, begun, UINT_MAX);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_REMOVE, 0, "new"), 0);
	mailbox_close(&m);
}

/* Two processes export a mailbox at the same time: wherever the other comes in
 * between, in the end the files are what the mailbox is.  What is removed then
 * doesn't come back from a list that is taken for Courier's. */
static void
two_export_at_once(void **state)
{
	struct fixture *f = *state;
	unsigned at = 0;
	bool done;

	put_one(f);
	do {
		struct export *x;

		change_keyword(f, FLAGS_REMOVE, "new");
		change_keyword(f, FLAGS_ADD, "old");
		x = export_new(f->account, false);
		done = export_until(f, x, at);
		fixture_elsewhere(f, change_and_export);
		(void)export_steps(f, x, UINT_MAX);
		export_free(&x);
		/* what one of them left out is still due */
		x = export_new(f->account, false);
		(void)export_steps(f, x, UINT_MAX);
		assert_int_equal(export_result(x, NULL), 0);
		export_free(&x);
		assert_file(f, "courierimapkeywords/:list", "new\n\n1.M1:0\n");
		run_export(f, false, 0);

		/* the other's is the last one this time */
		change_keyword(f, FLAGS_ADD, "old");
		begun = export_new(f->account, false);
		(void)export_until(f, begun, at);
		fixture_elsewhere(f, export_and_remove);
		export_free(&begun);
		fixture_reopen(f);
		assert_no_keywords(f);
		at++;
	} while (!done);
	assert_true(at > 10);
}

static void
two_export_without_the_lock(void **state)
{
	struct fixture *f = *state;

	f->no_courier_lock = true;
	fixture_reopen(f);
	two_export_at_once(state);
}

static void
two_export_and_one_is_closed(void **state)
{
	closes = true;
	two_export_at_once(state);
	two_export_without_the_lock(state);
	closes = false;
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(export_leaves_a_renamed_inbox),
		CASE(export_waits_for_the_database),
		CASE(export_is_cut_short_twice),
		CASE(placed_and_unseen),
		CASE(exports_without_exchange),
		CASE(two_export_at_once),
		CASE(two_export_without_the_lock),
		CASE(two_export_and_one_is_closed),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
