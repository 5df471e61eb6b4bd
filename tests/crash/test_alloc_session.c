/*
 * The k-th allocation fails, for many k, while a session reads, searches and
 * changes a mailbox.  A small allocation that fails ends the worker with a
 * line, by design (base/mem.h): the client's connection ends.  Nothing else
 * may happen: no other signal, no reply that is wrong; and of what is found
 * afterwards all that was acknowledged is there, and nothing is there twice.
 *
 * By default a sample is taken; POSTERN_LONG=1 takes a larger one.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "tests/crash/alloc.h"
#include "tests/crash/client.h"
#include "tests/support/quiet.h"

enum { SAMPLES = 60, SAMPLES_LONG = 6000 };

/* Shared with the process that fails. */
static struct shared {
	unsigned n_done; /* commands answered OK */
	unsigned long n_calls;
} * shared;

/* A command, and the mailbox after it as listing() tells; NULL: as before.
 * between: what may also be, half way (docs/storage.md). */
static const struct {
	const char *text, *after, *between;
} script[] = {
	{ "SELECT INBOX", "1 2 3", NULL },
	{ "SEARCH CHARSET UTF-8 OR (SUBJECT {5+}\r\nhello NOT (FROM \"x\" "
	  "SINCE 1-Jan-2020)) (UID 1:* NOT (LARGER 10 BODY \"b\\\\c\"))",
	    NULL, NULL },
	{ "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE "
	  "BODY.PEEK[HEADER.FIELDS (SUBJECT {4+}\r\nFrom)] "
	  "BODY.PEEK[TEXT]<0.20>)",
	    NULL, NULL },
	{ "STORE 1 +FLAGS.SILENT (\\Seen)", "1:S 2 3", NULL },
	{ "APPEND INBOX (\\Flagged) {22+}\r\nSubject: new\r\n\r\nhere\r\n",
	    "1:S 2 3 4:F", NULL },
	{ "UID SORT (REVERSE SUBJECT DATE) UTF-8 ALL", NULL, NULL },
	{ "THREAD REFERENCES UTF-8 (OR SEEN UNSEEN)", NULL, NULL },
	{ "COPY 2 INBOX", "1:S 2 3 4:F 5", NULL },
	{ "UID STORE 3 +FLAGS (\\Deleted)", "1:S 2 3:T 4:F 5", NULL },
	{ "UID EXPUNGE 1:*", "1:S 2 4:F 5", NULL },
	{ "LIST \"\" {1+}\r\n*", NULL, NULL },
	{ "MOVE 1 {5+}\r\nINBOX", "2 4:F 5 6:S", "1:S 2 4:F 5 6:S" },
};

static void
play(struct fixture *f)
{
	struct client c;

	client_begin(&c, f);
	for (size_t i = 0; i < NELEMS(script); i++) {
		if (client_say(&c, script[i].text) != 0)
			fail_msg("%s: %s", script[i].text, c.reply);
		shared->n_done++;
	}
	(void)client_say(&c, "LOGOUT");
	client_end(&c);
}

/* What the mailbox must be after so many commands. */
static const char *
state_after(unsigned n)
{
	const char *s = "1 2 3";

	for (unsigned i = 0; i < n && i < NELEMS(script); i++)
		if (script[i].after != NULL)
			s = script[i].after;
	return s;
}

static void
check(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const char *found, *between = NULL;

	refresh(f, m);
	found = listing(m);
	if (shared->n_done < NELEMS(script))
		between = script[shared->n_done].between;
	/* the command that was under way may have been carried out, or not */
	if (strcmp(found, state_after(shared->n_done + 1)) != 0 &&
	    (between == NULL || strcmp(found, between) != 0))
		assert_string_equal(found, state_after(shared->n_done));
	mailbox_close(&m);
}

/* True: all was done before the allocation that fails. */
static bool
one(unsigned long at)
{
	void *state = NULL;
	struct mailbox *m;
	struct fixture *f;
	int status;
	pid_t pid;

	assert_int_equal(fixture_setup(&state), 0);
	f = state;
	m = open_mailbox(f, "INBOX");
	mailbox_close(&m);
	for (int i = 0; i < 3; i++)
		(void)deliver(f, "",
		    "From: a@b\nSubject: hello\nDate: Tue, 14 Nov 2023 "
		    "10:00:00 +0100\n\nbody\n");
	fixture_close(f);
	*shared = (struct shared){ 0 };
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (at != ULONG_MAX)
			(void)dup2(null, STDERR_FILENO);
		(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		alloc_calls = 0;
		alloc_fail_at = at;
		fixture_open(f);
		play(f);
		shared->n_calls = alloc_calls;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* "out of memory", and nothing else that could end it */
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGABRT);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	if (WIFEXITED(status))
		assert_int_equal(shared->n_done, NELEMS(script));
	fixture_open(f);
	check(f);
	assert_int_equal(fixture_teardown(&state), 0);
	return WIFEXITED(status) && shared->n_calls < at;
}

static void
in_a_session(void **state)
{
	unsigned long n =
	    getenv("POSTERN_LONG") != NULL ? SAMPLES_LONG : SAMPLES;
	unsigned long total, stride;

	(void)state;
	assert_true(one(ULONG_MAX));
	total = shared->n_calls;
	assert_true(total > 500);
	stride = total > n ? total / n : 1;
	for (unsigned long at = 1; at < total; at += stride)
		(void)one(at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(in_a_session) };

	fixture_in_memory();
	quiet_log();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
