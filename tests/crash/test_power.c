/*
 * The power goes at each point of each script: of what was not synced some is
 * lost, in all ways that power.h allows or a sample of them, and the account
 * is opened again after the boot.  By default a part of the points is taken,
 * POSTERN_LONG=1 takes all and more samples.
 */
#include <sys/stat.h>

#include "base/mem.h"
#include "tests/crash/child.h"
#include "tests/crash/power.h"
#include "tests/crash/script.h"
#include "tests/support/quiet.h"

enum { STRIDE = 23, SAMPLES = 8 };

static struct world world;
static char *boots[2], *kept;

static unsigned
n_ops(void)
{
	return world.calls->n_ops;
}

struct point {
	const struct script *s;
	unsigned upto;
	enum power_loss loss;
	uint64_t seed;
	char where[96];
};

static void
live(void *arg)
{
	const struct point *p = arg;
	const struct calls_plan plan = { CALLS_PASS, 0, 0 };

	calls_set_boot_id(boots[0]);
	calls_set_keep(kept);
	world.calls->record = true;
	world_live(&world, p->s, &plan);
}

static void
look(void *arg)
{
	const struct point *p = arg;
	const struct promise_rules rules = { .stores = p->s->always,
		.quota = true,
		.modseq = true,
		.together = true,
		.upto = p->upto };

	calls_set_boot_id(boots[1]);
	fixture_open(world.f);
	ledger_check(world.l, world.f, &rules, p->where);
	fixture_close(world.f);
}

static void
one_point(struct point *p)
{
	static const char *const names[POWER_N] = { "nothing", "all", "bytes",
		"entries", "some" };

	(void)snprintf(p->where, sizeof(p->where), "%s: %u of %u, lost: %s %u",
	    p->s->name, p->upto, world.calls->n_ops, names[p->loss],
	    (unsigned)p->seed);
	power_restore(
	    world.calls, p->upto, p->loss, p->seed, world.f->path, kept);
	(void)child_ended(look, p, p->where);
}

/* Between two syncs the last point asks for most. */
static bool
is_before_sync(unsigned upto)
{
	return upto == world.calls->n_ops ||
	    world.calls->op[upto].kind == OP_SYNC ||
	    world.calls->op[upto].kind == OP_SYNC_ALL;
}

static void
power_goes(void **state)
{
	struct point p = { .s = *state };
	const char *only = getenv("CRASH_AT");
	bool all = getenv("POSTERN_LONG") != NULL;

	world_reset(&world, p.s);
	remove_tree(kept);
	assert_int_equal(mkdir(kept, 0700), 0);
	assert_true(child_run(live, &p));
	assert_true(p.s->quota != NULL || world.l->refused == 0);
	assert_true(world.calls->n_ops > world.calls->n_old + 5);
	for (p.upto = world.calls->n_old; p.upto <= world.calls->n_ops;
	     p.upto++) {
		bool last = is_before_sync(p.upto);
		const struct op *op = &world.calls->op[p.upto];
		bool chosen = all || p.upto % STRIDE == 0;

		if ((only != NULL && p.upto != (unsigned)atoi(only)) ||
		    (p.upto != 0 && p.upto < world.calls->n_ops &&
			op[-1].call == op->call && op->kind == OP_ENTRY &&
			op[-1].kind == OP_ENTRY))
			continue;
		for (p.loss = POWER_NOTHING; p.loss < POWER_N; p.loss++) {
			if (!(p.loss == POWER_ALL ? last : chosen))
				continue;
			p.seed = 0;
			do
				one_point(&p);
			while (p.loss == POWER_RANDOM && all &&
			    ++p.seed < SAMPLES);
		}
	}
	child_all_ended();
}

static void
make_boot(char **path, const char *text)
{
	*path = mem_printf("%s/boot-%s", world.f->root, text);
	write_file(*path, text);
}

int
main(int argc, char **argv)
{
	int rc;

	fixture_in_memory();
	quiet_log_but_errors();
	world_init(&world);
	ledger_clock = n_ops;
	make_boot(&boots[0], "one");
	make_boot(&boots[1], "two");
	kept = mem_printf("%s/kept", world.f->root);
	rc = script_run_all("power", power_goes, argc > 1 ? argv[1] : NULL);
	free(boots[0]);
	free(boots[1]);
	free(kept);
	world_fini(&world);
	return rc;
}
