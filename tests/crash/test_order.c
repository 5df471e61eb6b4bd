/*
 * What must be on disk before what is said: the calls of each operation are
 * noted, and the syncs can be held back.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/intent.h"
#include "maildir/internal.h"
#include "maildir/scan.h"
#include "protocols/imap/session.h"
#include "tests/crash/script.h"

enum { NOTED_MAX = 2048 };

/* --- the calls ------------------------------------------------------------ */

static struct {
	enum call call;
	char name[CALLS_NAME];
} noted[NOTED_MAX];
static int n_noted;
static struct calls_log *calls;

static void
note(enum call call, const char *name)
{
	if (!call_changes(call) || n_noted == NOTED_MAX)
		return;
	noted[n_noted].call = call;
	(void)snprintf(noted[n_noted].name, sizeof(noted[0].name), "%s", name);
	n_noted++;
}

/* WAL: the database's log; DIR: a directory; FILE: a message's. */
enum what { WAL, DIR_OF_MAIL, FOLDER, MAIL, ANY };

static bool
is_what(const char *name, enum what what)
{
	bool wal = strcmp(name, "postern.db-wal") == 0;
	bool dir = strcmp(name, "cur") == 0;
	bool mail = name[0] >= '0' && name[0] <= '9';

	switch (what) {
	case WAL:
		return wal;
	case DIR_OF_MAIL:
		return dir;
	case FOLDER:
		return name[0] == '.';
	case MAIL:
		return mail;
	case ANY:
		return true;
	}
	return false;
}

/* Index of the first or last such call; -1: none. */
static int
first(enum call call, enum what what)
{
	for (int i = 0; i < n_noted; i++)
		if (noted[i].call == call && is_what(noted[i].name, what))
			return i;
	return -1;
}

static int
last(enum call call, enum what what)
{
	for (int i = n_noted; i-- > 0;)
		if (noted[i].call == call && is_what(noted[i].name, what))
			return i;
	return -1;
}

static int
count(enum call call, enum what what)
{
	int n = 0;

	for (int i = 0; i < n_noted; i++)
		n += noted[i].call == call && is_what(noted[i].name, what);
	return n;
}

/* --- a syncer that waits to be told --------------------------------------- */

struct slow_syncer {
	struct syncer syncer;
	struct sync_job *waiting[64];
	size_t n;
	bool hold;
};

static void
submit(struct syncer *self, struct sync_job *job)
{
	struct slow_syncer *s = CONTAINER_OF(self, struct slow_syncer, syncer);

	if (!s->hold) {
		sync_job_do(job);
		return;
	}
	assert_true(s->n < NELEMS(s->waiting));
	s->waiting[s->n++] = job;
}

static void
release(struct slow_syncer *s)
{
	struct sync_job *waiting[64];
	size_t n = s->n;

	memcpy(waiting, s->waiting, sizeof(waiting));
	s->n = 0;
	for (size_t i = 0; i < n; i++)
		sync_job_do(waiting[i]);
}

static struct slow_syncer slow = { .syncer = { submit } };

static int
setup(void **state)
{
	struct fixture *f;
	int rc = fixture_setup(state);

	if (rc != 0)
		return rc;
	f = *state;
	calls_begin(f->path, calls);
	f->syncer = &slow.syncer;
	slow.hold = false;
	slow.n = 0;
	fixture_reopen(f);
	n_noted = 0;
	calls_set_watcher(note);
	return 0;
}

static int
teardown(void **state)
{
	fsx_set_fault(NULL);
	calls_set_watcher(NULL);
	calls_set_birth(0);
	calls_end();
	slow.hold = false;
	release(&slow);
	return fixture_teardown(state);
}

/* --- orders --------------------------------------------------------------- */

static void
append_syncs_file_rename_rest(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	n_noted = 0;
	assert_int_equal(run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	assert_true(last(CALL_WRITE, MAIL) < first(CALL_SYNC, MAIL));
	assert_true(first(CALL_SYNC, MAIL) < first(CALL_RENAME, MAIL));
	assert_true(first(CALL_RENAME, MAIL) < first(CALL_WRITE, WAL));
	assert_true(last(CALL_WRITE, WAL) < last(CALL_SYNC, WAL));
	assert_true(last(CALL_RENAME, MAIL) < last(CALL_SYNC, DIR_OF_MAIL));
	assert_int_equal(count(CALL_SYNC, MAIL), 1);
	assert_int_equal(count(CALL_SYNC, DIR_OF_MAIL), 1);
	assert_int_equal(count(CALL_SYNC, WAL), 1);
	mailbox_close(&m);
}

static void
copy_syncs_young_sources(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2 };

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	n_noted = 0;
	assert_int_equal(run_copy(f, m, uids, 2, "INBOX.t", false, NULL), 0);
	assert_int_equal(count(CALL_LINK, MAIL), 2);
	assert_int_equal(count(CALL_CREATE, MAIL), 0);
	assert_int_equal(count(CALL_SYNC, MAIL), 2);
	assert_int_equal(count(CALL_SYNC, DIR_OF_MAIL), 1);
	assert_int_equal(count(CALL_RENAME, MAIL), 0);
	assert_true(last(CALL_SYNC, MAIL) < first(CALL_LINK, MAIL));
	assert_true(last(CALL_LINK, MAIL) < last(CALL_SYNC, DIR_OF_MAIL));
	assert_true(last(CALL_WRITE, WAL) < last(CALL_SYNC, WAL));
	/* files that had a minute to get there */
	f->wall_ms += 61 * 1000;
	n_noted = 0;
	assert_int_equal(run_copy(f, m, uids, 2, "INBOX.t", false, NULL), 0);
	assert_int_equal(count(CALL_SYNC, MAIL), 0);
	assert_int_equal(count(CALL_SYNC, DIR_OF_MAIL), 1);
	mailbox_close(&m);
}

/* How many files a copy of it syncs. */
static int
syncs_of_copy(struct fixture *f, struct mailbox *m, uint32_t uid, uint32_t *to)
{
	n_noted = 0;
	assert_int_equal(run_copy(f, m, &uid, 1, "INBOX.t", false, to), 0);
	assert_int_equal(count(CALL_LINK, MAIL), 1);
	return count(CALL_SYNC, MAIL);
}

/* What was synced here once, and files that are there already. */
static void
copy_syncs_nothing_twice(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *t;
	const uint32_t links[] = { 2, 3 };
	uint32_t to;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	refresh(f, m);
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 0);
	/* two names of one file */
	put_cur(f, "1.a:2,", "one");
	assert_int_equal(
	    link(fixture_path(f, "cur/1.a:2,"), fixture_path(f, "cur/2.b:2,")),
	    0);
	refresh(f, m);
	n_noted = 0;
	assert_int_equal(run_copy(f, m, links, 2, "INBOX.t", false, NULL), 0);
	assert_int_equal(count(CALL_LINK, MAIL), 2);
	assert_int_equal(count(CALL_SYNC, MAIL), 1);
	/* a copy of a copy, also after the database was read anew */
	put_cur(f, "3.c:2,", "three");
	refresh(f, m);
	assert_int_equal(syncs_of_copy(f, m, 4, &to), 1);
	mailbox_close(&m);
	fixture_reopen(f);
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_int_equal(syncs_of_copy(f, t, to, NULL), 0);
	mailbox_close(&t);
}

static void
touch(struct fixture *f, const char *name, int64_t wall_ms)
{
	const struct timespec t = { wall_ms / 1000, 0 };

	assert_int_equal(utimensat(AT_FDCWD, fixture_path(f, name),
			     (const struct timespec[2]){ t, t }, 0),
	    0);
}

/* A file that was renamed or linked a moment ago, and is known for long. */
static void
copy_judges_by_all_times(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int64_t now = f->wall_ms, early = now - 200 * 1000;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	put_cur(f, "1.a:2,", "one");
	touch(f, "cur/1.a:2,", early);
	f->wall_ms = now - 120 * 1000;
	refresh(f, m);
	f->wall_ms = now;
	/* born after it was first seen: another file of the same name */
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 1);
	calls_set_birth(early / 1000);
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 0);
	/* written to since */
	touch(f, "cur/1.a:2,", now);
	assert_int_equal(syncs_of_copy(f, m, 1, NULL), 1);
	/* seen a moment ago: mtime and birth alone are no proof */
	put_cur(f, "2.b:2,", "two");
	touch(f, "cur/2.b:2,", early);
	refresh(f, m);
	assert_int_equal(syncs_of_copy(f, m, 2, NULL), 1);
	mailbox_close(&m);
}

static int link_error, links_before_error;

static int
fail_link(const char *call, const char *path)
{
	(void)path;
	if (strcmp(call, "link") != 0 || links_before_error-- > 0)
		return 0;
	/* too many links to one file; else to none can there be one */
	if (link_error == EMLINK)
		links_before_error = INT_MAX;
	return link_error;
}

/* Where no links can be made, and where one file has too many. */
static void
copy_of_bytes(void **state)
{
	static const struct {
		int error, n;
	} cases[] = { { EXDEV, 3 }, { EPERM, 3 }, { EMLINK, 1 } };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *t;
	const uint32_t uids[] = { 1, 2, 3, 4 };
	uint32_t to[4];

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    run_append(f, "INBOX", "text", 0, NULL, NULL), 0);
	refresh(f, m);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		link_error = cases[i].error;
		links_before_error = 1;
		fsx_set_fault(fail_link);
		n_noted = 0;
		assert_int_equal(
		    run_copy(f, m, uids, 4, "INBOX.t", false, to), 0);
		fsx_set_fault(NULL);
		assert_int_equal(count(CALL_CREATE, MAIL), cases[i].n);
		assert_int_equal(count(CALL_SYNC, MAIL), cases[i].n);
		assert_int_equal(count(CALL_RENAME, MAIL), cases[i].n);
		assert_int_equal(count(CALL_LINK, MAIL), 4 - cases[i].n);
		assert_true(last(CALL_RENAME, MAIL) < last(CALL_SYNC, WAL));
		for (uint32_t k = 0; k < 4; k++)
			assert_int_equal(to[k], 4 * i + k + 1);
	}
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_listing(t, "1 2 3 4 5 6 7 8 9 10 11 12");
	mailbox_close(&t);
	mailbox_close(&m);
}

static void
move_removes_last(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1 };

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	deliver(f, "", "one");
	refresh(f, m);
	n_noted = 0;
	assert_int_equal(run_copy(f, m, uids, 1, "INBOX.t", true, NULL), 0);
	assert_int_equal(count(CALL_UNLINK, MAIL), 1);
	assert_true(first(CALL_UNLINK, MAIL) > last(CALL_SYNC, DIR_OF_MAIL));
	assert_true(first(CALL_UNLINK, MAIL) > last(CALL_SYNC, WAL));
	mailbox_close(&m);
}

static void
store_and_expunge_sync_if_told_to(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2 };

	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	n_noted = 0;
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_int_equal(count(CALL_SYNC, ANY), 0);
	assert_true(first(CALL_UNLINK, MAIL) < last(CALL_WRITE, WAL));
	mailbox_close(&m);
	f->fsync_always = true;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	n_noted = 0;
	assert_int_equal(
	    run_flags(f, m, uids + 1, 1, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(count(CALL_SYNC, WAL), 1);
	assert_true(last(CALL_WRITE, WAL) < first(CALL_SYNC, WAL));
	assert_true(last(CALL_RENAME, MAIL) < last(CALL_SYNC, DIR_OF_MAIL));
	n_noted = 0;
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_true(last(CALL_WRITE, WAL) < first(CALL_SYNC, WAL));
	assert_true(last(CALL_UNLINK, MAIL) < last(CALL_SYNC, DIR_OF_MAIL));
	mailbox_close(&m);
}

/* --- nothing is shown before it is durable ------------------------------- */

static unsigned woken;

static void
wake(void *arg)
{
	(void)arg;
	woken++;
}

static enum step
step_refresh(
    struct fixture *f, struct mailbox *m, struct waker waker, int *result)
{
	enum step step;

	do
		step = mailbox_refresh(m, true, waker, 1, f->wall_ms, result);
	while (step == STEP_YIELD);
	return step;
}

static void
new_mail_waits_for_its_uid(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *again;
	const struct waker waker = { wake, &woken };
	int result = 77;

	refresh(f, m);
	slow.hold = true;
	woken = 0;
	deliver(f, "", "one");
	assert_int_equal(step_refresh(f, m, waker, &result), STEP_WAIT_SYNC);
	assert_int_equal(slow.n, 1);
	assert_listing(m, "");
	/* a second session comes in between, and waits as well */
	again = open_mailbox(f, "INBOX");
	assert_ptr_equal(again, m);
	assert_int_equal(
	    step_refresh(f, again, (struct waker){ wake, again }, &result),
	    STEP_WAIT_SYNC);
	assert_listing(again, "");
	/* and leaves */
	mailbox_forget_waker(again, again);
	mailbox_close(&again);
	release(&slow);
	assert_int_equal(woken, 1);
	assert_int_equal(step_refresh(f, m, waker, &result), STEP_DONE);
	assert_int_equal(result, 0);
	assert_listing(m, "1");
	mailbox_close(&m);
}

static enum step
step_append(struct fixture *f, struct append *p, struct waker waker)
{
	enum step step;

	do
		step = append_commit(p, waker, 1, f->wall_ms);
	while (step == STEP_YIELD);
	return step;
}

static void
append_waits_for_its_syncs(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = { wake, &woken };
	struct append *p;
	const uint32_t *uids;
	uint32_t validity;
	size_t n;

	refresh(f, m);
	slow.hold = true;
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("x"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	n_noted = 0;
	assert_int_equal(step_append(f, p, waker), STEP_WAIT_SYNC);
	assert_int_equal(count(CALL_RENAME, MAIL), 0);
	release(&slow);
	assert_int_equal(step_append(f, p, waker), STEP_WAIT_SYNC);
	assert_int_equal(count(CALL_RENAME, MAIL), 1);
	assert_listing(m, "");
	release(&slow);
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_listing(m, "1");
	append_free(&p);

	/* its session goes away while a sync is under way */
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	assert_int_equal(step_append(f, p, waker), STEP_WAIT_SYNC);
	append_free(&p);
	release(&slow);
	slow.hold = false;
	refresh(f, m);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/* One step of a new STORE; freed at once if it is done. */
static enum step
step_store(struct fixture *f, struct mailbox *m, uint32_t flags,
    struct change_flags **out)
{
	const struct flags_change what = {
		.how = FLAGS_ADD, .flags = flags, .unchanged_since = UINT64_MAX
	};
	const uint32_t uid[] = { 1 };
	struct change_flags *c;
	enum step step;

	assert_int_equal(change_flags_begin(m, uid, 1, &what, &c, NULL), 0);
	do
		step = change_flags_step(
		    c, (struct waker){ wake, &woken }, 1, f->wall_ms);
	while (step == STEP_YIELD);
	*out = c;
	return step;
}

/* The first change of a mailbox is synced; those that come meanwhile wait for
 * the same, whoever of them goes away and whatever becomes of the sync. */
static void
changes_wait_for_the_first(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct change_flags *c, *other;

	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	slow.hold = true;
	assert_int_equal(step_store(f, m, MESSAGE_SEEN, &c), STEP_WAIT_SYNC);
	assert_int_equal(
	    step_store(f, m, MESSAGE_FLAGGED, &other), STEP_WAIT_SYNC);
	change_flags_free(&c);
	change_flags_free(&other);
	/* that sync fails, and nobody is there to hear of it */
	for (size_t i = 0; i < slow.n; i++) {
		slow.waiting[i]->error = EIO;
		slow.waiting[i]->done(slow.waiting[i]);
	}
	slow.n = 0;
	assert_int_equal(step_store(f, m, MESSAGE_DELETED, &c), STEP_WAIT_SYNC);
	release(&slow);
	assert_int_equal(
	    change_flags_step(c, (struct waker){ wake, &woken }, 1, f->wall_ms),
	    STEP_DONE);
	change_flags_free(&c);
	/* from then on they needn't */
	assert_int_equal(step_store(f, m, MESSAGE_DRAFT, &c), STEP_DONE);
	change_flags_free(&c);
	mailbox_close(&m);
}

/* Begins the append of a small message. */
static struct append *
begin_append(struct fixture *f, const char *mailbox)
{
	struct append *p;

	assert_int_equal(
	    append_begin(f->account, slice_str(mailbox), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("x"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	return p;
}

/* One step of each; how many are done. */
static size_t
step_each(struct fixture *f, struct append **v, size_t n)
{
	const struct waker waker = { wake, &woken };
	size_t done = 0;

	for (size_t i = 0; i < n; i++)
		done += v[i] != NULL &&
		    append_commit(v[i], waker, 1, f->wall_ms) == STEP_DONE;
	return done;
}

/* It is in the mailbox by then, and counts. */
static void
abandoned_append_counts(void **state)
{
	struct fixture *f = *state;
	struct account_quota q;
	struct append *p;

	f->quota = "1000S";
	fixture_reopen(f);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	slow.hold = true;
	p = begin_append(f, "INBOX");
	assert_int_equal(step_each(f, &p, 1), 0);
	release(&slow);
	/* in the transaction, and waiting for the syncs */
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	append_free(&p);
	release(&slow);
	slow.hold = false;
	assert_int_equal(account_quota(f->account, &q, NULL), 0);
	assert_int_equal(q.messages, 2);
	assert_int_equal(q.bytes, 4);
}

/* What a failed sync lost isn't on the disk after closing either. */
static void
failed_sync_outlives_closing(void **state)
{
	struct fixture *f = *state;
	struct append *p;
	struct stat st;

	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	slow.hold = true;
	p = begin_append(f, "INBOX");
	assert_int_equal(step_each(f, &p, 1), 0);
	release(&slow);
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	for (size_t i = 0; i < slow.n; i++) {
		slow.waiting[i]->error = EIO;
		slow.waiting[i]->done(slow.waiting[i]);
	}
	slow.n = 0;
	slow.hold = false;
	assert_int_equal(
	    append_commit(p, (struct waker){ wake, &woken }, 1, f->wall_ms),
	    STEP_DONE);
	append_free(&p);
	store_hibernate(f->store);
	/* so that the log is written anew before the next OK */
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	assert_int_equal(stat(fixture_path(f, "postern.db-wal"), &st), 0);
	assert_int_equal(st.st_size, 0);
}

/* Where somebody reads the database, a commit may have to be tried again; the
 * file is in place by then. */
static void
busy_commit_gives_one_uid(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = { wake, &woken };
	struct append *p;
	sqlite3 *reader;
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	refresh(f, m);
	/* as on a remote file system */
	account_close_db(f->account);
	f->account->remote = true;
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	refresh(f, m);
	assert_false(f->account->db.wal);
	p = begin_append(f, "INBOX");
	assert_int_equal(
	    sqlite3_open(fixture_path(f, "postern.db"), &reader), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM mailbox", NULL,
		NULL, NULL),
	    SQLITE_OK);
	for (int i = 0; i < 4; i++)
		assert_int_not_equal(
		    append_commit(p, waker, 1, f->wall_ms), STEP_DONE);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	scan_distrust(m);
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_int_equal(uids[0], 2);
	append_free(&p);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* An append of two messages, up to where its syncs are waited for again. */
static struct append *
begin_two(struct fixture *f)
{
	struct append *p = begin_append(f, "INBOX");

	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("y"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	slow.hold = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	release(&slow);
	for (int i = 0; i < 3; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	assert_int_equal(intent_pending(f->account, NULL), 1);
	return p;
}

/* What it intends is its own to carry out, whoever opens the database. */
static void
intent_of_a_live_append_is_its_own(void **state)
{
	struct fixture *f = *state;
	const struct waker waker = { wake, &woken };
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *p;
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	refresh(f, m);
	p = begin_two(f);
	account_close_db(f->account);
	assert_int_equal(account_open(f->account, NULL), 0);
	release(&slow);
	slow.hold = false;
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_int_equal(n, 2);
	append_free(&p);
	assert_int_equal(intent_pending(f->account, NULL), 0);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* All are in the mailbox, but the directory may not be on the disk yet. */
static void
abandoned_append_keeps_its_intent(void **state)
{
	struct fixture *f = *state;
	struct append *p = begin_two(f);

	/* the intent is durable; the commit waits for its syncs */
	release(&slow);
	for (int i = 0; i < 4; i++)
		assert_int_equal(step_each(f, &p, 1), 0);
	append_free(&p);
	assert_int_equal(intent_pending(f->account, NULL), 1);
	release(&slow);
	slow.hold = false;
	account_close_db(f->account);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(intent_pending(f->account, NULL), 0);
}

static int
count_intents(struct fixture *f)
{
	sqlite3_stmt *s = NULL;
	int n;

	assert_int_equal(sqlite3_prepare_v2(f->account->db.h,
			     "SELECT count(*) FROM intent", -1, &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int(s, 0);
	(void)sqlite3_finalize(s);
	return n;
}

/* The database is lost while an APPEND has one in it: that of another APPEND,
 * in the new one, isn't taken for it. */
static void
intents_of_a_lost_database_are_others(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct slice names = slice_of("a\0b\0", 4);
	int64_t first = 0, second = 0;

	assert_int_equal(intent_put(m, names, &first, NULL), 0);
	mailbox_close(&m);
	account_close_db(f->account);
	assert_int_equal(unlink(fixture_path(f, "postern.db")), 0);
	(void)unlink(fixture_path(f, "postern.db-wal"));
	(void)unlink(fixture_path(f, "postern.db-shm"));
	m = open_mailbox(f, "INBOX");
	assert_int_equal(count_intents(f), 0);
	assert_int_equal(intent_put(m, names, &second, NULL), 0);
	assert_true(first != second);
	intent_drop(f->account, first);
	assert_int_equal(count_intents(f), 1);
	intent_drop(f->account, second);
	assert_int_equal(count_intents(f), 0);
	mailbox_close(&m);
}

static void
intents_go_with_their_mailbox(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	int64_t id = 0;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	m = open_mailbox(f, "INBOX.t");
	assert_int_equal(intent_put(m, slice_of("a\0b\0", 4), &id, NULL), 0);
	assert_int_equal(count_intents(f), 1);
	mailbox_close(&m);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_equal(count_intents(f), 0);
	intent_leave(f->account);
}

static void
appends_share_their_syncs(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *v[4];
	uint32_t validity;
	const uint32_t *uids;
	size_t n;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX.t", "x", 0, NULL, NULL), 0);
	slow.hold = true;
	for (size_t i = 0; i < NELEMS(v); i++)
		v[i] = begin_append(f, i == 1 ? "INBOX.t" : "INBOX");
	n_noted = 0;
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	/* their files are synced side by side */
	assert_int_equal(slow.n, NELEMS(v));
	release(&slow);
	assert_int_equal(count(CALL_SYNC, MAIL), NELEMS(v));
	/* all of them join before the first begins the transaction */
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	assert_int_equal(count(CALL_RENAME, MAIL), 0);
	/* one goes away meanwhile */
	append_free(&v[2]);
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	assert_int_equal(count(CALL_RENAME, MAIL), 3);
	/* the log, and two directories */
	assert_int_equal(slow.n, 3);
	/* its client is not told of what isn't durable */
	append_free(&v[3]);
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	release(&slow);
	assert_int_equal(count(CALL_SYNC, WAL), 1);
	assert_int_equal(count(CALL_SYNC, DIR_OF_MAIL), 2);
	assert_true(last(CALL_RENAME, MAIL) < first(CALL_WRITE, WAL));
	assert_int_equal(step_each(f, v, NELEMS(v)), 2);
	assert_int_equal(append_result(v[0], &validity, &uids, &n), 0);
	assert_int_equal(uids[0], 1);
	assert_int_equal(append_result(v[1], &validity, &uids, &n), 0);
	assert_int_equal(uids[0], 2);
	append_free(&v[0]);
	append_free(&v[1]);
	slow.hold = false;
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* The mailbox of the second goes away: it fails alone. */
static void
one_of_a_group_fails_alone(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *v[3];
	uint32_t validity;
	const uint32_t *uids;
	size_t n, done;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	refresh(f, m);
	for (size_t i = 0; i < NELEMS(v); i++)
		v[i] = begin_append(f, i == 1 ? "INBOX.t" : "INBOX");
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	remove_tree(fixture_path(f, ".t"));
	do
		done = step_each(f, v, NELEMS(v));
	while (done < NELEMS(v));
	assert_int_equal(append_result(v[0], &validity, &uids, &n), 0);
	assert_int_not_equal(append_result(v[1], &validity, &uids, &n), 0);
	assert_int_equal(append_result(v[2], &validity, &uids, &n), 0);
	for (size_t i = 0; i < NELEMS(v); i++)
		append_free(&v[i]);
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

/* At most two rounds at a time: who comes then shares the third. */
static void
rounds_are_limited(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *v[4];

	refresh(f, m);
	slow.hold = true;
	for (size_t i = 0; i < NELEMS(v); i++)
		v[i] = begin_append(f, "INBOX");
	assert_int_equal(step_each(f, v, NELEMS(v)), 0);
	release(&slow);
	n_noted = 0;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
		    step_append(f, v[i], (struct waker){ 0 }), STEP_WAIT_SYNC);
		assert_int_equal(count(CALL_RENAME, MAIL), i + 1);
		assert_int_equal(slow.n, 2 * (i + 1));
	}
	for (int k = 0; k < 3; k++)
		assert_int_equal(step_each(f, v + 2, 2), 0);
	assert_int_equal(count(CALL_RENAME, MAIL), 2);
	woken = 0;
	release(&slow);
	/* those whose rounds have ended, and the first that waits */
	assert_true(woken >= 1);
	assert_int_equal(step_each(f, v, NELEMS(v)), 2);
	assert_int_equal(count(CALL_RENAME, MAIL), 4);
	assert_int_equal(slow.n, 2);
	release(&slow);
	assert_int_equal(step_each(f, v, NELEMS(v)), NELEMS(v));
	for (size_t i = 0; i < NELEMS(v); i++)
		append_free(&v[i]);
	assert_listing(m, "1 2 3 4");
	mailbox_close(&m);
}

static void
unique_ids_wait(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = { wake, &woken };
	struct pop3_entry *v = NULL;
	size_t n = 0;
	int result = 0;

	deliver(f, "", "one");
	refresh(f, m);
	slow.hold = true;
	woken = 0;
	assert_int_equal(
	    mailbox_pop3_list(m, waker, 1, &v, &n, &result), STEP_WAIT_SYNC);
	assert_null(v);
	release(&slow);
	assert_int_equal(woken, 1);
	assert_int_equal(
	    mailbox_pop3_list(m, waker, 1, &v, &n, &result), STEP_DONE);
	assert_int_equal(result, 0);
	assert_int_equal(n, 1);
	free(v);
	mailbox_close(&m);
}

/* A session that goes away while a sync is under way isn't called any more:
 * neither one that was selecting, nor one that had selected. */
static void
session_goes_while_it_waits(void **state)
{
	static const char *const commands[] = { "A SELECT INBOX\r\n",
		"A STATUS INBOX (MESSAGES)\r\n",
		"A SELECT INBOX\r\nB NOOP\r\n" };
	static const struct session_peer peer = { .user = "alice",
		.client_addr = "",
		.local_addr = "",
		.tls = "",
		.ident = "imapd" };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	for (size_t i = 0; i < NELEMS(commands); i++) {
		struct session *s = imap_session_new(&imap_options_default,
		    &peer, account_get(f->store, f->path, ""), "L", "LOGIN", 1);
		enum step step;

		s->waker = (struct waker){ wake, &woken };
		slow.hold = i < 2;
		if (i < 2)
			(void)deliver(f, "", "one");
		buf_puts(&s->in, commands[i]);
		if (i == 2) {
			/* the first of the two, and then new mail */
			while (s->ops->run(s, 1, f->wall_ms) != STEP_WAIT_INPUT)
				;
			(void)deliver(f, "", "two");
			slow.hold = true;
			buf_puts(&s->in, "C NOOP\r\n");
		}
		do
			step = s->ops->run(s, 1, f->wall_ms);
		while (step != STEP_WAIT_SYNC && step != STEP_WAIT_INPUT);
		assert_int_equal(step, STEP_WAIT_SYNC);
		s->ops->free(s);
		woken = 0;
		release(&slow);
		assert_int_equal(woken, 0);
		slow.hold = false;
		refresh(f, m);
	}
	mailbox_close(&m);
}

static int
fail_fdatasync(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "fdatasync") == 0 ? EIO : 0;
}

static void
quiet(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)level;
	(void)ident;
	(void)line;
}

/* A failed sync is never believed, nor tried again on the same file. */
static void
failed_sync_is_no(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid = 0;

	refresh(f, m);
	fsx_set_fault(fail_fdatasync);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), ERR_SYS);
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	deliver(f, "", "one");
	assert_int_not_equal(try_refresh(f, m, true), 0);
	assert_listing(m, "");
	fsx_set_fault(NULL);
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, &uid), 0);
	assert_true(uid > 2);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(append_syncs_file_rename_rest),
		CASE(copy_syncs_young_sources),
		CASE(copy_syncs_nothing_twice),
		CASE(copy_judges_by_all_times),
		CASE(copy_of_bytes),
		CASE(move_removes_last),
		CASE(store_and_expunge_sync_if_told_to),
		CASE(new_mail_waits_for_its_uid),
		CASE(append_waits_for_its_syncs),
		CASE(changes_wait_for_the_first),
		CASE(abandoned_append_counts),
		CASE(failed_sync_outlives_closing),
		CASE(busy_commit_gives_one_uid),
		CASE(intent_of_a_live_append_is_its_own),
		CASE(abandoned_append_keeps_its_intent),
		CASE(intents_of_a_lost_database_are_others),
		CASE(intents_go_with_their_mailbox),
		CASE(appends_share_their_syncs),
		CASE(one_of_a_group_fails_alone),
		CASE(rounds_are_limited),
		CASE(unique_ids_wait),
		CASE(session_goes_while_it_waits),
		CASE(failed_sync_is_no),
	};

	log_set_sink(quiet, NULL);
	calls = calls_log_new();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
