/*
 * The k-th allocation fails, for every k, while a hostile message is parsed and
 * described.  A small allocation that fails ends the process with a line, by
 * design (base/mem.h); so nothing else may happen: no other signal, and no
 * answer that is wrong.  What a peer makes large is bounded before it is asked
 * for, which is checked by the largest request.
 *
 * By default a sample is taken; POSTERN_LONG=1 takes all.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/buf.h"
#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/mime/parser.h"
#include "tests/crash/alloc.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"

enum { STRIDE = 7, MESSAGE_MAX = 1 << 20 };

/* --- what is done --------------------------------------------------------- */

static void
parse(struct fixture *f)
{
	static char text[MESSAGE_MAX];
	struct buf structure, envelope;
	struct mime_message m;
	size_t n = 0;

	(void)f;
	n += (size_t)sprintf(text + n,
	    "From: a <a@b>, (c (d)) e@f, g:h@i;\n"
	    "Subject: =?utf-8?q?x?=\n"
	    "References: <1@a> <2@b>\n"
	    "Content-Type: multipart/mixed; "
	    "boundary*0=x; boundary*1=y\n\n");
	for (int i = 0; i < 300; i++)
		n += (size_t)sprintf(text + n,
		    "--xy\nContent-Type: text/plain; a%d*=''%%20b\n\nx\n", i);
	buf_init(&structure, 1 << 20);
	buf_init(&envelope, 1 << 20);
	mime_message_init(&m);
	mime_parse(&m, slice_of(text, n), NULL);
	imap_bodystructure_put(&structure, &m, true);
	imap_envelope_put(&envelope, &m, 0);
	assert_true(buf_ok(&structure) && buf_ok(&envelope));
	buf_fini(&structure);
	buf_fini(&envelope);
	mime_message_fini(&m);
}

/* --- the test ------------------------------------------------------------- */

struct work {
	void (*fn)(struct fixture *f);
	unsigned stride;
};

/* True: it came to its end before the allocation that fails. */
static bool
one(const struct work *w, struct fixture *f, unsigned long at)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		(void)dup2(null, STDERR_FILENO);
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		alloc_calls = 0;
		alloc_largest = 0;
		alloc_fail_at = at;
		w->fn(f);
		/* bounded, whatever the peer said */
		_exit(alloc_largest > 16 * MESSAGE_MAX ? 2
			: alloc_calls < at	       ? 0
						       : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		assert_int_not_equal(WEXITSTATUS(status), 2);
		return WEXITSTATUS(status) == 0;
	}
	/* "out of memory", and nothing else that could end it */
	assert_int_equal(WTERMSIG(status), SIGABRT);
	return false;
}

static void
each_fails(struct fixture *f, const struct work *w)
{
	unsigned stride = getenv("POSTERN_LONG") != NULL ? 1 : w->stride;
	unsigned long at = 1;

	for (; !one(w, f, at); at += stride) {
		fixture_close(f);
		fixture_open(f);
	}
	assert_true(at > 10);
}

static void
in_the_parser(void **state)
{
	each_fails(*state, &(struct work){ parse, STRIDE });
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(in_the_parser),
	};

	fixture_in_memory();
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
