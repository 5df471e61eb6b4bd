/*
 * What others do while what is left of young messages is mended
 * (maildir/young_mend.c): files and mailboxes get other names, or go.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/crash/script.h"
#include "tests/crash/young.h"

/* --- a file gets another name while its directory is read ----------------- */

/* A message, whose flags another program changes each time that its directory
 * is read; who reads sees neither name. */
static struct {
	struct fixture *f;
	char *base;
	unsigned left; /* readings */
	bool seen;     /* in this one */
	bool flagged;
} renamed;
static int n_synced;

static char *
renamed_path(bool flagged)
{
	char *name =
	    mem_printf("cur/%s:2,%s", renamed.base, flagged ? "F" : "");
	char *path = mem_strdup(fixture_path(renamed.f, name));

	free(name);
	return path;
}

static void
change_flag(void)
{
	char *from = renamed_path(renamed.flagged);
	char *to = renamed_path(!renamed.flagged);

	assert_int_equal(rename(from, to), 0);
	renamed.flagged = !renamed.flagged;
	free(from);
	free(to);
}

static bool
hide(const char *name)
{
	if ((renamed.left == 0 && !renamed.seen) ||
	    strncmp(name, renamed.base, strlen(renamed.base)) != 0)
		return false;
	if (!renamed.seen) {
		change_flag();
		renamed.left--;
	}
	return renamed.seen = true;
}

static void
watch(enum call c, const char *name)
{
	n_synced += c == CALL_SYNC && name[0] >= '0' && name[0] <= '9';
	if (c == CALL_OPEN && strcmp(name, ".") == 0)
		renamed.seen = false;
}

/* The name of the first of the three, without flags. */
static char *
find_base(struct fixture *f)
{
	DIR *d = opendir(fixture_path(f, "cur"));
	struct dirent *entry;
	struct stat st;
	char *base = NULL;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL) {
		size_t n = strcspn(entry->d_name, ":");

		if (strcmp(entry->d_name + n, ":2,") == 0 &&
		    fstatat(dirfd(d), entry->d_name, &st, 0) == 0 &&
		    st.st_size == (off_t)strlen("one\n"))
			base = slice_dup(slice_of(entry->d_name, n));
	}
	assert_int_equal(closedir(d), 0);
	assert_non_null(base);
	return base;
}

/* Its flags are changed now, too. */
static void
rename_while_read(struct fixture *f, unsigned readings)
{
	renamed.f = f;
	renamed.base = find_base(f);
	renamed.left = readings;
	renamed.seen = renamed.flagged = false;
	change_flag();
	calls_set_hider(hide);
	calls_set_watcher(watch);
}

static void
stop_renaming(void)
{
	calls_set_hider(NULL);
	assert_int_equal(renamed.left, 0);
	free(renamed.base);
}

static void
power_goes(struct fixture *f)
{
	append_three(f);
	age_boot(f);
}

/* It has its file, and isn't written once more. */
static void
renamed_is_not_missing(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	close_noted(f);
	lives(f, power_goes);
	rename_while_read(f, 2);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(count_rows(f), 0);
	stop_renaming();
	refresh(f, m);
	assert_listing(m, renamed.flagged ? "1:F 2:S 3" : "1 2:S 3");
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	mailbox_close(&m);
}

/* Whoever goes on and on has it stay in its row. */
static void
renamed_for_ever_waits(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	close_noted(f);
	lives(f, power_goes);
	rename_while_read(f, 1000);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(count_rows(f), 1);
	renamed.left = 0;
	renamed.seen = false;
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	ticks(f, 31);
	assert_int_equal(count_rows(f), 0);
	stop_renaming();
	refresh(f, m);
	assert_listing(m, renamed.flagged ? "1:F 2:S 3" : "1 2:S 3");
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	mailbox_close(&m);
}

/* Nor is its row given up before it is synced. */
static void
renamed_is_synced(void **state)
{
	struct fixture *f = *state;

	append_three(f);
	rename_while_read(f, 2);
	fail_disk_sync(f, EIO);
	n_synced = 0;
	ticks(f, 40);
	assert_int_equal(count_rows(f), 0);
	stop_renaming();
	assert_int_equal(n_synced, 3);
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
}

/* --- a mailbox gets another name, or goes --------------------------------- */

static int
fail_create(const char *call, const char *path)
{
	return strcmp(call, "create") == 0 && path[0] >= '0' && path[0] <= '9'
	    ? ENOSPC
	    : 0;
}

/* The power took a file. */
static void
lose_file(struct fixture *f, const char *mailbox)
{
	struct mailbox *m;
	char *path;

	assert_int_equal(run_append(f, mailbox, "one\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, mailbox);
	refresh(f, m);
	path = mem_printf("%s%s", strcmp(mailbox, "INBOX") == 0 ? "" : ".t/",
	    message_path(m, 1));
	assert_int_equal(unlink(fixture_path(f, path)), 0);
	free(path);
	mailbox_close(&m);
	age_boot(f);
}

static void
lose_file_of_t(struct fixture *f)
{
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	lose_file(f, "INBOX.t");
}

static void
lose_file_of_inbox(struct fixture *f)
{
	lose_file(f, "INBOX");
}

/* Once there is room for it, its row has been read, and no more. */
static void
begin_to_mend(struct fixture *f, void (*lose)(struct fixture *f))
{
	fixture_close(f);
	lives(f, lose);
	fsx_set_fault(fail_create);
	fixture_open(f);
	assert_int_equal(count_rows(f), 1);
	fsx_set_fault(NULL);
	hold_syncs(true);
	ticks(f, 31);
	assert_int_equal(held_syncs(), 1);
	hold_syncs(false);
}

static void
end_mending(struct fixture *f)
{
	release_syncs(0);
	ticks(f, 40);
	assert_int_equal(count_rows(f), 0);
}

/* It is in INBOX.u, and nowhere else. */
static void
expect_in_u(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX.u");
	char *text;

	refresh(f, m);
	assert_listing(m, "1");
	text = message_text(m, 1);
	assert_string_equal(text, "one\n");
	free(text);
	mailbox_close(&m);
	assert_int_equal(access(fixture_path(f, ".t"), F_OK), -1);
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

static void
rename_meanwhile(
    struct fixture *f, void (*lose)(struct fixture *f), const char *mailbox)
{
	begin_to_mend(f, lose);
	assert_int_equal(
	    rename_now(f->account, slice_str(mailbox), SLICE("INBOX.u")), 0);
}

static void
renamed_mailbox_has_it(void **state)
{
	struct fixture *f = *state;

	rename_meanwhile(f, lose_file_of_t, "INBOX.t");
	end_mending(f);
	expect_in_u(f);
}

static void
renamed_inbox_has_none(void **state)
{
	struct fixture *f = *state;

	rename_meanwhile(f, lose_file_of_inbox, "INBOX");
	end_mending(f);
	expect_in_u(f);
}

static void
deleted_mailbox_stays_away(void **state)
{
	struct fixture *f = *state;

	begin_to_mend(f, lose_file_of_t);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.t")), 0);
	end_mending(f);
	assert_int_equal(access(fixture_path(f, ".t"), F_OK), -1);
}

/* A new one of the name isn't the one that it was in. */
static void
new_mailbox_has_none(void **state)
{
	struct fixture *f = *state;

	rename_meanwhile(f, lose_file_of_t, "INBOX.t");
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	end_mending(f);
	assert_int_equal(count_files(fixture_path(f, ".t/cur")), 0);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.t")), 0);
	expect_in_u(f);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(renamed_is_not_missing),
		CASE(renamed_for_ever_waits),
		CASE(renamed_is_synced),
		CASE(renamed_mailbox_has_it),
		CASE(renamed_inbox_has_none),
		CASE(deleted_mailbox_stays_away),
		CASE(new_mailbox_has_none),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
