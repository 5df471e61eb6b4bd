#include "maildir/durable.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/group.h"
#include "maildir/young.h"

/*
 * The kernel and the disk merge what comes at the same time, so that rounds
 * side by side cost little, and who comes late has less to wait; but with more
 * of them transactions are smaller, and there are more of them.
 */
enum { ROUNDS_MAX = 2, DIRS_MAX = SYNC_FDS_MAX - 2, BEGUN_MAX = 16 };

struct sync_round {
	struct account *a;
	struct sync_round *next;
	struct sync sync;
	struct durable_list members;
	uint64_t young_from, young_to; /* marks, see young.h */
	/* whose directories are being synced before it has any */
	bool begun;
	struct mailbox *dir[BEGUN_MAX];
	size_t n_dirs;
};

/* --- lists ---------------------------------------------------------------- */

static void
list_add(struct durable_list *l, struct durable *d)
{
	if (l->first == NULL)
		l->last = &l->first;
	d->next = NULL;
	d->prev = l->last;
	*l->last = d;
	l->last = &d->next;
}

static void
list_remove(struct durable_list *l, struct durable *d)
{
	*d->prev = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	else
		l->last = d->prev;
	d->prev = NULL;
}

/* The list that it is in. */
static struct durable_list *
list_of(struct durable *d)
{
	if (d->round == NULL)
		return &d->a->undurable;
	return &d->round->members;
}

/* --- rounds --------------------------------------------------------------- */

static void
end_member(struct durable *d, int rc)
{
	list_remove(list_of(d), d);
	d->round = NULL;
	d->done = true;
	d->result = rc;
	if (d->m != NULL && rc == 0)
		mailbox_set_synced(d->m, d->change);
	else if (d->m != NULL)
		mailbox_set_unsynced(d->m);
	waker_call(d->waker);
}

static void
end_round(struct sync_round *r, int rc)
{
	struct account *a = r->a;
	struct sync_round **at = &a->rounds;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	a->n_rounds--;
	/* before anybody is shown their messages */
	if (rc == 0)
		young_synced(a, r->young_to);
	else
		young_failed(a, r->young_from, r->young_to, rc);
	while (r->members.first != NULL)
		end_member(r->members.first, rc);
	free(r);
}

static void
on_round_synced(void *arg)
{
	struct sync_round *r = arg;
	struct account *a = r->a;

	end_round(r, account_synced(a, &r->sync));
	durable_start(a);
	group_wake(a);
}

/* Whether somebody in the round has that directory synced already. */
static bool
has_dir(const struct sync_round *r, const struct mailbox *m)
{
	for (const struct durable *d = r->members.first; d != NULL; d = d->next)
		if (d->m == m && d->dir)
			return true;
	for (size_t i = 0; i < r->n_dirs; i++)
		if (r->dir[i] == m)
			return true;
	return false;
}

/* Take in who waits, and note what of theirs is to be synced. */
static void
fill(struct sync_round *r, struct sync_fds *fds)
{
	struct durable *d;
	int n_dirs = 0;

	while ((d = r->a->undurable.first) != NULL && n_dirs < DIRS_MAX) {
		if (d->dir && !has_dir(r, d->m)) {
			int fd = mailbox_dir_fd(d->m, DIR_CUR);

			if (fd < 0) {
				end_member(d, err_of_errno(errno));
				continue;
			}
			sync_fds_add(fds, fd, SYNC_FILE);
			n_dirs++;
		}
		/* it takes along whatever was committed so far */
		if (d->m != NULL) {
			d->uidnext = d->m->uidnext;
			d->change = d->m->change;
		}
		list_remove(&r->a->undurable, d);
		list_add(&r->members, d);
		d->round = r;
	}
}

bool
durable_may_start(const struct account *a)
{
	return a->n_rounds < ROUNDS_MAX;
}

static struct sync_round *
round_new(struct account *a)
{
	struct sync_round *r = MEM_NEW(struct sync_round);

	r->a = a;
	return r;
}

/* What it began goes on by itself: nobody's success depends on it. */
static void
leave_begun(struct sync_round *r)
{
	sync_rewake(&r->sync, (struct waker){ NULL, NULL });
	sync_rest(&r->sync, r->a->store->opt.syncer, r->a,
	    &(struct sync_fds){ .n = 0 });
	sync_forget(&r->sync);
}

static void
drop_begun(struct account *a)
{
	if (a->begun == NULL)
		return;
	leave_begun(a->begun);
	free(a->begun);
	a->begun = NULL;
}

static void
start_round(struct account *a, struct sync_round *r)
{
	struct syncer *syncer = a->store->opt.syncer;
	struct sync_fds fds = { 0 };
	int rc = account_sync_fds(a, &fds, NULL);

	r->next = a->rounds;
	a->rounds = r;
	a->n_rounds++;
	fill(r, &fds);
	r->young_from = a->young_marked;
	r->young_to = a->young_marked = young_mark(a);
	if (rc == 0)
		young_name_after(a, r->young_from, r->young_to, &fds);
	/* mailboxes may go while it is under way */
	r->n_dirs = 0;
	if (rc != 0 && r->begun)
		leave_begun(r);
	if (rc != 0)
		end_round(r, rc);
	else if (r->begun)
		sync_rest(&r->sync, syncer, a, &fds);
	else
		sync_start(&r->sync, syncer, a, &fds,
		    (struct waker){ on_round_synced, r });
}

void
durable_begin(struct account *a, struct mailbox *const *m, size_t n)
{
	struct sync_fds fds = { 0 };
	struct sync_round *r;

	if (n == 0 || a->begun != NULL || !durable_may_start(a))
		return;
	a->begun = r = round_new(a);
	r->begun = true;
	fds.epoch = a->sync_epoch;
	for (size_t i = 0; i < n && r->n_dirs < BEGUN_MAX; i++) {
		int fd = mailbox_dir_fd(m[i], DIR_CUR);

		if (fd < 0)
			continue;
		sync_fds_add(&fds, fd, SYNC_FILE);
		r->dir[r->n_dirs++] = m[i];
	}
	sync_begin(&r->sync, a->store->opt.syncer, a, &fds,
	    (struct waker){ on_round_synced, r });
}

void
durable_begun_stale(struct account *a)
{
	if (a->begun != NULL)
		a->begun->n_dirs = 0;
}

void
durable_start(struct account *a)
{
	while (a->undurable.first != NULL && durable_may_start(a)) {
		struct sync_round *r = a->begun;

		a->begun = NULL;
		start_round(a, r != NULL ? r : round_new(a));
	}
	/* Nobody came into the mailboxes.  Who is still in the line may have
	 * files there, from a transaction that failed: an error is his. */
	durable_begun_stale(a);
	if (a->group == NULL)
		drop_begun(a);
}

void
durable_cancel(struct account *a)
{
	assert(a->undurable.first == NULL);
	drop_begun(a);
	while (a->rounds != NULL) {
		struct sync_round *r = a->rounds;

		assert(r->members.first == NULL);
		a->rounds = r->next;
		sync_forget(&r->sync);
		free(r);
	}
	a->n_rounds = 0;
}

/* --- members -------------------------------------------------------------- */

void
durable_join(struct durable *d, struct mailbox *m, bool dir)
{
	assert(!d->started);
	*d = (struct durable){ .a = m->account,
		.m = m,
		.started = true,
		.dir = dir,
		.uidnext = m->uidnext };
	list_add(&m->account->undurable, d);
}

void
durable_join_account(struct durable *d, struct account *a)
{
	assert(!d->started);
	*d = (struct durable){ .a = a, .started = true };
	list_add(&a->undurable, d);
}

enum step
durable_step(
    struct durable *d, struct mailbox *m, bool dir, struct waker waker, int *rc)
{
	*rc = 0;
	if (!d->started) {
		durable_join(d, m, dir);
		durable_start(m->account);
	}
	if (!d->done) {
		d->waker = waker;
		return STEP_WAIT_SYNC;
	}
	d->started = d->done = false;
	if ((*rc = d->result) != 0 || m->gone)
		return STEP_DONE;
	if (m->durable_uidnext < d->uidnext)
		m->durable_uidnext = d->uidnext;
	mailbox_publish(m);
	return STEP_DONE;
}

void
durable_fini(struct durable *d)
{
	if (d->prev != NULL)
		list_remove(list_of(d), d);
	d->started = d->done = false;
}
