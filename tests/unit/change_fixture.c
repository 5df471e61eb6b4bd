#include "tests/unit/change_fixture.h"

unsigned change_n_woken;

static void
woken(void *arg)
{
	(void)arg;
	change_n_woken++;
}

static const struct waker waker = { woken, NULL };

int
change_setup(void **state)
{
	int rc = fixture_setup(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	syncs_held = NULL;
	change_n_woken = 0;
	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	fixture_close(f);
	f->syncer = &syncs_holder;
	fixture_open(f);
	return 0;
}

int
change_teardown(void **state)
{
	syncs_do_all();
	return fixture_teardown(state);
}

/* To its end, with the syncs it waits for. */
int
change_finish(struct account_change **c)
{
	int rc = 0;

	while (account_change_step(*c, waker, &rc, NULL) != STEP_DONE) {
		assert_non_null(syncs_held);
		syncs_do_all();
	}
	account_change_free(c);
	return rc;
}

enum step
change_step(struct account_change *c)
{
	int rc = 0;

	return account_change_step(c, waker, &rc, NULL);
}
