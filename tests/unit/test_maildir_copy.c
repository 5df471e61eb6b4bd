/*
 * COPY beside others that rename and remove what is copied: how much it looks
 * for that, and what it finds.
 */
#include <sys/stat.h>

#include <stdio.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/work.h"
#include "tests/support/maildir_fixture.h"

static unsigned n_readings;
/* Removed after the next look at it, as by another program. */
static const char *expunged_at_stat;

int __real_fsx_stat(int dirfd, const char *name, struct stat *st);
int __wrap_fsx_stat(int dirfd, const char *name, struct stat *st);
int __real_dir_reader_open(struct dir_reader *r, int dirfd, const char *name);
int __wrap_dir_reader_open(struct dir_reader *r, int dirfd, const char *name);

int
__wrap_fsx_stat(int dirfd, const char *name, struct stat *st)
{
	int rc = __real_fsx_stat(dirfd, name, st);

	if (expunged_at_stat != NULL && name[0] != '\0' &&
	    strstr(expunged_at_stat, name) != NULL) {
		assert_int_equal(unlink(expunged_at_stat), 0);
		expunged_at_stat = NULL;
	}
	return rc;
}

int
__wrap_dir_reader_open(struct dir_reader *r, int dirfd, const char *name)
{
	n_readings++;
	return __real_dir_reader_open(r, dirfd, name);
}

/* COPY of what somebody expunges between a look at it and the link. */
static void
copy_beside_an_expunge(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *t;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	refresh(f, m);
	expunged_at_stat = fixture_path(f, message_path(m, 1));
	assert_int_equal(
	    run_copy(f, m, (const uint32_t[]){ 1 }, 1, "INBOX.t", false, NULL),
	    0);
	assert_null(expunged_at_stat);
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_listing(t, "");
	refresh(f, m);
	assert_listing(m, "");
	mailbox_close(&m);
	mailbox_close(&t);
}

/* The same in a directory where others are busy: it is searched for, but not
 * all day. */
static void
copy_beside_an_expunge_and_others(void **state)
{
	enum { BOTH = 2, SEARCHES = 3 };
	struct fixture *f = *state;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	for (unsigned watched = 0; watched < 2; watched++) {
		struct mailbox *m = open_mailbox(f, "INBOX");
		const uint32_t uid = watched + 1;

		put_cur(f, watched ? "2.b:2," : "1.a:2,", "x\n");
		refresh(f, m);
		for (int d = 0; d < 2 && !watched; d++)
			watch_remove(&m->dirs[d]);
		f->wall_ms += 120000; /* so old that it needn't be synced */
		expunged_at_stat = fixture_path(f, message_path(m, uid));
		n_readings = 0;
		assert_int_equal(
		    run_copy(f, m, &uid, 1, "INBOX.t", false, NULL), 0);
		assert_null(expunged_at_stat);
		assert_in_range(
		    n_readings, BOTH, (watched ? 1 : SEARCHES) * BOTH);
		mailbox_close(&m);
		fixture_reopen(f);
		m = open_mailbox(f, "INBOX.t");
		refresh(f, m);
		assert_listing(m, "");
		mailbox_close(&m);
		m = open_mailbox(f, "INBOX");
		refresh(f, m);
		assert_int_equal(m->head->count, 0);
		mailbox_close(&m);
	}
}

/* COPY of many out of a mailbox that is deleted meanwhile: none of them is in
 * the target, and it isn't answered as if those left had been expunged. */
static void
copy_out_of_a_mailbox_that_goes(void **state)
{
	enum { MANY = 2 * WORK_SLICE + 1 };
	const struct waker nobody = { NULL, NULL };
	struct fixture *f = *state;
	struct change_copy *c;
	struct mailbox *m, *t;
	uint32_t uids[MANY];
	char name[32];

	for (unsigned when = 0; when < 2; when++) {
		bool looked = false;

		if (when == 0)
			assert_int_equal(
			    create_now(f->account, SLICE("INBOX.t")), 0);
		assert_int_equal(create_now(f->account, SLICE("INBOX.s")), 0);
		for (uint32_t i = 0; i < MANY; i++) {
			uids[i] = i + 1;
			(void)snprintf(
			    name, sizeof(name), ".s/cur/%u.a:2,", i + 1);
			write_file(fixture_path(f, name), "x\n");
		}
		m = open_mailbox(f, "INBOX.s");
		refresh(f, m);
		f->wall_ms += 120000;
		assert_int_equal(
		    change_copy_begin(m, f->account, SLICE("INBOX.t"), uids,
			MANY, false, &c, NULL),
		    0);
		t = open_mailbox(f, "INBOX.t");
		/* while they are looked at; when some have been linked */
		while (when == 0 ? !looked : t->head->count == 0) {
			assert_int_not_equal(
			    change_copy_step(c, nobody, 0, f->wall_ms),
			    STEP_DONE);
			looked = true;
		}
		assert_int_equal(delete_now(f->account, SLICE("INBOX.s")), 0);
		while (change_copy_step(c, nobody, 0, f->wall_ms) != STEP_DONE)
			;
		assert_int_equal(change_copy_result(c)->result, ERR_STALE);
		change_copy_free(&c);
		mailbox_close(&m);
		refresh(f, t);
		assert_int_equal(t->head->count, 0);
		mailbox_close(&t);
		assert_int_equal(count_files(fixture_path(f, ".t/cur")), 0);
	}
}

/* Renamed before the next so many times that it is linked. */
static unsigned renames;
static struct fixture *renamed_in;

static int
renamed_before_links(const char *call, const char *path)
{
	(void)path;
	if (renames != 0 && strcmp(call, "link") == 0) {
		const char *from =
		    renames % 2 != 0 ? "cur/1.a:2,F" : "cur/1.a:2,S";
		const char *to =
		    renames % 2 != 0 ? "cur/1.a:2,S" : "cur/1.a:2,F";

		renames--;
		assert_int_equal(rename(fixture_path(renamed_in, from),
				     fixture_path(renamed_in, to)),
		    0);
	}
	return 0;
}

/* Another program changes flags as fast as it can: nothing is gone for that. */
static void
copy_of_what_is_renamed_each_time(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid = 1;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	put_cur(f, "1.a:2,F", "x\n");
	renamed_in = f;
	for (int watched = 0; watched < 2; watched++) {
		struct mailbox *m = open_mailbox(f, "INBOX");
		uint32_t to = 0;

		refresh(f, m);
		for (int d = 0; d < 2 && !watched; d++)
			watch_remove(&m->dirs[d]);
		f->wall_ms += 120000; /* so old that it needn't be synced */
		renames = watched ? 4 : 3;
		fsx_set_fault(renamed_before_links);
		assert_int_equal(
		    run_copy(f, m, &uid, 1, "INBOX.t", false, &to), 0);
		fsx_set_fault(NULL);
		assert_int_equal(renames, 0);
		assert_int_not_equal(to, 0);
		mailbox_close(&m);
		fixture_reopen(f);
	}
}

/* Others have removed some and renamed some, and no watch tells: all that one
 * COPY doesn't find is looked for together. */
static void
copy_looks_for_all_together(void **state)
{
	enum { N = 60, READINGS = 12 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *t;
	uint32_t uids[N], to[N];
	char from[64], name[64];

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	put_many(f, "cur/", N, ".n:2,", "");
	refresh(f, m);
	for (int d = 0; d < 2; d++)
		watch_remove(&m->dirs[d]);
	for (uint32_t i = 0; i < N; i++) {
		const char *path = message_path(m, uids[i] = i + 1);

		(void)snprintf(from, sizeof(from), "%s", path);
		(void)snprintf(name, sizeof(name), "%sS", path);
		if (i % 3 == 0)
			assert_int_equal(unlink(fixture_path(f, from)), 0);
		else if (i % 3 == 1)
			assert_int_equal(rename(fixture_path(f, from),
					     fixture_path(f, name)),
			    0);
	}
	n_readings = 0;
	assert_int_equal(run_copy(f, m, uids, N, "INBOX.t", false, to), 0);
	assert_in_range(n_readings, 1, READINGS);
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_int_equal(t->head->count, N - N / 3);
	/* in the order of their UIDs */
	for (uint32_t i = 0; i < N - N / 3; i++)
		assert_int_equal(view_get(t->head, i + 1)->flags,
		    i % 2 == 0 ? MESSAGE_SEEN : 0);
	mailbox_close(&t);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(copy_beside_an_expunge),
		CASE(copy_beside_an_expunge_and_others),
		CASE(copy_out_of_a_mailbox_that_goes),
		CASE(copy_of_what_is_renamed_each_time),
		CASE(copy_looks_for_all_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
