#include "tests/crash/kill.h"

#include <sys/wait.h>

#include <signal.h>
#include <unistd.h>

/* True: it came to its end. */
static bool
live(const struct kill_test *t, const struct script *s,
    const struct calls_plan *plan)
{
	int status;
	pid_t pid;

	world_reset(t->world, s);
	if (t->begin != NULL)
		t->begin();
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		world_live(t->world, s, plan);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return false;
}

void
kill_at_each_call(const struct kill_test *t, const struct script *s)
{
	const struct calls_log *calls = t->world->calls;
	const char *only = getenv("CRASH_AT");
	struct calls_plan plan = { CALLS_KILL,
		only != NULL ? (unsigned)atoi(only) : 1, 0 };
	char where[64];
	bool ended;

	do {
		ended = live(t, s, &plan);
		(void)snprintf(where, sizeof(where), "%s, killed at %u (%s)",
		    s->name, plan.at,
		    ended ? "end" : call_name(calls->kind[calls->n_calls - 1]));
		t->check(s, ended, where);
		plan.at += t->stride;
	} while (!ended && only == NULL);
	assert_true(plan.at > 10 || only != NULL);
}
