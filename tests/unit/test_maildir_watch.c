/*
 * What a watch tells of a large mailbox whose names nobody has looked for yet:
 * what we do ourselves is known without an index of them, and what others do
 * is seen.
 */
#include <fcntl.h>
#include <unistd.h>

#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

enum {
	MANY = PIECE_WORK + 100, /* an index of so many isn't made at once */
	/* each two names: more than are noted, and fewer than the kernel's
	 * queue has room for */
	TOO_MANY = 3000,
};

struct large {
	struct mailbox *m;
	struct mailbox_listener listener;
	unsigned woken;
};

static void
on_wake(void *arg)
{
	struct large *l = arg;

	l->woken++;
}

static void
put_name(char *to, size_t n, unsigned seq, const char *letters)
{
	(void)snprintf(to, n, "cur/%u.M.host:2,%s", 1000000 + seq, letters);
}

static bool
is_there(const struct fixture *f, unsigned seq, const char *letters)
{
	char name[64];

	put_name(name, sizeof(name), seq, letters);
	return access(fixture_path(f, name), F_OK) == 0;
}

/* Another program. */
static void
rename_by_others(
    const struct fixture *f, unsigned seq, const char *from, const char *to)
{
	char names[2][64];

	put_name(names[0], sizeof(names[0]), seq, from);
	put_name(names[1], sizeof(names[1]), seq, to);
	assert_int_equal(
	    rename(fixture_path(f, names[0]), fixture_path(f, names[1])), 0);
}

/* As a new process finds it: clean, its UIDs those of the sequence, and each
 * event of ours still to come. */
static void
open_large(struct fixture *f, struct large *l)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	char name[64];

	put_name(name, sizeof(name), 1, "");
	write_file(fixture_path(f, name), "x");
	for (unsigned seq = 2; seq <= MANY; seq++) {
		char other[64];

		put_name(other, sizeof(other), seq, "");
		assert_int_equal(
		    link(fixture_path(f, name), fixture_path(f, other)), 0);
	}
	age_dir(f, "new");
	age_dir(f, "cur");
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	*l = (struct large){ .m = open_mailbox(f, "INBOX") };
	refresh(f, l->m);
	assert_int_equal(l->m->head->count, MANY);
	assert_true(l->m->dirs[DIR_CUR].complete);
	assert_null(l->m->index);
	l->listener.waker = (struct waker){ on_wake, l };
	mailbox_listen(l->m, &l->listener);
}

static void
close_large(struct large *l)
{
	mailbox_unlisten(&l->listener);
	mailbox_close(&l->m);
}

/* The events have been read, and neither wake anybody nor need names. */
static void
assert_known(struct fixture *f, struct large *l)
{
	l->woken = 0;
	store_on_watch(f->store, clock_now());
	assert_int_equal(l->woken, 0);
	for (int d = 0; d < 2; d++)
		assert_int_equal(l->m->dirs[d].n_events, 0);
	refresh(f, l->m);
	assert_null(l->m->index);
	for (int d = 0; d < 2; d++)
		assert_true(l->m->dirs[d].complete);
}

static void
flag(struct fixture *f, struct large *l, uint32_t from, uint32_t n,
    enum flags_how how, uint32_t flags)
{
	uint32_t *uids = calloc(n, sizeof(*uids));

	assert_non_null(uids);
	for (uint32_t i = 0; i < n; i++)
		uids[i] = from + i;
	assert_int_equal(run_flags(f, l->m, uids, n, how, flags, NULL), 0);
	free(uids);
}

static void
expunge(struct fixture *f, struct large *l, uint32_t uid)
{
	assert_int_equal(run_expunge(f, l->m, &uid, 1), 1);
}

static uint32_t
flags_of(const struct large *l, uint32_t uid)
{
	uint32_t seq = view_find(l->m->head, uid);

	assert_int_not_equal(seq, 0);
	return view_get(l->m->head, seq)->flags;
}

/* A test of the mailbox. */
static void
with_large(void **state, void (*test)(struct fixture *f, struct large *l))
{
	struct large l;

	open_large(*state, &l);
	test(*state, &l);
	close_large(&l);
}

static void
flags(struct fixture *f, struct large *l)
{
	flag(f, l, 1, 1, FLAGS_ADD, MESSAGE_FLAGGED);
	assert_known(f, l);
	flag(f, l, 1, 150, FLAGS_ADD, MESSAGE_SEEN);
	assert_known(f, l);
	flag(f, l, 1, 150, FLAGS_REMOVE, MESSAGE_SEEN);
	flag(f, l, 1, 150, FLAGS_ADD, MESSAGE_SEEN);
	assert_known(f, l);
	assert_int_equal(flags_of(l, 1), MESSAGE_FLAGGED | MESSAGE_SEEN);
	assert_int_equal(flags_of(l, 150), MESSAGE_SEEN);
	assert_true(is_there(f, 150, "S"));
}

static void
own_flags_are_known(void **state)
{
	with_large(state, flags);
}

static void
expunges(struct fixture *f, struct large *l)
{
	flag(f, l, 5000, 10, FLAGS_ADD, MESSAGE_DELETED);
	assert_known(f, l);
	expunge(f, l, 5000);
	assert_known(f, l);
	/* both together */
	flag(f, l, 1, 1, FLAGS_ADD, MESSAGE_DELETED);
	expunge(f, l, 1);
	expunge(f, l, 5001);
	assert_known(f, l);
	assert_int_equal(l->m->head->count, MANY - 3);
	assert_false(is_there(f, 1, "T"));
}

static void
own_expunges_are_known(void **state)
{
	with_large(state, expunges);
}

/* More than are noted: they count as those of others. */
static void
too_many(struct fixture *f, struct large *l)
{
	flag(f, l, 1, TOO_MANY, FLAGS_ADD, MESSAGE_SEEN);
	store_on_watch(f->store, clock_now());
	assert_in_range(
	    l->m->dirs[DIR_CUR].n_events, 1, 2 * (size_t)TOO_MANY - 1);
	refresh(f, l->m);
	assert_int_equal(l->m->head->count, MANY);
	for (uint32_t uid = 1; uid <= TOO_MANY; uid++)
		assert_int_equal(flags_of(l, uid), MESSAGE_SEEN);
	assert_true(l->m->dirs[DIR_CUR].complete);
}

static void
more_than_are_noted(void **state)
{
	with_large(state, too_many);
}

/* What others do is seen, before, between and after what we do, and to the
 * same messages; the index is made for it in pieces. */
static void
others(struct fixture *f, struct large *l)
{
	int rc, n = 0;

	flag(f, l, 1, 2, FLAGS_ADD, MESSAGE_SEEN);
	rename_by_others(f, 1, "S", "RS");
	rename_by_others(f, 7, "", "F");
	flag(f, l, 2, 2, FLAGS_ADD, MESSAGE_FLAGGED);
	rename_by_others(f, 3, "F", "");
	put_cur(f, "9.new:2,", "new");
	store_on_watch(f->store, clock_now());
	assert_int_not_equal(l->woken, 0);
	while (mailbox_refresh(l->m, true, (struct waker){ NULL, NULL },
		   clock_now(), f->wall_ms, &rc) != STEP_DONE)
		n += !mailbox_finds_at_once(l->m);
	assert_int_equal(rc, 0);
	assert_true(n > 0);
	assert_int_equal(l->m->head->count, MANY + 1);
	assert_int_equal(flags_of(l, 1), MESSAGE_ANSWERED | MESSAGE_SEEN);
	assert_int_equal(flags_of(l, 2), MESSAGE_FLAGGED | MESSAGE_SEEN);
	assert_int_equal(flags_of(l, 3), 0);
	assert_int_equal(flags_of(l, 7), MESSAGE_FLAGGED);
}

static void
others_changes_are_seen(void **state)
{
	with_large(state, others);
}

/* They take back what we did, or do the same again. */
static void
undone(struct fixture *f, struct large *l)
{
	flag(f, l, 1, 1, FLAGS_ADD, MESSAGE_SEEN);
	store_on_watch(f->store, clock_now());
	rename_by_others(f, 1, "S", "");
	flag(f, l, 2, 1, FLAGS_ADD, MESSAGE_SEEN);
	rename_by_others(f, 2, "S", "");
	rename_by_others(f, 2, "", "S");
	flag(f, l, 3, 1, FLAGS_ADD, MESSAGE_DELETED);
	expunge(f, l, 3);
	put_cur(f, "1000003.M.host:2,T", "again");
	refresh(f, l->m);
	assert_int_equal(l->m->head->count, MANY);
	assert_int_equal(flags_of(l, 1), 0);
	assert_int_equal(flags_of(l, 2), MESSAGE_SEEN);
	assert_int_equal(view_find(l->m->head, 3), 0);
	assert_int_equal(flags_of(l, MANY + 1), MESSAGE_DELETED);
}

static void
others_undo_it(void **state)
{
	with_large(state, undone);
}

/* Only who listens needs to be told at once; whoever looks sees it anyway. */
static void
wanted_by_listeners(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct mailbox_listener one = { .m = NULL }, other = { .m = NULL };
	struct large l = { .woken = 0 };

	store_on_watch_wanted(f->store, (struct waker){ on_wake, &l });
	refresh(f, m);
	assert_false(store_watch_wanted(f->store));
	put_cur(f, "1.a:2,", "one");
	refresh(f, m);
	assert_int_equal(m->head->count, 1);
	mailbox_listen(m, &one);
	assert_int_equal(l.woken, 1);
	assert_true(store_watch_wanted(f->store));
	mailbox_listen(m, &other);
	mailbox_unlisten(&one);
	mailbox_unlisten(&one);
	assert_int_equal(l.woken, 1);
	assert_true(store_watch_wanted(f->store));
	mailbox_unlisten(&other);
	assert_int_equal(l.woken, 2);
	assert_false(store_watch_wanted(f->store));
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(own_flags_are_known),
		CASE(own_expunges_are_known),
		CASE(more_than_are_noted),
		CASE(others_changes_are_seen),
		CASE(others_undo_it),
		CASE(wanted_by_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
