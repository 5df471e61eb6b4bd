/*
 * Each call of each script fails in each way it can, once or from then on.
 * What was answered OK holds, what was refused left nothing behind, the error
 * is the one that fits, and all is well as soon as the fault is over: in the
 * same process and in the next.
 *
 * By default a sample is taken, another one with each error; POSTERN_LONG=1
 * takes all.
 */
#include <errno.h>
#include <limits.h>

#include "tests/crash/child.h"
#include "tests/crash/script.h"
#include "tests/support/quiet.h"

/* Every so manieth call, and of a script of many calls no more than that. */
enum { STRIDE = 29, AT_MOST = 20, AT_MOST_LONG = 1000 };

static struct world world;

struct fault {
	const char *name;
	enum calls_mode mode;
	int error;
	/* ERR_* that fit; 0: it must not be noticed.  ERR_SYS: SQLite tells
	 * no more of most failures. */
	int codes[3];
};

static const struct fault faults[] = {
	{ "ENOSPC", CALLS_FAIL, ENOSPC, { ERR_SPACE, ERR_SYS } },
	{ "EDQUOT", CALLS_FAIL, EDQUOT, { ERR_QUOTA, ERR_SYS } },
	{ "EIO", CALLS_FAIL, EIO, { ERR_SYS, ERR_TEMPORARY, ERR_DAMAGED } },
	{ "EMFILE", CALLS_FAIL, EMFILE, { ERR_TEMPORARY, ERR_SYS } },
	{ "EACCES", CALLS_FAIL, EACCES,
	    { ERR_DENIED, ERR_TEMPORARY, ERR_SYS } },
	{ "EINTR", CALLS_FAIL, EINTR, { 0 } },
	{ "short", CALLS_FAIL, SHORT_COUNT, { 0 } },
	{ "full disk", CALLS_BROKEN, ENOSPC, { ERR_SPACE, ERR_SYS } },
	{ "broken disk", CALLS_BROKEN, EIO,
	    { ERR_SYS, ERR_TEMPORARY, ERR_DAMAGED } },
	{ "no descriptors", CALLS_BROKEN, EMFILE, { ERR_TEMPORARY, ERR_SYS } },
};

static bool
fits(const struct fault *x, int code)
{
	for (size_t i = 0; i < NELEMS(x->codes); i++)
		if (x->codes[i] == code)
			return true;
	return false;
}

static void
check(const struct fault *x, const char *where)
{
	const struct promise_rules rules = { .stores = true,
		/* a disk that can't be written to can't be told the sum */
		.quota = x->mode == CALLS_FAIL,
		.modseq = true,
		.refused = x->mode == CALLS_FAIL,
		/* nor be made to take anything back */
		.together = x->mode == CALLS_FAIL,
		.upto = UINT_MAX };

	ledger_check(world.l, world.f, &rules, where);
}

struct life {
	const struct script *s;
	const struct fault *x; /* NULL: none */
	unsigned at;
	char where[96];
};

static void
live(void *arg)
{
	struct life *life = arg;
	const struct fault *x = life->x;
	const struct calls_plan plan = { x != NULL ? x->mode : CALLS_PASS,
		life->at, x != NULL ? x->error : 0 };

	world_live(&world, life->s, &plan);
	if (x == NULL)
		return;
	if (world.l->refused != 0 && life->s->quota == NULL &&
	    !fits(x, world.l->first_code))
		fail_msg("%s: answered %s", life->where,
		    err_name(world.l->first_code));
	/* alternately in this process and in the next */
	if (life->at % 2 != 0)
		check(x, life->where);
	fixture_close(world.f);
}

static void
look_again(void *arg)
{
	struct life *life = arg;

	fixture_open(world.f);
	check(life->x, life->where);
	fixture_close(world.f);
}

static void
one_fault(struct life *life)
{
	world_reset(&world, life->s);
	if (child_ended(live, life, life->where) && life->at % 2 == 0)
		(void)child_ended(look_again, life, life->where);
}

static void
each_call_fails(void **state)
{
	const struct script *s = *state;
	struct life life = { .s = s };
	const char *only = getenv("CRASH_AT");
	bool all = getenv("POSTERN_LONG") != NULL;
	unsigned stride = all || only != NULL ? 1 : STRIDE, most, n;
	uint8_t kind[CALLS_MAX];

	world_reset(&world, s);
	assert_true(child_run(live, &life));
	n = world.calls->n_calls;
	assert_true(n > 20 && n < CALLS_MAX);
	most = all ? AT_MOST_LONG : AT_MOST;
	/* odd, for calls that are struck are checked in turns */
	if (n / stride > most && only == NULL)
		stride = (n / most) | 1;
	memcpy(kind, world.calls->kind, n);
	for (size_t e = 0; e < NELEMS(faults); e++) {
		life.x = &faults[e];
		for (unsigned at = 1 + (unsigned)e % stride; at <= n;
		     at += stride) {
			enum call c = (enum call)kind[at - 1];

			if ((only != NULL && at != (unsigned)atoi(only)) ||
			    !call_may_fail(c, life.x->error))
				continue;
			life.at = at;
			(void)snprintf(life.where, sizeof(life.where),
			    "%s: %s at %u (%s)", s->name, life.x->name, at,
			    call_name(c));
			one_fault(&life);
		}
	}
	child_all_ended();
}

int
main(int argc, char **argv)
{
	int rc;

	fixture_in_memory();
	quiet_log();
	world_init(&world);
	rc =
	    script_run_all("fault", each_call_fails, argc > 1 ? argv[1] : NULL);
	world_fini(&world);
	return rc;
}
