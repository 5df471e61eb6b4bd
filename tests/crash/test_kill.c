/*
 * The process is killed at each changing call of each script in turn, and the
 * account opened again.  By default every fifth call is taken, POSTERN_LONG=1
 * takes all.
 */
#include <limits.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/crash/kill.h"

enum { STRIDE = 5 };

static struct world world;

static void
quiet(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	if (level <= LOG_LEVEL_ERROR || getenv("CRASH_TRACE") != NULL)
		(void)fprintf(stderr, "%s: %s\n", ident, line);
}

static void
check(const struct script *s, bool ended, const char *where)
{
	const struct promise_rules rules = { .stores = true,
		.quota = true,
		.modseq = true,
		.together = true,
		.upto = UINT_MAX };

	if (ended && s->quota == NULL)
		assert_int_equal(world.l->refused, 0);
	fixture_open(world.f);
	ledger_check(world.l, world.f, &rules, where);
	fixture_close(world.f);
}

static void
killed_at_each_call(void **state)
{
	const struct kill_test t = { .world = &world,
		.check = check,
		.stride = getenv("POSTERN_LONG") != NULL ? 1 : STRIDE };

	kill_at_each_call(&t, *state);
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
