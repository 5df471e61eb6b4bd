#include "tests/crash/young.h"

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/crash/child.h"
#include "tests/crash/script.h"

int
count_rows(struct fixture *f)
{
	sqlite3_stmt *s = NULL;
	int n;

	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(sqlite3_prepare_v2(f->account->db.h,
			     "SELECT count(*) FROM young", -1, &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int(s, 0);
	(void)sqlite3_finalize(s);
	return n;
}

void
ticks(struct fixture *f, int n)
{
	while (n-- > 0)
		(void)store_tick(f->store, 1, f->wall_ms);
}

struct append *
begin_commit(struct fixture *f, const char *mailbox, const char *text)
{
	struct append *p = begin_append(f, mailbox, text);

	hold_syncs(true);
	assert_int_equal(
	    step_append(f, p, (struct waker){ 0 }), STEP_WAIT_SYNC);
	release_syncs(0);
	assert_int_equal(
	    step_append(f, p, (struct waker){ 0 }), STEP_WAIT_SYNC);
	assert_true(held_syncs() > 0);
	return p;
}

int
end_append(struct fixture *f, struct append **p)
{
	uint32_t validity;
	const uint32_t *uids;
	size_t n;
	int rc;

	assert_int_equal(step_append(f, *p, (struct waker){ 0 }), STEP_DONE);
	rc = append_result(*p, &validity, &uids, &n);
	append_free(p);
	return rc;
}

void
expect_synced_before(struct fixture *f, const char *text)
{
	forget_calls();
	assert_int_equal(run_append(f, "INBOX", text, 0, NULL, NULL), 0);
	assert_int_equal(count_calls(CALL_SYNC, MAIL), 1);
	assert_int_equal(count_calls(CALL_SYNC, DIR_OF_MAIL), 1);
	assert_true(
	    first_call(CALL_SYNC, MAIL) < first_call(CALL_RENAME, MAIL));
}

static int failing;

static int
fail_syncfs(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "syncfs") == 0 ? failing : 0;
}

void
fail_disk_sync(struct fixture *f, int error)
{
	failing = error;
	fsx_set_fault(fail_syncfs);
	ticks(f, 1);
	fsx_set_fault(NULL);
}

/* --- lives ---------------------------------------------------------------- */

struct life {
	struct fixture *f;
	void (*live)(struct fixture *f);
};

/* It ends as if it was killed. */
static void
run_life(void *arg)
{
	const struct life *l = arg;

	fixture_open(l->f);
	l->live(l->f);
	(void)fflush(NULL);
	_exit(0);
}

void
lives(struct fixture *f, void (*live)(struct fixture *f))
{
	struct life l = { f, live };

	assert_true(child_run(run_life, &l));
}

void
live_one_by_one(struct fixture *f, void (*first)(struct fixture *f),
    void (*second)(struct fixture *f))
{
	fixture_close(f);
	lives(f, first);
	lives(f, second);
	fixture_open(f);
}

void
close_noted(struct fixture *f)
{
	assert_int_equal(account_open(f->account, NULL), 0);
	fixture_close(f);
}

/* All that it wrote is of another boot. */
void
age_boot(struct fixture *f)
{
	assert_int_equal(sqlite3_exec(f->account->db.h,
			     "UPDATE young SET boot = 5; UPDATE meta SET value "
			     "= 5 WHERE key = 'boot'",
			     NULL, NULL, NULL),
	    SQLITE_OK);
}

void
append_three(struct fixture *f)
{
	uint32_t uid = 0;

	assert_int_equal(run_append(f, "INBOX", "one\n", 0, NULL, &uid), 0);
	assert_int_equal(
	    run_append(f, "INBOX", "two\n", MESSAGE_SEEN, NULL, &uid), 0);
	assert_int_equal(run_append(f, "INBOX", "three\n", 0, NULL, &uid), 0);
	assert_int_equal(uid, 3);
	assert_int_equal(count_rows(f), 3);
}

void
expect_texts(struct fixture *f)
{
	static const char *const texts[] = { "one\n", "two\n", "three\n" };
	struct mailbox *m = open_mailbox(f, "INBOX");

	assert_int_equal(count_rows(f), 0);
	refresh(f, m);
	assert_listing(m, "1 2:S 3");
	for (uint32_t i = 0; i < NELEMS(texts); i++) {
		char *text = message_text(m, i + 1);

		assert_string_equal(text, texts[i]);
		free(text);
	}
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	mailbox_close(&m);
}

void
damage_files(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *path[3];

	append_three(f);
	refresh(f, m);
	for (uint32_t i = 0; i < 3; i++)
		path[i] = mem_strdup(fixture_path(f, message_path(m, i + 1)));
	/* one is empty, one isn't there, one has its size but nothing in it */
	assert_int_equal(truncate(path[0], 0), 0);
	assert_int_equal(unlink(path[1]), 0);
	assert_int_equal(truncate(path[2], 0), 0);
	assert_int_equal(truncate(path[2], 6), 0);
	age_boot(f);
}
