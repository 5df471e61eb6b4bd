/*
 * The process is killed at each changing call of each script in turn, and the
 * account opened again.  By default every fifth call is taken, POSTERN_LONG=1
 * takes all.
 */
#include <limits.h>

#include "tests/crash/kill.h"
#include "tests/support/quiet.h"

enum { STRIDE = 5 };

static struct world world;

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

	fixture_in_memory();
	quiet_log_but_errors();
	world_init(&world);
	rc = script_run_all(
	    "kill", killed_at_each_call, argc > 1 ? argv[1] : NULL);
	world_fini(&world);
	return rc;
}
