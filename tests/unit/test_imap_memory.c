/*
 * What a session holds in memory while its client asks for everything and
 * reads nothing: less than 256 KiB, however much the mailbox has.  What SORT
 * and THREAD take for a while comes out of one sum for the process (shared.h),
 * is counted apart, and given back.
 *
 * Nothing is timed: the heap is looked at after each slice of work.  With a
 * sanitizer in place of the heap the commands are run, and not measured.
 */
#include <sys/stat.h>

#include <ftw.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/defs.h"
#include "base/mem.h"
#include "maildir/store.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/shared.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

enum {
	MESSAGES = 20000,
	SESSION_MAX = 256 * 1024,
	RUNS_MAX = 1000 * 1000,
	STUCK = 20, /* slices in which a session only waits for its client */
	PIPELINED = 64,
};

static char root[] = "/tmp/postern-memory.XXXXXX";
static struct store *store;
static struct session *session;
static bool woken;

static void
wake(void *arg)
{
	(void)arg;
	woken = true;
}

/* --- the mailbox ---------------------------------------------------------- */

/* Files with different subjects, linked to often. */
static void
fill(void)
{
	enum { FILES = 200 };
	char path[200], name[200];

	for (int k = 0; k < 4; k++) {
		static const char *const dirs[] = { "", "/cur", "/new",
			"/tmp" };

		(void)snprintf(
		    path, sizeof(path), "%s/Maildir%s", root, dirs[k]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	for (int k = 0; k < FILES; k++) {
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/%d", root, k);
		f = fopen(path, "w");
		assert_non_null(f);
		(void)fprintf(f,
		    "From: s%d@example.com\nTo: joe@example.com\n"
		    "Subject: %d the subject of this\nDate: Tue, 14 Nov 2023 "
		    "10:%02d:12 +0100\nMessage-ID: <%d@example.com>\n\n%0900d\n",
		    k, k * 7919 % FILES, k % 60, k, k);
		(void)fclose(f);
	}
	for (int k = 0; k < MESSAGES; k++) {
		(void)snprintf(path, sizeof(path), "%s/%d", root, k % FILES);
		(void)snprintf(name, sizeof(name),
		    "%s/Maildir/cur/17%08d.M%dP1.host:2,%s", root, k, k,
		    k % 3 == 0 ? "" : "S");
		assert_int_equal(link(path, name), 0);
	}
}

static int
remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

/* --- the session ---------------------------------------------------------- */

static size_t
heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* A slice. */
static enum step
run(void)
{
	static int64_t now = 5000;

	woken = false;
	return session->ops->run(session, now++, 1700000000000);
}

static void
drain(void)
{
	buf_drain(&session->out, buf_len(&session->out));
}

/* All of it, read as it comes. */
static void
run_through(void)
{
	for (int n = 0; n < RUNS_MAX; n++) {
		enum step st = run();

		drain();
		if (st == STEP_WAIT_INPUT)
			return;
		assert_int_not_equal(st, STEP_DONE);
	}
	fail_msg("the session goes in circles");
}

static void
say(const char *text)
{
	buf_puts(&session->in, text);
	buf_puts(&session->in, "\r\n");
	assert_true(buf_ok(&session->in));
}

/*
 * The client has sent what is in the session's input, and reads nothing for
 * STUCK slices, then as much as fills the output once more, and so on.
 * Returns the most that the heap grew by, without what is shared.
 */
static size_t
most_held(size_t before)
{
	size_t most = 0;
	int stuck = 0;

	for (int n = 0; n < RUNS_MAX; n++) {
		enum step st = run();
		size_t now = heap() - imap_shared_in_use();

		if (now > before && now - before > most)
			most = now - before;
		assert_true(buf_len(&session->out) <= STEP_OUTPUT_HIGH);
		if (st == STEP_WAIT_INPUT)
			return most;
		assert_int_not_equal(st, STEP_DONE);
		if (st == STEP_WAIT_OUTPUT && stuck++ >= STUCK) {
			drain();
			stuck = 0;
		}
	}
	fail_msg("the session goes in circles");
	return 0;
}

/* --- what is asked -------------------------------------------------------- */

/* What is dear is asked of fewer, that still are many times as much. */
static const char *const commands[] = {
	"UID FETCH 1:* (FLAGS)",
	"FETCH 1:* (FLAGS UID MODSEQ INTERNALDATE RFC822.SIZE EMAILID)",
	"FETCH 1:* (ENVELOPE BODYSTRUCTURE)",
	"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (FROM SUBJECT X-NONE)])",
	"FETCH 1:3000 (BODY.PEEK[] BODY.PEEK[TEXT]<10.20> BODY.PEEK[1])",
	"FETCH 1:3000 (BINARY.PEEK[1] PREVIEW)",
	"SEARCH ALL",
	"SEARCH UNSEEN",
	"UID SEARCH RETURN (ALL COUNT MIN MAX) UNSEEN",
	"UID SEARCH RETURN (PARTIAL 1:20000) UNSEEN",
	"SEARCH RETURN (SAVE) SEEN",
	"SEARCH SUBJECT subject",
	"SEARCH 1:3000 BODY 17",
	"SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
	"SORT (SUBJECT) UTF-8 ALL",
	"UID SORT RETURN (ALL COUNT) (FROM) UTF-8 UNSEEN",
	"THREAD REFERENCES UTF-8 ALL",
	"THREAD ORDEREDSUBJECT UTF-8 ALL",
	"UID THREAD REFS UTF-8 ALL",
	"STORE 1:1000 +FLAGS (\\Flagged)",
	"STORE 1:1000 -FLAGS.SILENT (\\Flagged)",
	"LIST \"\" *",
};

static void
one_command(const char *command)
{
	size_t most, before;

	/* once, so that what is shared by all sessions is there */
	buf_puts(&session->in, "a ");
	say(command);
	run_through();
	before = heap();
	buf_puts(&session->in, "b ");
	say(command);
	most = most_held(before);
	assert_int_equal(imap_shared_in_use(), 0);
	drain();
	if (before != 0 && most >= SESSION_MAX)
		fail_msg("%s: %zu bytes", command, most);
}

static void
test_each(void **state)
{
	(void)state;
	for (size_t k = 0; k < NELEMS(commands); k++)
		one_command(commands[k]);
}

/* Many at a time, none of whose answers is read. */
static void
test_pipelined(void **state)
{
	size_t before = heap(), most;

	(void)state;
	for (int k = 0; k < PIPELINED; k++) {
		buf_puts(&session->in, "c ");
		say(commands[(size_t)k % 6]);
	}
	/* the input may hold as much as one read more */
	most = most_held(before);
	drain();
	if (before != 0 && most >= SESSION_MAX)
		fail_msg("%zu bytes", most);
}

/* An IDLE keeps no block of the arena, though rights were looked at in it. */
static void
test_idle(void **state)
{
	const struct imap_session *i =
	    CONTAINER_OF(session, struct imap_session, s);

	(void)state;
	say("d SELECT INBOX");
	run_through();
	say("e IDLE");
	run_through();
	assert_true(session->idle);
	assert_null(i->arena.head);
	say("DONE");
	run_through();
}

/* --- set-up --------------------------------------------------------------- */

static int
set_up(void **state)
{
	struct store_options opt = { .hostname = "test.example",
		.syncer = &syncs_at_once,
		.quiet_ms = (int64_t)1 << 40,
		.poll_ms = (int64_t)1 << 40,
		.open_max = 10,
		.umask = 077 };
	struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.local_addr = "::1",
		.tls = "",
		.ident = "imapd" };
	char *path;

	(void)state;
	quiet_log();
	if (mkdtemp(root) == NULL)
		return -1;
	fill();
	path = mem_printf("%s/Maildir", root);
	store = store_new(&opt);
	(void)store_tick(store, 5000, 1700000000000);
	session = imap_session_new(&imap_options_default, &peer,
	    account_get(store, path, ""), "L", "LOGIN", 5000);
	session->waker = (struct waker){ wake, NULL };
	free(path);
	run_through();
	say("s SELECT INBOX");
	run_through();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	session->ops->free(session);
	store_free(&store);
	return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
