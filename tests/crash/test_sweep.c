/*
 * A DELETE that fails, at each call in each way, while another process sweeps
 * up what was deleted: before every call it looks for trees to remove.  Who is
 * answered NO has all of the mailbox.
 */
#include <errno.h>
#include <unistd.h>

#include "maildir/internal.h"
#include "tests/crash/child.h"
#include "tests/crash/script_impl.h"
#include "tests/support/quiet.h"

static struct world world;
static struct account *other; /* as another process has it open */

static void
sweep(enum call c, const char *name)
{
	(void)c;
	(void)name;
	calls_pause(true);
	other->sweep = true;
	tidy_sweep(other);
	calls_pause(false);
}

static void
prepare(struct world *w)
{
	const struct store_options opt = { .hostname = "other" };
	struct store *s = store_new(&opt);

	world_some_mail(w);
	world_append(w, "INBOX.T", "kept1");
	world_append(w, "INBOX.T", "kept2");
	(void)store_tick(s, 1, w->f->wall_ms);
	other = account_get(s, w->f->path, "");
	assert_int_equal(account_open(other, NULL), 0);
}

static void
delete_it(struct world *w)
{
	calls_set_watcher(sweep);
	/* what is refused isn't noted, and so it must be there */
	if (world_done(w, delete_now(w->f->account, SLICE("INBOX.T"))))
		world_note(w, NOTE_DELETED, "INBOX.T", "", 0, 0);
	calls_set_watcher(NULL);
}

static const struct script script = { "sweep", prepare, delete_it, NULL,
	false };

static void
live(void *arg)
{
	world_live(&world, &script, arg);
	_exit(0); /* both processes end as they are */
}

static void
check(void *arg)
{
	const struct promise_rules rules = { .stores = true,
		.upto = UINT32_MAX };

	fixture_open(world.f);
	ledger_check(world.l, world.f, &rules, arg);
	fixture_close(world.f);
}

static void
refused_has_all(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EACCES };
	struct calls_plan plan = { CALLS_PASS, 0, 0 };
	unsigned n, n_refused = 0;
	char where[64];

	(void)state;
	world_reset(&world, &script);
	assert_true(child_run(live, &plan));
	assert_int_equal(world.l->refused, 0);
	strcpy(where, "done");
	check(where);
	n = world.calls->n_calls;
	plan.mode = CALLS_FAIL;
	for (size_t e = 0; e < NELEMS(errors); e++)
		for (plan.at = 1; plan.at <= n; plan.at++) {
			enum call c = (enum call)world.calls->kind[plan.at - 1];

			plan.error = errors[e];
			if (!call_may_fail(c, plan.error))
				continue;
			(void)snprintf(where, sizeof(where), "%s at %u (%s)",
			    strerror(plan.error), plan.at, call_name(c));
			world_reset(&world, &script);
			assert_true(child_run(live, &plan));
			n_refused += world.l->refused;
			if (!child_run(check, where))
				fail_msg("%s", where);
		}
	assert_true(n_refused > 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_has_all),
	};
	int rc;

	fixture_in_memory();
	quiet_log();
	world_init(&world);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	world_fini(&world);
	return rc;
}
