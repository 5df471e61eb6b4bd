/*
 * Accounts that nobody uses any more: many at once are exported and closed some
 * at a time, so that others wait for little, and all soon.
 */
#include <unistd.h>

#include "base/log.h"
#include "maildir/blob.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

/* They are looked at for an export one tick before they may be closed. */
enum { QUIET_TICKS = 60 };

static void
begin(struct fixture *f, bool export)
{
	f->export_courier = export;
	f->syncer = &syncs_at_once;
	fixture_reopen(f);
}

static void
end(struct fixture *f)
{
	fixture_close(f);
	syncs_do_all();
	f->syncer = NULL;
	f->export_courier = false;
	fixture_open(f);
}

static const char *
path_of(struct fixture *f, unsigned i, const char *file)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "a%u%s", i, file);
	return fixture_path(f, name);
}

static void
use_account(struct fixture *f, unsigned i)
{
	struct account *own = f->account;
	struct mailbox *m;

	f->account = account_get(f->store, path_of(f, i, ""), "");
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	mailbox_close(&m);
	account_release(&f->account);
	f->account = own;
}

/* So many accounts have been used last in this tick. */
static void
use_accounts(struct fixture *f, unsigned n)
{
	f->store->opt.open_max = n;
	for (unsigned i = 0; i < n; i++)
		use_account(f, i);
	assert_int_equal(f->store->n_open, n);
}

/* The same, of accounts that are looked at one after the other. */
static void
use_neighbours(struct fixture *f, unsigned n)
{
	uint64_t sum = blob_sum(slice_str(path_of(f, 0, "")));

	f->store->opt.open_max = n;
	for (unsigned i = 0; f->store->n_open < n; i++)
		if (blob_sum(slice_str(path_of(f, i, ""))) % ACCOUNT_BUCKETS ==
		    sum % ACCOUNT_BUCKETS)
			use_account(f, i);
}

static void
ticks(struct fixture *f, int n)
{
	while (n-- > 0)
		(void)store_tick(f->store, 1, f->wall_ms);
}

/* As long as there is something to do; how many pieces it took. */
static unsigned
work(struct fixture *f, enum step *last)
{
	unsigned n = 1;

	while ((*last = store_work(f->store, 1, f->wall_ms)) == STEP_YIELD)
		n++;
	return n;
}

static unsigned
work_off(struct fixture *f)
{
	enum step last;
	unsigned n = work(f, &last);

	assert_int_equal(last, STEP_DONE);
	return n;
}

static void
are_closed_some_at_a_time(void **state)
{
	enum { MANY = 100 };
	struct fixture *f = *state;

	begin(f, false);
	use_accounts(f, MANY);
	ticks(f, QUIET_TICKS);
	(void)work_off(f);
	assert_int_equal(f->store->n_open, MANY);
	ticks(f, 1);
	assert_in_range(f->store->n_open, MANY - 25, MANY - 10);
	assert_in_range(work_off(f), 14, 20);
	assert_int_equal(f->store->n_open, 0);
	end(f);
}

static void
are_exported_some_at_a_time(void **state)
{
	enum { MANY = 25 };
	struct fixture *f = *state;

	begin(f, true);
	use_accounts(f, MANY);
	ticks(f, QUIET_TICKS + 1);
	assert_true(f->store->n_open > MANY - 5);
	assert_in_range(work_off(f), 4 * MANY, 20 * MANY);
	assert_int_equal(f->store->n_open, 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(
		    access(path_of(f, i, "/courierimapuiddb"), F_OK), 0);
	end(f);
}

/* Those whose files the disk has let the others go on: all wait for it
 * together, not one after the other. */
static void
wait_for_the_disk_together(void **state)
{
	enum { SOME = 12 };
	struct fixture *f = *state;
	unsigned rounds = 0;
	enum step last;

	begin(f, true);
	use_accounts(f, SOME);
	ticks(f, QUIET_TICKS - 1);
	f->store->opt.syncer = &syncs_holder;
	ticks(f, 2);
	while ((void)work(f, &last), last == STEP_WAIT_SYNC) {
		syncs_do_all();
		assert_true(++rounds < 20);
	}
	assert_int_equal(last, STEP_DONE);
	assert_int_equal(f->store->n_open, 0);
	assert_in_range(rounds, 3, 8);
	f->store->opt.syncer = &syncs_at_once;
	end(f);
}

/* The account that is looked at first. */
static struct account *
first_account(const struct fixture *f)
{
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = f->store->accounts[i]; a != NULL;
		     a = a->next)
			if (a->db.h != NULL)
				return a;
	return NULL;
}

/* One that has much to do keeps the others neither open nor unexported. */
static void
take_turns(struct fixture *f, void (*use)(struct fixture *f, unsigned n))
{
	enum { SOME = 12, MAILBOXES = 40 };
	struct account *large;
	unsigned n = 0;

	begin(f, true);
	use(f, SOME);
	large = first_account(f);
	assert_non_null(large);
	large = account_get(f->store, large->path, "");
	for (unsigned i = 0; i < MAILBOXES; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "INBOX.%u", i);
		assert_int_equal(create_now(large, slice_str(name)), 0);
	}
	ticks(f, QUIET_TICKS + 1);
	while (f->store->n_open > 1 &&
	    store_work(f->store, 1, f->wall_ms) == STEP_YIELD)
		n++;
	assert_non_null(large->db.h);
	assert_non_null(large->export);
	assert_in_range(n, 4 * SOME, 40 * SOME);
	assert_true(work_off(f) > MAILBOXES);
	assert_int_equal(f->store->n_open, 0);
	account_release(&large);
	end(f);
}

static void
all_take_turns(void **state)
{
	take_turns(*state, use_accounts);
}

static void
neighbours_take_turns(void **state)
{
	take_turns(*state, use_neighbours);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(are_closed_some_at_a_time),
		CASE(are_exported_some_at_a_time),
		CASE(wait_for_the_disk_together),
		CASE(all_take_turns),
		CASE(neighbours_take_turns),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
