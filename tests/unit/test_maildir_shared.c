/* A mailbox that other processes work on at the same time. */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/support/dice.h"
#include "tests/support/maildir_fixture.h"

enum { FILES = 1500, RUN_MS = 1500, PATIENCE_MS = 60000 };

static const char *const infos[] = { ":2,", ":2,S", ":2,F", ":2,FS", ":2,R" };

/* Rename files back and forth as fast as can be. */
static void
foreign_renamer(struct fixture *f)
{
	uint8_t now[FILES] = { 0 };
	int fd = open(fixture_path(f, "cur"), O_RDONLY | O_DIRECTORY);

	for (;;) {
		uint32_t i = dice(FILES), to = dice(NELEMS(infos));
		char from_name[64], to_name[64];

		(void)snprintf(from_name, sizeof(from_name), "%u.r%s", 1000 + i,
		    infos[now[i]]);
		(void)snprintf(
		    to_name, sizeof(to_name), "%u.r%s", 1000 + i, infos[to]);
		if (renameat(fd, from_name, fd, to_name) == 0)
			now[i] = (uint8_t)to;
	}
}

/* As some do that have no rename: link, then unlink. */
static void
deliver_by_link(struct fixture *f, unsigned serial)
{
	char from[64], to[64];

	(void)snprintf(from, sizeof(from), "tmp/%lld.L%ldQ%u.host.test",
	    (long long)(f->wall_ms / 1000), (long)getpid(), serial);
	(void)snprintf(to, sizeof(to), "new/%s", from + 4);
	write_file(fixture_path(f, from), "linked");
	assert_int_equal(link(fixture_path(f, from), fixture_path(f, to)), 0);
	assert_int_equal(unlink(fixture_path(f, from)), 0);
}

static void
deliverer(struct fixture *f)
{
	for (unsigned i = 0;; i++) {
		if (i % 2 == 0)
			deliver(f, "", "delivered");
		else
			deliver_by_link(f, i);
		(void)usleep(200);
	}
}

/* POSTERN_LONG=1: as long as an admin would wait for it to go wrong. */
static int64_t
renaming_ms(void)
{
	return getenv("POSTERN_LONG") != NULL ? 30 * 1000 : RUN_MS;
}

static pid_t
start(struct fixture *f, void (*fn)(struct fixture *))
{
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* a failed test must not leave it behind */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)alarm(600);
		dice_seed ^= (uint64_t)getpid() << 20;
		fn(f);
		_exit(0);
	}
	return pid;
}

static void
stop(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Messages only come: each view must begin with the one before. */
static void
check_growth(struct mailbox *m, uint32_t *uids, uint32_t *n)
{
	struct view *v = mailbox_view(m);

	assert_true(view_count(v) >= *n);
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		uint32_t uid = view_get(v, seq)->uid;

		if (seq <= *n)
			assert_int_equal(uids[seq - 1], uid);
		uids[seq - 1] = uid;
	}
	*n = view_count(v);
	view_unref(&v);
}

/* Each file is one message, under one UID. */
static void
check_against_disk(struct fixture *f, struct mailbox *m)
{
	struct view *v = mailbox_view(m);
	unsigned files = count_files(fixture_path(f, "cur")) +
	    count_files(fixture_path(f, "new"));
	char **names = mem_zalloc(view_count(v) + 1, sizeof(char *));

	assert_int_equal(view_count(v), files);
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		const char *path = message_path(m, view_get(v, seq)->uid);

		assert_int_equal(access(fixture_path(f, path), F_OK), 0);
		names[seq - 1] = mem_strdup(path);
		if (strchr(path + 4, ':') != NULL)
			names[seq - 1][strchr(path, ':') - path] = '\0';
	}
	for (uint32_t i = 0; i < view_count(v) && i < 2000; i++)
		for (uint32_t k = i + 1; k < view_count(v) && k < 2000; k++)
			assert_string_not_equal(names[i], names[k]);
	for (uint32_t i = 0; i < view_count(v); i++)
		free(names[i]);
	free(names);
	view_unref(&v);
}

static void
renamed_while_scanned(struct fixture *f)
{
	struct mailbox *m;
	uint32_t *uids = mem_zalloc(200000, sizeof(*uids)), n = 0, rounds = 0;
	pid_t renamer, mta;
	int64_t end;

	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	put_many(f, "cur/", FILES, ".r:2,", "x");
	refresh(f, m);
	check_growth(m, uids, &n);
	assert_int_equal(n, FILES);
	renamer = start(f, foreign_renamer);
	mta = start(f, deliverer);
	for (end = clock_now() + renaming_ms(); clock_now() < end; rounds++) {
		f->wall_ms = clock_wall();
		/* some rounds read all, whatever is known */
		if (rounds % 4 == 0)
			scan_distrust(m);
		refresh(f, m);
		check_growth(m, uids, &n);
		if (rounds % 8 == 0) {
			char *text = message_text(m, uids[dice(FILES)]);

			assert_non_null(text);
			free(text);
		}
	}
	stop(renamer);
	stop(mta);
	assert_true(n > FILES);
	refresh(f, m);
	check_growth(m, uids, &n);
	check_against_disk(f, m);
	/* what is removed now is seen to be gone */
	for (unsigned i = 0; i < FILES; i += 100)
		assert_int_equal(
		    unlink(fixture_path(f, message_path(m, uids[i]))), 0);
	f->wall_ms = clock_wall() + 1000;
	refresh(f, m);
	check_against_disk(f, m);
	mailbox_close(&m);
	free(uids);
}

static void
renamer_with_watches(void **state)
{
	renamed_while_scanned(*state);
}

static void
renamer_without_watches(void **state)
{
	struct fixture *f = *state;

	f->no_watches = true;
	renamed_while_scanned(f);
}

/* As a session tries again when somebody has the database. */
static bool
try_again(int rc, int64_t until)
{
	if (rc != ERR_BUSY || clock_now() >= until)
		return false;
	(void)usleep(1000);
	return true;
}

static struct mailbox *
open_patiently(struct fixture *f)
{
	int64_t until = clock_now() + PATIENCE_MS;
	struct mailbox *m = NULL;
	int rc;

	do
		rc = mailbox_open(f->account, SLICE("INBOX"), &m, NULL);
	while (try_again(rc, until));
	return m;
}

static int
append_patiently(struct fixture *f)
{
	int64_t until = clock_now() + PATIENCE_MS;
	int rc;

	do
		rc = run_append(f, "INBOX", "x", 0, "kw2", NULL);
	while (try_again(rc, until));
	return rc;
}

/* Another worker on the same account: it scans, flags and expunges. */
static void
other_worker(struct fixture *f)
{
	struct mailbox *m;

	f->store = NULL;
	fixture_open(f);
	if ((m = open_patiently(f)) == NULL)
		_exit(4);
	for (;;) {
		struct view *v;
		uint32_t uid[1];

		f->wall_ms = clock_wall();
		refresh(f, m);
		v = mailbox_view(m);
		if (view_count(v) > 20) {
			uid[0] = view_get(v, 1 + dice(view_count(v)))->uid;
			if (run_flags(f, m, uid, 1, FLAGS_ADD, 1u << dice(6),
				"kw") != 0)
				_exit(1);
			if (dice(4) == 0 && run_remove(f, m, uid, 1) < 0)
				_exit(2);
			if (dice(4) == 0 && append_patiently(f) != 0)
				_exit(3);
		}
		view_unref(&v);
	}
}

/* UIDs ascend, and a base name never has two. */
struct seen_name {
	char *base;
	uint32_t uid;
};

static void
check_names(struct mailbox *m, struct seen_name *seen)
{
	struct view *v = view_ref(m->head);

	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		uint32_t i;
		const struct chunk *c = view_at(v, seq, &i);
		uint32_t uid = chunk_uid(c, i);
		struct slice base = chunk_base(c, i);

		assert_true(uid < 100000);
		if (seen[uid].base == NULL)
			seen[uid].base = slice_dup(base);
		else
			assert_true(slice_eq(slice_str(seen[uid].base), base));
	}
	view_unref(&v);
}

static void
two_workers_and_two_mtas(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct seen_name *seen = mem_zalloc(100000, sizeof(*seen));
	pid_t pids[3];
	int64_t end;
	int status;

	refresh(f, m);
	pids[0] = start(f, deliverer);
	pids[1] = start(f, deliverer);
	pids[2] = start(f, other_worker);
	for (end = clock_now() + RUN_MS; clock_now() < end;) {
		struct view *v;
		uint32_t uid[1];

		f->wall_ms = clock_wall();
		refresh(f, m);
		check_names(m, seen);
		v = mailbox_view(m);
		if (view_count(v) > 20) {
			uid[0] = view_get(v, 1 + dice(view_count(v)))->uid;
			assert_int_equal(run_flags(f, m, uid, 1, FLAGS_REPLACE,
					     1u << dice(6), "other"),
			    0);
			if (dice(4) == 0)
				assert_true(run_remove(f, m, uid, 1) >= 0);
		}
		view_unref(&v);
		if (waitpid(pids[2], &status, WNOHANG) != 0)
			fail_msg("the other one ended: %x", (unsigned)status);
	}
	for (size_t i = 0; i < NELEMS(pids); i++)
		stop(pids[i]);
	refresh(f, m);
	check_names(m, seen);
	check_against_disk(f, m);
	for (uint32_t i = 1; i < 100000; i++) {
		/* and no base name twice */
		for (uint32_t k = i + 1; seen[i].base != NULL && k < 100000 &&
		     k < i + 200 && seen[k].base != NULL;
		     k++)
			assert_string_not_equal(seen[i].base, seen[k].base);
		free(seen[i - 1].base);
	}
	free(seen[99999].base);
	free(seen);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(renamer_with_watches),
		CASE(renamer_without_watches),
		CASE(two_workers_and_two_mtas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
