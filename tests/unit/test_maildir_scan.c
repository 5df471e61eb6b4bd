/*
 * How much work a look at a mailbox is, and what it finds beside others that
 * change it, or when the disk doesn't say: that of one process.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/scan.h"
#include "tests/support/kept_log.h"
#include "tests/support/maildir_fixture.h"

/* --- counting calls ------------------------------------------------------- */

static unsigned n_stats, n_readings;
/* The next look at it fails so. */
static const char *unseen;
static int unseen_errno;
/* And each at a file of which the name begins so. */
static const char *damaged;

int __real_fsx_stat(int dirfd, const char *name, struct stat *st);
int __wrap_fsx_stat(int dirfd, const char *name, struct stat *st);
/* Renamed before the next so many times that it is opened, by its current
 * name. */
static unsigned renames;
static struct fixture *renamed_in;
int __real_fsx_open_read(int dirfd, const char *name, struct stat *st);
int __wrap_fsx_open_read(int dirfd, const char *name, struct stat *st);
int __real_dir_reader_open(struct dir_reader *r, int dirfd, const char *name);
int __wrap_dir_reader_open(struct dir_reader *r, int dirfd, const char *name);

int
__wrap_fsx_stat(int dirfd, const char *name, struct stat *st)
{
	int rc = __real_fsx_stat(dirfd, name, st);

	n_stats++;
	if (unseen != NULL && strcmp(unseen, name) == 0) {
		unseen = NULL;
		errno = unseen_errno;
		return -1;
	}
	if (damaged != NULL && strncmp(name, damaged, strlen(damaged)) == 0) {
		errno = EACCES;
		return -1;
	}
	return rc;
}

int
__wrap_fsx_open_read(int dirfd, const char *name, struct stat *st)
{
	char from[256], to[256];

	if (renames != 0) {
		renames--;
		(void)snprintf(from, sizeof(from), "cur/%s", name);
		(void)snprintf(to, sizeof(to), "cur/1700000000.M1.host:2,%s",
		    renames % 2 != 0 ? "F" : "S");
		assert_int_equal(rename(fixture_path(renamed_in, from),
				     fixture_path(renamed_in, to)),
		    0);
	}
	return __real_fsx_open_read(dirfd, name, st);
}

int
__wrap_dir_reader_open(struct dir_reader *r, int dirfd, const char *name)
{
	n_readings++;
	return __real_dir_reader_open(r, dirfd, name);
}

/* Another program changes flags as fast as it can. */
static void
renamed_each_time(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	put_cur(f, "1700000000.M1.host:2,", "x\n");
	refresh(f, m);
	/* no watch tells the name */
	for (int d = 0; d < 2; d++)
		watch_remove(&m->dirs[d]);
	renamed_in = f;
	renames = 2;
	text = message_text(m, 1);
	assert_non_null(text);
	free(text);
	assert_int_equal(renames, 0);
	mailbox_close(&m);
}

static void
nothing_changed_is_two_stats_then_none(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid[] = { 1 };

	deliver(f, "", "x");
	refresh(f, m);
	/* G has to pass before the directories count as clean; the watch
	 * spares the readings even so */
	n_readings = 0;
	refresh(f, m);
	assert_int_equal(n_readings, 0);
	f->wall_ms += 3000;
	refresh(f, m);
	n_stats = n_readings = 0;
	refresh(f, m);
	assert_int_equal(n_stats, 2);
	assert_int_equal(n_readings, 0);
	/* from then on the watches say so */
	n_stats = 0;
	refresh(f, m);
	assert_int_equal(n_stats, 0);
	/* neither what we do ourselves nor new mail needs a reading */
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	next_tick();
	deliver(f, "", "x");
	n_readings = 0;
	refresh(f, m);
	assert_listing(m, "1:S 2");
	assert_int_equal(n_readings, 0);
	/* nor does another start, once all is clean */
	f->wall_ms += 3000;
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	n_readings = 0;
	refresh(f, m);
	assert_int_equal(n_readings, 0);
	assert_listing(m, "1:S 2");
	/* a change while nobody looked does */
	mailbox_close(&m);
	fixture_close(f);
	next_tick();
	deliver(f, "", "x");
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1:S 2 3");
	mailbox_close(&m);
}

static void
large_mailbox(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int64_t begin;
	struct view *v;
	/* it works with ten times as many, too */
	int n = getenv("POSTERN_LONG") != NULL ? 1000000 : 100000, fd;

	fd = open(fixture_path(f, "cur"), O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < n; i++) {
		char name[64];
		int file;

		(void)snprintf(name, sizeof(name), "%d.M%dP1.host,S=1:2,S",
		    1700000000 + i, i);
		file = openat(fd, name, O_CREAT | O_WRONLY, 0600);
		assert_true(file >= 0);
		(void)close(file);
	}
	(void)close(fd);
	f->wall_ms += 3000;
	begin = clock_now();
	n_stats = 0;
	refresh(f, m);
	print_message(
	    "first scan of %d: %lld ms\n", n, (long long)(clock_now() - begin));
	/* directories and files of other servers, in each slice; no message */
	assert_true(n_stats < (unsigned)n / 2000);
	mailbox_close(&m);
	fixture_reopen(f);
	begin = clock_now();
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	begin = clock_now() - begin;
	print_message("open of %d: %lld ms\n", n, (long long)begin);
	v = mailbox_view(m);
	assert_int_equal(view_count(v), n);
	view_unref(&v);
	deliver(f, "", "x");
	begin = clock_now();
	refresh(f, m);
	print_message(
	    "one new mail: %lld ms\n", (long long)(clock_now() - begin));
	f->wall_ms = clock_wall() + 6000;
	refresh(f, m);
	n_stats = n_readings = 0;
	refresh(f, m);
	assert_int_equal(n_stats, 2);
	assert_int_equal(n_readings, 0);
	mailbox_close(&m);
}

/*
 * A reading missed a message, and it is renamed only after the events have
 * been taken: then neither shows it, and its old file isn't there.
 */
static void
renamed_after_the_events(void **state)
{
	enum { NEW = 5000 }; /* so many that sorting them yields */
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	enum step step;
	int rc = -1;

	put_cur(f, "1.a:2,", "one");
	refresh(f, m);
	put_many(f, "cur/", NEW, ".n:2,", "");
	scan_distrust(m);
	do
		step = mailbox_refresh(m, false, (struct waker){ NULL, NULL },
		    clock_now(), f->wall_ms, &rc);
	while (step == STEP_YIELD && m->scan->state != SCAN_SORT);
	assert_int_equal(step, STEP_YIELD);
	scan_add_doubt(m->scan, 1);
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,"),
			     fixture_path(f, "cur/1.a:2,S")),
	    0);
	refresh(f, m);
	assert_int_equal(m->head->count, NEW + 1);
	assert_int_equal(view_get(m->head, 1)->uid, 1);
	assert_int_equal(view_get(m->head, 1)->flags, MESSAGE_SEEN);
	mailbox_close(&m);
}

/* --- two files with one base name ----------------------------------------- */

static void
put_twins(struct fixture *f, struct mailbox *m)
{
	put_cur(f, "1.a:2,S", "one");
	put_cur(f, "1.a:2,F", "one");
	put_cur(f, "2.b:2,", "two");
	refresh(f, m);
	assert_int_equal(m->head->count, 2);
	assert_int_equal(view_get(m->head, 1)->uid, 1);
}

/* Under a watch, to which the other one isn't new. */
static void
expect_other(struct fixture *f, struct mailbox *m)
{
	bool seen = (view_get(m->head, 1)->flags & MESSAGE_SEEN) != 0;

	n_readings = 0;
	assert_int_equal(unlink(fixture_path(f, message_path(m, 1))), 0);
	refresh(f, m);
	assert_true(n_readings > 0);
	assert_int_equal(m->head->count, 2);
	assert_true(view_get(m->head, 1)->flags &
	    (seen ? MESSAGE_FLAGGED : MESSAGE_SEEN));
	/* it is the only one by now */
	assert_int_equal(unlink(fixture_path(f, message_path(m, 1))), 0);
	refresh(f, m);
	assert_listing(m, "2");
}

static void
known_twin_removed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_twins(f, m);
	n_readings = 0;
	refresh(f, m);
	assert_int_equal(n_readings, 0);
	expect_other(f, m);
	mailbox_close(&m);
}

/* The second one comes later, to be seen by the watch. */
static void
known_twin_removed_later(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.b:2,", "two");
	refresh(f, m);
	put_cur(f, "1.a:2,S", "one");
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(unlink(fixture_path(f, "cur/1.a:2,")), 0);
	refresh(f, m);
	assert_listing(m, "1:S 2");
	mailbox_close(&m);
}

/* A process that doesn't read directories that nobody has changed. */
static void
known_twin_removed_anew(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_twins(f, m);
	f->wall_ms += 3000;
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	expect_other(f, m);
	mailbox_close(&m);
}

/* --- what the disk doesn't say -------------------------------------------- */

static void
fails_once(
    struct fixture *f, struct mailbox *m, const char *name, int error, int code)
{
	unseen = name;
	unseen_errno = error;
	assert_int_equal(try_refresh(f, m, true), code);
	assert_null(unseen);
	refresh(f, m);
}

/* Whether its old file is there: a message isn't gone for that. */
static void
renamed_and_unseen(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.b:2,", "two");
	refresh(f, m);
	for (int watched = 0; watched < 2; watched++) {
		const char *from = watched ? "cur/1.a:2,S" : "cur/1.a:2,";
		const char *to = watched ? "cur/1.a:2,FS" : "cur/1.a:2,S";

		if (!watched)
			scan_distrust(m);
		assert_int_equal(
		    rename(fixture_path(f, from), fixture_path(f, to)), 0);
		unseen = from + strlen("cur/");
		unseen_errno = EIO;
		refresh(f, m);
		assert_null(unseen);
		assert_int_equal(m->head->count, 2);
		assert_int_equal(view_get(m->head, 1)->uid, 1);
		assert_int_equal(view_get(m->head, 1)->flags,
		    watched ? MESSAGE_SEEN | MESSAGE_FLAGGED : MESSAGE_SEEN);
	}
	mailbox_close(&m);
}

/* One message whose files can't be looked at, for good. */
static void
twins_unseen(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	kept_log_begin();
	damaged = "1.a";
	put_cur(f, "1.a:2,S", "one");
	put_cur(f, "1.a:2,F", "one");
	put_cur(f, "2.b:2,", "two");
	put_cur(f, "3.c:2,", "three");
	refresh(f, m);
	/* the one that was put off comes last */
	assert_int_equal(m->head->count, 3);
	assert_int_equal(times_logged("1.a:2,"), 1);
	/* what happens to others is served */
	f->wall_ms += 3000;
	n_readings = 0;
	assert_int_equal(rename(fixture_path(f, "cur/2.b:2,"),
			     fixture_path(f, "cur/2.b:2,S")),
	    0);
	assert_int_equal(unlink(fixture_path(f, "cur/3.c:2,")), 0);
	refresh(f, m);
	assert_int_equal(m->head->count, 2);
	assert_int_equal(view_get(m->head, 1)->flags, MESSAGE_SEEN);
	/* pieces of them, for the one that was missing */
	assert_int_equal(n_readings, 4);
	assert_int_equal(times_logged("1.a:2,"), 1);
	f->wall_ms += 3000;
	refresh(f, m);
	n_stats = n_readings = 0;
	refresh(f, m);
	assert_int_equal(n_stats, 0);
	assert_int_equal(n_readings, 0);
	log_set_sink(NULL, NULL);
	damaged = NULL;
	mailbox_close(&m);
}

/* Then others rename, and at last remove, them. */
static void
twins_unseen_change(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_twins(f, m);
	kept_log_begin();
	damaged = "1.a";
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,S"),
			     fixture_path(f, "cur/1.a:2,RS")),
	    0);
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,F"),
			     fixture_path(f, "cur/1.a:2,FR")),
	    0);
	refresh(f, m);
	assert_int_equal(m->head->count, 2);
	assert_true(view_get(m->head, 1)->flags & MESSAGE_ANSWERED);
	assert_int_equal(times_logged("1.a:2,"), 1);
	damaged = NULL;
	refresh(f, m);
	expect_other(f, m);
	log_set_sink(NULL, NULL);
	mailbox_close(&m);
}

/* Whether another server has been there: nothing is given anew meanwhile. */
static void
list_unseen(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct pop3_entry *v;
	size_t n;

	refresh(f, m);
	write_file(fixture_path(f, "courierpop3dsizelist"),
	    "/3 9 1234567890\n1.a:2,S 3 7:1234567890:0\n");
	put_cur(f, "1.a:2,S", "one");
	fixture_tick(f, 1);
	fails_once(f, m, "courierpop3dsizelist", EACCES, ERR_DENIED);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(v[0].unique_id, "UID7-1234567890");
	free(v);
	mailbox_close(&m);
}

/* Nothing happens until no look is needed any more. */
static void
become_quiet(struct fixture *f, struct mailbox *m)
{
	f->wall_ms += 3000;
	refresh(f, m);
	refresh(f, m);
	assert_true(watch_is_quiet(m));
	next_tick();
}

static unsigned
queue_room(void)
{
	FILE *in = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	unsigned n = 0;

	if (in != NULL && fscanf(in, "%u", &n) != 1)
		n = 0;
	if (in != NULL)
		(void)fclose(in);
	return n;
}

/* A mailbox that needs no look does when mail comes, its directories are
 * replaced, or events are lost. */
static void
quiet_until_something_happens(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *again;
	unsigned room = queue_room();

	refresh(f, m);
	become_quiet(f, m);
	deliver(f, "", "one");
	again = open_mailbox(f, "INBOX");
	refresh(f, again);
	assert_int_equal(again->head->count, 1);
	mailbox_close(&again);

	become_quiet(f, m);
	assert_int_equal(
	    rename(fixture_path(f, "new"), fixture_path(f, "was")), 0);
	put_dir(f, "new");
	deliver(f, "", "two");
	f->wall_ms += 3000;
	refresh(f, m);
	refresh(f, m);
	assert_listing(m, "1 2");

	become_quiet(f, m);
	if (room == 0 || room > 1000 * 1000)
		skip();
	for (unsigned i = 0; i <= room / 2; i++) {
		int fd =
		    open(fixture_path(f, "cur/.x"), O_CREAT | O_WRONLY, 0600);

		assert_true(fd >= 0);
		assert_int_equal(close(fd), 0);
		assert_int_equal(unlink(fixture_path(f, "cur/.x")), 0);
	}
	deliver(f, "", "three");
	refresh(f, m);
	assert_listing(m, "1 2 3");
	mailbox_close(&m);
}

/* The removal of a directory that somebody still has open is no event, before
 * that is closed. */
static void
quiet_for_a_second(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int held = open(fixture_path(f, "new"), O_RDONLY | O_DIRECTORY);

	assert_true(held >= 0);
	refresh(f, m);
	become_quiet(f, m);
	assert_int_equal(rmdir(fixture_path(f, "new")), 0);
	put_dir(f, "new");
	deliver(f, "", "one");
	fixture_tick(f, 1);
	refresh(f, m);
	assert_listing(m, "1");
	mailbox_close(&m);
	assert_int_equal(close(held), 0);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(nothing_changed_is_two_stats_then_none),
		CASE(quiet_until_something_happens),
		CASE(quiet_for_a_second),
		CASE(large_mailbox),
		CASE(renamed_after_the_events),
		CASE(known_twin_removed),
		CASE(known_twin_removed_later),
		CASE(known_twin_removed_anew),
		CASE(renamed_each_time),
		CASE(renamed_and_unseen),
		CASE(twins_unseen),
		CASE(twins_unseen_change),
		CASE(list_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
