/*
 * Delivery with a quota, what a failing call leaves behind, and the warning
 * of a Maildir that is nearly full.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/deliver.h"
#include "tests/support/maildir_fixture.h"

#define TEXT "Subject: x\n\nhello\n"

static void
percentages(void **state)
{
	static const struct {
		const char *file;
		unsigned percent;
	} cases[] = {
		{ "100S\n 50 1\n", 50 },
		{ "100S,10C\n 50 9\n", 90 },
		{ "100S\n 199 1\n", 199 },
		{ "3S\n 1 1\n 1 0\n", 66 },
		{ "5C\n 1000000 1\n", 20 },
		{ "0S\n 1000000 1\n", 0 },
		{ "10S\n -5 -1\n", 0 },
		{ "1S\n 9223372036854775807 1\n", 4294967295 },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct quota_usage u;

		assert_int_equal(
		    quota_file_parse(slice_str(cases[i].file), &u), 0);
		assert_int_equal(quota_percent(&u), cases[i].percent);
	}
}

static int
open_root(struct fixture *f)
{
	struct err e;
	int fd;

	assert_int_equal(account_open(f->account, &e), 0);
	fd = fsx_open_dir(AT_FDCWD, f->path);
	assert_true(fd >= 0);
	return fd;
}

static struct deliver_to
target(struct fixture *f, int fd)
{
	static uint64_t counter;

	counter += 10;
	return (struct deliver_to){ .root_fd = fd,
		.dir_fd = fd,
		.unique = { f->wall_ms, counter, "host.test" },
		.counts = true,
		.mode = 0600,
		.sync = true };
}

static int
put(const struct deliver_to *to)
{
	struct delivery d;
	struct err e = { 0 };
	int rc = delivery_begin(&d, to, &e);

	if (rc == 0)
		rc = delivery_write(&d, SLICE("Subject: x\n"), &e);
	if (rc == 0)
		rc = delivery_write(&d, SLICE("\nhello\n"), &e);
	if (rc == 0)
		rc = delivery_commit(&d, &e);
	delivery_fini(&d);
	return rc;
}

/* The file says what a count finds. */
static void
assert_counted(int fd)
{
	struct quota_usage file, counted = { 0 };

	assert_int_equal(quota_file_read(fd, &file), 0);
	assert_int_equal(quota_file_count(fd, &counted), 0);
	assert_int_equal(file.bytes, counted.bytes);
	assert_int_equal(file.messages, counted.messages);
}

static void
delivers_until_full(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f);
	struct quota_usage u;

	write_file(fixture_path(f, "maildirsize"), "1000S,3C\n 0 0\n");
	for (int i = 0; i < 3; i++) {
		struct deliver_to to = target(f, fd);

		assert_int_equal(put(&to), 0);
		assert_counted(fd);
	}
	for (int i = 0; i < 2; i++) {
		struct deliver_to to = target(f, fd);

		assert_int_equal(put(&to), ERR_QUOTA);
		assert_int_equal(count_files(fixture_path(f, "new")), 3);
		assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	}
	/* counted anew, as it wasn't fresh */
	assert_int_equal(quota_file_read(fd, &u), 0);
	assert_int_equal(u.n_lines, 1);
	assert_counted(fd);
	(void)close(fd);
}

/* A full disk cut a line, and who came then wrote his behind it. */
static void
counts_after_a_cut_line(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f);
	struct deliver_to to = target(f, fd);
	struct quota_usage u;

	write_file(fixture_path(f, "maildirsize"),
	    "100000S,100C\n 20 1\n      1234          18            1\n");
	assert_int_equal(put(&to), 0);
	assert_int_equal(quota_file_read(fd, &u), 0);
	assert_int_equal(u.messages, 1);
	assert_int_equal(u.messages_max, 100);
	assert_counted(fd);
	(void)close(fd);
}

/* What the server shows of it. */
static void
is_a_message(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f);
	struct deliver_to to = target(f, fd);
	struct mailbox *m;
	char *text;

	assert_int_equal(put(&to), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1");
	text = message_text(m, 1);
	assert_string_equal(text, TEXT);
	free(text);
	mailbox_close(&m);
	(void)close(fd);
}

/* Somebody delivers when the new file is about to replace the old one. */
static struct fixture *delivers_late;

static int
on_rename(const char *call, const char *path)
{
	struct fixture *f = delivers_late;
	int fd;

	if (f == NULL || strcmp(call, "rename") != 0 ||
	    strncmp(path, "tmp/", 4) != 0)
		return 0;
	delivers_late = NULL;
	deliver(f, "", TEXT);
	fd = fsx_open_dir(AT_FDCWD, f->path);
	assert_int_equal(quota_file_add(fd, (int64_t)strlen(TEXT), 1), 0);
	(void)close(fd);
	return 0;
}

/* His line is in the file that goes away: it is counted once more. */
static void
counts_what_comes_late(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f);
	struct deliver_to to = target(f, fd);
	struct quota_usage u;

	write_file(fixture_path(f, "maildirsize"), "1000S\n 0 0\n");
	age_dir(f, "new");
	delivers_late = f;
	fsx_set_fault(on_rename);
	assert_int_equal(quota_file_limit(fd, &to.unique, SLICE("2000S"),
			     &(struct quota_usage){ 0 }, NULL),
	    0);
	fsx_set_fault(NULL);
	assert_null(delivers_late);
	assert_int_equal(quota_file_read(fd, &u), 0);
	assert_int_equal(u.messages, 1);
	assert_int_equal(u.bytes_max, 2000);
	assert_counted(fd);
	(void)close(fd);
}

/* --- calls that fail ------------------------------------------------------ */

static int fail_at, n_calls;

static int
count_calls(const char *call, const char *path)
{
	(void)call;
	(void)path;
	return n_calls++ == fail_at ? EIO : 0;
}

/* Whichever call fails: nothing is delivered and nothing is counted, or all
 * is. */
static void
all_or_nothing(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f), rc = -1;

	for (fail_at = 0; rc != 0 || n_calls > fail_at; fail_at++) {
		struct deliver_to to = target(f, fd);
		unsigned before = count_files(fixture_path(f, "new"));
		struct quota_usage u;

		to.given = true;
		assert_true(fail_at < 30);
		write_file(fixture_path(f, "maildirsize"), "90000S\n");
		assert_int_equal(
		    quota_file_limit(fd, &to.unique, SLICE("100000S"),
			&(struct quota_usage){ 0 }, NULL),
		    0);
		n_calls = 0;
		fsx_set_fault(count_calls);
		rc = put(&to);
		fsx_set_fault(NULL);
		assert_int_equal(
		    count_files(fixture_path(f, "new")), before + (rc == 0));
		/* without a file it is counted next time */
		if (quota_file_read(fd, &u) != ERR_NOT_FOUND)
			assert_counted(fd);
	}
	assert_true(fail_at > 5);
	(void)close(fd);
}

/* The same where the limits stand in that file alone: they stay. */
static void
limits_stay(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f), rc = -1;

	write_file(fixture_path(f, "maildirsize"), "100000S\n 0 0\n");
	for (fail_at = 0; rc != 0 || n_calls > fail_at; fail_at++) {
		struct deliver_to to = target(f, fd);
		struct quota_usage u;

		assert_true(fail_at < 30);
		n_calls = 0;
		fsx_set_fault(count_calls);
		rc = put(&to);
		fsx_set_fault(NULL);
		assert_int_equal(quota_file_read(fd, &u), 0);
		assert_int_equal(u.bytes_max, 100000);
		assert_counted(fd);
	}
	assert_true(fail_at > 5);
	(void)close(fd);
}

/* --- warnings ------------------------------------------------------------- */

/* The last warning was so many seconds from now. */
static void
warned_at(struct fixture *f, int64_t seconds)
{
	time_t wall_s = (time_t)(f->wall_ms / 1000 + seconds);
	struct timespec both[2] = { { .tv_sec = wall_s },
		{ .tv_sec = wall_s } };

	assert_int_equal(
	    utimensat(AT_FDCWD, fixture_path(f, "quotawarn"), both, 0), 0);
}

static void
warns_once_a_day(void **state)
{
	struct fixture *f = *state;
	int fd = open_root(f);
	struct deliver_to to = target(f, fd);
	struct err e;
	struct stat st;

	write_file(fixture_path(f, "maildirsize"), "100S\n 0 0\n");
	assert_int_equal(
	    deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e), 1);
	assert_int_equal(count_files(fixture_path(f, "new")), 1);
	assert_counted(fd);
	assert_int_equal(stat(fixture_path(f, "quotawarn"), &st), 0);
	assert_int_equal(st.st_size, 1);
	to = target(f, fd);
	assert_int_equal(
	    deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e), 0);

	warned_at(f, -86400 + 60);
	assert_int_equal(
	    deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e), 0);
	warned_at(f, -86400 - 60);
	assert_int_equal(
	    deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e), 1);
	/* by another, who began later than we */
	warned_at(f, 60);
	to = target(f, fd);
	assert_int_equal(
	    deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e), 0);
	/* a clock that was wrong once: never silent for years */
	warned_at(f, 1000000);
	to = target(f, fd);
	assert_int_equal(
	    deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e), 1);
	assert_int_equal(count_files(fixture_path(f, "new")), 3);
	/* no way to have it write elsewhere */
	assert_int_equal(unlink(fixture_path(f, "quotawarn")), 0);
	assert_int_equal(symlink("elsewhere", fixture_path(f, "quotawarn")), 0);
	to = target(f, fd);
	assert_true(deliver_warning(&to, SLICE("Subject: w\n\nx\n"), &e) < 0);
	assert_int_equal(access(fixture_path(f, "elsewhere"), F_OK), -1);
	(void)close(fd);
}

static void
tick(struct fixture *f)
{
	f->wall_ms += 1000;
	(void)store_tick(f->store, f->wall_ms, f->wall_ms);
}

/* APPEND, COPY, and mail that Postfix delivered. */
static void
store_warns(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t uid = 1;
	char *text;

	f->quota = "100S";
	f->quota_warn = "Subject: full\n\nx\n";
	fixture_reopen(f);
	assert_int_equal(run_append(f, "INBOX", TEXT TEXT, 0, NULL, &uid), 0);
	tick(f);
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(run_copy(f, m, &uid, 1, "INBOX.a", false, NULL), 0);
	tick(f);
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	/* what has no size in its name is counted when it is found */
	(void)deliver(f, "", TEXT);
	refresh(f, m);
	tick(f);
	assert_int_equal(count_files(fixture_path(f, "new")), 1);
	refresh(f, m);
	assert_listing(m, "1 2 3");
	text = message_text(m, 3);
	assert_non_null(strstr(text, "Subject: full\n\nx\n"));
	assert_memory_equal(text, "Date: ", 6);
	free(text);
	tick(f);
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	mailbox_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentages),
		cmocka_unit_test_setup_teardown(
		    delivers_until_full, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    counts_after_a_cut_line, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    counts_what_comes_late, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    is_a_message, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    all_or_nothing, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    limits_stay, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    warns_once_a_day, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
		    store_warns, fixture_setup, fixture_teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
