/*
 * What a store does about once a second, whether anybody asks or not: it polls,
 * gives back what is no longer used, and has its accounts do in the background
 * what they need.
 */
#include "base/fsx.h"
#include "maildir/background.h"
#include "maildir/cache.h"
#include "maildir/internal.h"
#include "maildir/quota.h"
#include "maildir/young.h"

/* In steps of about 1/10 ms. */
enum {
	TICK_BUDGET = 40,
	WORK_BUDGET = 10, /* of store_work() */
	FINISH_BUDGET = 100,
	CLOSE_COST = 2, /* of a database */
};

/* Whether memory was released. */
static bool
tick_mailboxes(struct store *s, struct account *a, uint64_t quiet)
{
	struct mailbox *m, *next;
	bool released = false;

	openings_give_up(a, false);
	for (m = a->mailboxes; m != NULL; m = next) {
		next = m->next;
		import_stop(m, true);
		if (mailbox_load_left(m, s->tick))
			mailbox_load_stop(m);
		if ((m->asleep && m->refs != 0) || m->used + quiet > s->tick)
			continue;
		if (m->refs == 0) {
			mailbox_free(m);
			released = true;
		} else {
			mailbox_flush(m);
			mailbox_close_fds(m);
			index_free(&m->index);
			released = mailbox_hibernate(m) || released;
		}
	}
	return released;
}

/*
 * Whether a directory may have changed since it was read.  One that had just
 * been changed then may have been once more, at what is the same time.
 */
static bool
may_have_changed(struct mailbox *m, int which, const char *path)
{
	const struct watched_dir *d = &m->dirs[which];
	struct stat st;

	return fsx_stat(m->account->root_fd, path, &st) < 0 ||
	    st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec !=
	    d->mtime_ns ||
	    (d->wd < 0 && !d->clean);
}

/* For mailboxes nobody asks about. */
static void
poll_mailboxes(struct account *a)
{
	struct buf path;

	if (a->root_fd < 0)
		return;
	buf_init(&path, 1024);
	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next) {
		for (int d = 0; d < 2 && m->listeners != NULL; d++) {
			buf_reset(&path);
			mailbox_put_path(
			    m, &path, d == DIR_NEW ? "new" : "cur");
			if (may_have_changed(m, d, buf_cstr(&path))) {
				mailbox_wake(m);
				break;
			}
		}
		if (m->listeners != NULL && import_keywords_waiting(m))
			mailbox_wake(m);
	}
	buf_fini(&path);
}

static void
tidy(struct account *a, int64_t wall_ms)
{
	if (a->root_fd < 0)
		return;
	tidy_sweep(a);
	if (a->rows_left)
		a->rows_left = tidy_rows(a);
	if (a->room_given && a->db.h != NULL)
		room_keep(a);
	if (a->tmp_at == 0) {
		if (wall_ms - a->tmp_checked_ms < 3600 * INT64_C(1000))
			return;
		a->tmp_checked_ms = wall_ms;
	}
	a->tmp_at = tidy_tmps(a, a->tmp_at, wall_ms);
}

static bool
in_use(const struct account *a)
{
	for (const struct mailbox *m = a->mailboxes; m != NULL; m = m->next)
		if (m->refs != 0)
			return true;
	return false;
}

/* The tick comes about once a second. */
static uint64_t
quiet_ticks(const struct store *s)
{
	return (uint64_t)(s->opt.quiet_ms / 1000) + 1;
}

static void
tick_account(struct store *s, struct account *a, bool poll)
{
	/* there may be room by now */
	if (a->in_memory && !in_use(a))
		account_close_db(a);
	cache_flush(a);
	if (tick_mailboxes(s, a, quiet_ticks(s)))
		s->released = true;
	tidy(a, s->wall_ms);
	if (a->quota_grew)
		quota_warn(a);
	if (poll)
		poll_mailboxes(a);
}

/*
 * What goes on in the background, and when nobody has used it for long, its
 * closing.  STEP_DONE: nothing more until the next tick; *needed: whether the
 * account is still.
 */
static enum step
work_on_account(struct store *s, struct account *a, int *budget, bool *needed)
{
	enum step step = background_work(a, budget, s->now_ms, s->wall_ms);

	*needed = true;
	if (step != STEP_DONE)
		return step == STEP_WAIT_PEER ? STEP_DONE : step;
	if (a->young != NULL || account_mending(a) ||
	    a->used + quiet_ticks(s) > s->tick)
		return STEP_DONE;
	if (account_waits_cold(a))
		return STEP_WAIT_SYNC;
	if (a->db.h != NULL) {
		if (*budget <= 0)
			return STEP_YIELD;
		*budget -= CLOSE_COST;
		s->released = true;
	}
	account_close_idle(a);
	*needed = a->refs != 0 || a->mailboxes != NULL;
	return STEP_DONE;
}

/* *last: who had the last of the budget, or if that one is gone, who was before
 * it; NULL: nobody was, or had. */
static enum step
work_on_bucket(struct store *s, size_t i, int *budget, struct account **last)
{
	struct account *a, **at = &s->accounts[i], *before = NULL;
	enum step result = STEP_DONE;

	*last = NULL;
	while ((a = *at) != NULL) {
		bool needed, any = *budget > 0;
		enum step step = work_on_account(s, a, budget, &needed);

		if (step == STEP_YIELD || result == STEP_DONE)
			result = step;
		if (needed) {
			before = a;
			at = &a->next;
		} else {
			*at = a->next;
			account_free(a);
		}
		if (any && *budget <= 0)
			*last = before;
	}
	return result;
}

/* Who had the last of the budget comes last the next time: one that has much to
 * do doesn't keep the others from theirs. */
static enum step
work(struct store *s, int budget)
{
	size_t from = s->work_from;
	enum step result = STEP_DONE;

	for (size_t k = 0; k < ACCOUNT_BUCKETS; k++) {
		size_t i = (from + k) % ACCOUNT_BUCKETS;
		struct account *last;
		bool any = budget > 0;
		enum step step = work_on_bucket(s, i, &budget, &last);

		if (last != NULL)
			s->work_from = store_turn_behind(s, i, last);
		else if (any && budget <= 0)
			s->work_from = i;
		if (step == STEP_YIELD || result == STEP_DONE)
			result = step;
	}
	return result;
}

void
store_hibernate(struct store *s)
{
	MAGIC_CHECK(s, STORE_MAGIC);
	watch_drain(s);
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = s->accounts[i]; a != NULL;
		     a = a->next) {
			for (struct mailbox *m = a->mailboxes; m != NULL;
			     m = m->next) {
				mailbox_flush(m);
				(void)mailbox_hibernate(m);
			}
			if (a->young == NULL && !account_mending(a))
				account_close_db(a);
		}
}

bool
store_tick(struct store *s, int64_t now_ms, int64_t wall_ms)
{
	uint64_t every =
	    s->opt.poll_ms > 0 ? (uint64_t)(s->opt.poll_ms / 1000) : 0;
	bool poll, released;

	MAGIC_CHECK(s, STORE_MAGIC);
	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
	s->tick++;
	poll = every <= 1 || s->tick % every == 0;
	watch_drain(s);
	young_tick(s);
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = s->accounts[i]; a != NULL; a = a->next)
			tick_account(s, a, poll);
	(void)work(s, TICK_BUDGET);
	released = s->released;
	s->released = false;
	return released;
}

enum step
store_work(struct store *s, int64_t now_ms, int64_t wall_ms)
{
	MAGIC_CHECK(s, STORE_MAGIC);
	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
	return work(s, WORK_BUDGET);
}

bool
store_finish(struct store *s, int64_t now_ms, int64_t wall_ms)
{
	int budget = FINISH_BUDGET;
	bool more = false;

	MAGIC_CHECK(s, STORE_MAGIC);
	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = s->accounts[i]; a != NULL; a = a->next)
			more = background_finish(a, &budget, now_ms, wall_ms) ||
			    more;
	return more;
}
