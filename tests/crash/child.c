#include "tests/crash/child.h"

#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned n_failed; /* that the test has still to tell */

bool
child_run(void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool
child_ended(void (*fn)(void *arg), void *arg, const char *where)
{
	if (child_run(fn, arg))
		return true;
	if (getenv("CRASH_ALL") == NULL)
		fail_msg("%s", where);
	(void)fprintf(stderr, "failed: %s\n", where);
	n_failed++;
	return false;
}

void
child_all_ended(void)
{
	unsigned n = n_failed;

	n_failed = 0;
	assert_int_equal(n, 0);
}
