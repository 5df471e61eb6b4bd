/*
 * Hibernated mailboxes: the record of a view, when a mailbox may sleep, and
 * what its listeners find when it wakes up.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "maildir/record.h"
#include "tests/support/dice.h"
#include "tests/support/maildir_fixture.h"

/* --- records -------------------------------------------------------------- */

enum { ROUNDS = 400, SPAN = 1200 };

/* A mailbox as plain arrays, from which views are made. */
struct model {
	struct message m[SPAN];
	size_t n;
	uint32_t uidnext;
	uint64_t modseq;
};

static struct view *
model_view(const struct model *x, uint32_t per_chunk)
{
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN };
	struct chunk **v = mem_alloc((x->n + 1) * sizeof(struct chunk *));
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++) {
		/* a key may be below its chunk's first UID, when that went */
		if (n == 0 || v[n - 1]->n == per_chunk) {
			uint32_t before = i != 0 ? x->m[i - 1].uid : 0;

			v[n++] =
			    chunk_new(before + 1 + dice(x->m[i].uid - before));
		}
		chunk_append(v[n - 1], &x->m[i], 0, SLICE("base"),
		    slice_of(NULL, 0), &fixed);
	}
	return view_new(v, n, x->uidnext, x->modseq);
}

/* One change, as an edit makes it. */
static void
model_change(struct model *x)
{
	size_t n = 0;

	x->modseq++;
	switch (dice(3)) {
	case 0: /* new ones */
		for (uint32_t k = dice(8); k > 0 && x->n < SPAN; k--)
			x->m[x->n++] = (struct message){ .uid = x->uidnext++,
				.modseq = x->modseq };
		x->uidnext += dice(3);
		break;
	case 1: /* flags */
		for (uint32_t k = dice(4); k > 0 && x->n != 0; k--)
			x->m[dice((uint32_t)x->n)].modseq = x->modseq;
		break;
	default: /* some go, or a whole stretch */
		if (x->n != 0 && dice(4) == 0) {
			size_t from = dice((uint32_t)x->n);
			size_t to = from + dice((uint32_t)(x->n - from)) + 1;

			memmove(&x->m[from], &x->m[to],
			    (x->n - to) * sizeof(x->m[0]));
			x->n -= to - from;
			break;
		}
		for (size_t i = 0; i < x->n; i++)
			if (dice(20) != 0)
				x->m[n++] = x->m[i];
		x->n = n;
	}
}

static void
assert_same_diff(
    const struct view *a, const struct view *b, const struct view *to)
{
	struct view_diff x, y;
	const struct message *m, *k;
	enum view_change c;
	uint32_t seq_x = 0, seq_y = 0;

	view_diff_init(&x, a, to);
	view_diff_init(&y, b, to);
	do {
		c = view_diff_next(&x, &seq_x, &m);
		assert_int_equal(c, view_diff_next(&y, &seq_y, &k));
		if (c == VIEW_SAME_END)
			break;
		assert_int_equal(seq_x, seq_y);
		assert_int_equal(m->uid, k->uid);
	} while (c != VIEW_SAME_END);
}

static void
record_stands_for_its_view(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct model x = { .uidnext = 1, .modseq = 1 };
		struct view *all, *old, *now, *back;
		struct record *r;

		for (uint32_t k = dice(120); k > 0; k--)
			model_change(&x);
		all = model_view(&x, 1 + dice(40));
		/* the last ones may not have been durable yet */
		old = view_below(all, x.uidnext - dice(3) % x.uidnext);
		r = record_new(old);
		for (uint32_t k = dice(6); k > 0; k--)
			model_change(&x);
		now = model_view(&x, 1 + dice(40));
		back = record_view(r, now);
		assert_int_equal(view_count(back), view_count(old));
		assert_int_equal(view_uidnext(back), view_uidnext(old));
		assert_int_equal(
		    view_highest_modseq(back), view_highest_modseq(old));
		for (uint32_t seq = 1; seq <= view_count(old); seq++) {
			uint32_t uid = view_get(old, seq)->uid;

			assert_int_equal(view_get(back, seq)->uid, uid);
			assert_int_equal(view_find(back, uid), seq);
			assert_int_equal(view_lower_bound(back, uid), seq);
		}
		assert_same_diff(old, back, now);
		if (record_is(r, now))
			assert_ptr_equal(back, now);
		record_unref(&r);
		view_unref(&all);
		view_unref(&old);
		view_unref(&now);
		view_unref(&back);
	}
}

static void
unchanged_chunks_are_shared(void **state)
{
	struct model x = { .uidnext = 1, .modseq = 1 };
	struct view *old, *now, *back;
	struct record *r;
	size_t shared = 0;

	(void)state;
	for (uint32_t uid = 1; uid <= 1000; uid++)
		x.m[x.n++] =
		    (struct message){ .uid = x.uidnext++, .modseq = 1 };
	old = model_view(&x, 100);
	r = record_new(old);
	x.modseq++;
	x.m[250].modseq = x.modseq;
	now = model_view(&x, 100);
	back = record_view(r, now);
	for (size_t k = 0; k < back->n_chunks; k++)
		for (size_t i = 0; i < now->n_chunks; i++)
			shared += back->v[k] == now->v[i];
	assert_int_equal(shared, 9);
	record_unref(&r);
	view_unref(&old);
	view_unref(&now);
	view_unref(&back);
}

/* --- mailboxes ------------------------------------------------------------ */

struct user {
	struct mailbox_listener l;
	struct view *view;
	unsigned woken, asleep;
};

static void
on_wake(void *arg)
{
	((struct user *)arg)->woken++;
}

static void
on_asleep(void *arg)
{
	((struct user *)arg)->asleep++;
}

static void
use(struct user *u, struct mailbox *m)
{
	*u = (struct user){ .view = mailbox_view(m) };
	u->l.waker = (struct waker){ on_wake, u };
	u->l.asleep = (struct waker){ on_asleep, u };
	u->l.view = &u->view;
	mailbox_listen(m, &u->l);
}

static void
leave(struct user *u, struct mailbox **m)
{
	mailbox_unlisten(&u->l);
	if (u->view != NULL)
		view_unref(&u->view);
	mailbox_close(m);
}

static void
only_what_rests_sleeps(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *again;
	struct user a, b;

	deliver(f, "", "x");
	refresh(f, m);
	use(&a, m);
	store_hibernate(f->store);
	assert_false(m->asleep); /* nobody said that it rests */
	mailbox_rest(&a.l);
	again = open_mailbox(f, "INBOX");
	assert_ptr_equal(again, m);
	store_hibernate(f->store);
	assert_false(m->asleep); /* somebody uses it who doesn't listen */
	use(&b, again);
	store_hibernate(f->store);
	assert_false(m->asleep); /* one of two rests */
	mailbox_rest(&b.l);
	store_hibernate(f->store);
	assert_true(m->asleep);
	assert_null(a.view);
	assert_null(b.view);
	assert_int_equal(a.asleep, 1);
	assert_ptr_equal(a.l.record, b.l.record);
	assert_int_equal(f->store->n_open, 0);
	/* one that wakes up wakes all, but the other goes on resting */
	assert_int_equal(mailbox_rouse(&a.l, NULL), 0);
	assert_false(m->asleep);
	assert_int_equal(view_count(a.view), 1);
	assert_ptr_equal(a.view, b.view);
	assert_int_equal(a.woken + b.woken, 0);
	store_hibernate(f->store);
	assert_false(m->asleep);
	mailbox_rest(&a.l);
	store_hibernate(f->store);
	assert_true(m->asleep);
	/* who leaves needs nobody awake */
	leave(&a, &m);
	assert_true(again->asleep);
	leave(&b, &again);
	m = open_mailbox(f, "INBOX");
	assert_listing(m, "1");
	mailbox_close(&m);
}

static void
quiet_makes_it_sleep(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct user a;
	int64_t now = clock_now();
	bool released = false;

	refresh(f, m);
	use(&a, m);
	mailbox_rest(&a.l);
	(void)store_tick(f->store, now, f->wall_ms);
	assert_false(m->asleep);
	for (int i = 0; i < 100; i++)
		released =
		    store_tick(f->store, now += 1000, f->wall_ms) || released;
	assert_true(m->asleep);
	assert_true(released);
	for (int i = 0; i < 100; i++)
		assert_false(store_tick(f->store, now += 1000, f->wall_ms));
	leave(&a, &m);
}

static void
changes_wake_and_are_found(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view_diff d;
	const struct message *msg;
	struct view *now;
	struct user a;
	uint32_t seq;
	char *from;

	assert_int_equal(run_append(f, "INBOX", "one\n", 0, "kw", NULL), 0);
	assert_int_equal(run_append(f, "INBOX", "two\n", 0, NULL, NULL), 0);
	assert_int_equal(run_append(f, "INBOX", "three\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	use(&a, m);
	mailbox_rest(&a.l);
	from = mem_strdup(fixture_path(f, message_path(m, 2)));
	store_hibernate(f->store);
	assert_true(m->asleep);
	assert_int_equal(unlink(from), 0);
	free(from);
	deliver(f, "", "four\n");
	store_on_watch(f->store, clock_now());
	if (!f->no_watches)
		assert_true(a.woken > 0);
	assert_true(m->asleep);
	assert_int_equal(mailbox_rouse(&a.l, NULL), 0);
	assert_int_equal(view_count(a.view), 3);
	/* without watches what just changed isn't believed yet */
	f->wall_ms += 1000;
	refresh(f, m);
	assert_listing(m, "1(kw) 3 4");
	now = mailbox_view(m);
	view_diff_init(&d, a.view, now);
	assert_int_equal(view_diff_next(&d, &seq, &msg), VIEW_EXPUNGED);
	assert_int_equal(seq, 2);
	assert_int_equal(view_diff_next(&d, &seq, &msg), VIEW_ADDED);
	assert_int_equal(seq, 3);
	assert_int_equal(msg->uid, 4);
	assert_int_equal(view_diff_next(&d, &seq, &msg), VIEW_SAME_END);
	view_unref(&now);
	leave(&a, &m);
}

static void
changes_without_watches(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	f->no_watches = true;
	fixture_open(f);
	changes_wake_and_are_found(state);
}

/* More events than a sleeping mailbox keeps: it is read instead. */
static void
many_events_are_not_kept(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct user a;

	refresh(f, m);
	use(&a, m);
	mailbox_rest(&a.l);
	store_hibernate(f->store);
	for (int i = 0; i < 3 * EVENTS_MAX_ASLEEP; i++) {
		deliver(f, "", "x");
		store_on_watch(f->store, clock_now());
		assert_true(m->dirs[DIR_NEW].n_events <= EVENTS_MAX_ASLEEP);
	}
	assert_int_equal(mailbox_rouse(&a.l, NULL), 0);
	refresh(f, m);
	view_unref(&a.view);
	a.view = mailbox_view(m);
	assert_int_equal(view_count(a.view), 3 * EVENTS_MAX_ASLEEP);
	leave(&a, &m);
}

/* A keyword, and UIDs that come and go. */
static void
change_a_bit(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid[] = { 1 };

	assert_int_equal(run_append(f, "INBOX", "two\n", 0, NULL, NULL), 0);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, "word"), 0);
	mailbox_close(&m);
}

static void
others_change_the_database(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct user a;

	assert_int_equal(run_append(f, "INBOX", "one\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	use(&a, m);
	mailbox_rest(&a.l);
	store_hibernate(f->store);
	fixture_elsewhere(f, change_a_bit);
	a.woken = 0;
	assert_int_equal(mailbox_rouse(&a.l, NULL), 0);
	assert_int_equal(a.woken, 1);
	assert_int_equal(view_count(a.view), 1);
	refresh(f, m);
	assert_listing(m, "1:S(word) 2");
	leave(&a, &m);
}

static void
removed_while_asleep(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct user a;

	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	m = open_mailbox(f, "INBOX.a");
	refresh(f, m);
	use(&a, m);
	mailbox_rest(&a.l);
	store_hibernate(f->store);
	assert_true(m->asleep);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.a")), 0);
	assert_true(a.woken > 0);
	assert_int_equal(mailbox_rouse(&a.l, NULL), ERR_STALE);
	assert_true(mailbox_gone(m));
	leave(&a, &m);
}

/* \Recent, claimed and written back, isn't given a second time. */
static void
recent_is_kept(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct user a;

	deliver(f, "", "x");
	refresh(f, m);
	assert_int_equal(mailbox_recent_from(m, true), 1);
	use(&a, m);
	mailbox_rest(&a.l);
	store_hibernate(f->store);
	assert_true(m->asleep);
	assert_int_equal(mailbox_rouse(&a.l, NULL), 0);
	assert_int_equal(mailbox_recent_from(m, true), 2);
	leave(&a, &m);
}

/* --- without watches ------------------------------------------------------ */

static bool no_more_watches;
static unsigned n_complaints;

int __real_inotify_add_watch(int fd, const char *path, uint32_t mask);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);

int
__wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (no_more_watches) {
		errno = ENOSPC;
		return -1;
	}
	return __real_inotify_add_watch(fd, path, mask);
}

static void
count_complaints(
    void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)ident;
	n_complaints += level <= LOG_LEVEL_WARN;
	(void)line;
}

/* When watches run out: one log line, polling, nothing else. */
/* As if it came within the tick of the last change, which has the same time. */
static void
deliver_within_the_tick(struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(fixture_path(f, "new"), &st), 0);
	deliver(f, "", "x");
	assert_int_equal(
	    utimensat(AT_FDCWD, fixture_path(f, "new"),
		(const struct timespec[2]){ st.st_atim, st.st_mtim }, 0),
	    0);
}

static void
watches_run_out(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m[2];
	struct user a;
	int64_t now = clock_now();

	log_set_sink(count_complaints, NULL);
	n_complaints = 0;
	no_more_watches = true;
	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	m[0] = open_mailbox(f, "INBOX");
	m[1] = open_mailbox(f, "INBOX.a");
	refresh(f, m[0]);
	refresh(f, m[1]);
	assert_int_equal(n_complaints, 1);
	use(&a, m[0]);
	/* asleep or not, polling finds what comes */
	for (int round = 0; round < 2; round++) {
		mailbox_rest(&a.l);
		if (round == 1)
			store_hibernate(f->store);
		assert_int_equal(m[0]->asleep, round == 1);
		a.woken = 0;
		deliver_within_the_tick(f);
		for (int i = 0; i < 120 && a.woken == 0; i++)
			(void)store_tick(f->store, now += 1000, f->wall_ms);
		assert_true(a.woken > 0);
		assert_int_equal(mailbox_rouse(&a.l, NULL), 0);
		refresh(f, m[0]);
		assert_listing(m[0], round == 0 ? "1" : "1 2");
		view_unref(&a.view);
		a.view = mailbox_view(m[0]);
	}
	assert_int_equal(n_complaints, 1);
	/* once there are some again, they are used */
	no_more_watches = false;
	refresh(f, m[0]);
	assert_true(m[0]->dirs[DIR_NEW].wd >= 0);
	leave(&a, &m[0]);
	mailbox_close(&m[1]);
	log_set_sink(NULL, NULL);
}

/* --- without users -------------------------------------------------------- */

static size_t
n_open(const struct fixture *f)
{
	size_t n = 0;

	for (const struct mailbox *m = f->account->mailboxes; m != NULL;
	     m = m->next)
		n++;
	return n;
}

/* Mail into many small mailboxes in turn has none of them read anew. */
static void
small_mailboxes_stay(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	char name[20];

	for (unsigned i = 0; i < MAILBOX_KEEP_SMALL + 8; i++) {
		(void)snprintf(name, sizeof(name), "INBOX.b%u", i);
		assert_int_equal(create_now(f->account, slice_str(name)), 0);
		m = open_mailbox(f, name);
		refresh(f, m);
		mailbox_close(&m);
	}
	assert_int_equal(n_open(f), MAILBOX_KEEP_SMALL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_stands_for_its_view),
		cmocka_unit_test(unchanged_chunks_are_shared),
		T(only_what_rests_sleeps),
		T(quiet_makes_it_sleep),
		T(changes_wake_and_are_found),
		T(changes_without_watches),
		T(many_events_are_not_kept),
		T(others_change_the_database),
		T(removed_while_asleep),
		T(recent_is_kept),
		T(watches_run_out),
		T(small_mailboxes_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
