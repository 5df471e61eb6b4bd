/*
 * The process is killed at each changing call of each script in turn, and the
 * account opened again.  By default every fifth call is taken, POSTERN_LONG=1
 * takes all.
 */
#include <sys/wait.h>

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/crash/script.h"

enum { STRIDE = 5 };

static struct world world;

static void
quiet(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	if (level <= LOG_LEVEL_ERROR || getenv("CRASH_TRACE") != NULL)
		(void)fprintf(stderr, "%s: %s\n", ident, line);
}

/* True: it came to its end. */
static bool
live(const struct script *s, const struct calls_plan *plan)
{
	int status;
	pid_t pid;

	world_reset(&world, s);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		world_live(&world, s, plan);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return false;
}

static void
killed_at_each_call(void **state)
{
	const struct script *s = *state;
	const struct promise_rules rules = { .stores = true,
		.quota = true,
		.modseq = true,
		.together = true,
		.upto = UINT_MAX };
	/* to look at one failure */
	const char *only = getenv("CRASH_AT");
	struct calls_plan plan = { CALLS_KILL,
		only != NULL ? (unsigned)atoi(only) : 1, 0 };
	char where[64];
	bool ended;

	do {
		ended = live(s, &plan);
		(void)snprintf(where, sizeof(where), "%s, killed at %u (%s)",
		    s->name, plan.at,
		    ended ? "end"
			  : call_name(
				world.calls->kind[world.calls->n_calls - 1]));
		if (ended && s->quota == NULL)
			assert_int_equal(world.l->refused, 0);
		fixture_open(world.f);
		ledger_check(world.l, world.f, &rules, where);
		fixture_close(world.f);
		plan.at += getenv("POSTERN_LONG") != NULL ? 1 : STRIDE;
	} while (!ended);
	assert_true(plan.at > 10 || only != NULL);
}

int
main(int argc, char **argv)
{
	int rc;

	/* A kill leaves what was written, synced or not: memory will do. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	log_set_sink(quiet, NULL);
	world_init(&world);
	rc = script_run_all(
	    "kill", killed_at_each_call, argc > 1 ? argv[1] : NULL);
	world_fini(&world);
	return rc;
}
