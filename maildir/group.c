#include "maildir/group.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/work.h"

/* Of one transaction; a command that adds more has one of its own. */
enum { MEMBERS_MAX = 48, MESSAGES_MAX = 256 };

struct batch {
	struct account *a;
	struct group_member *member[MEMBERS_MAX];
	size_t n;
	struct edit edit[MEMBERS_MAX]; /* of each mailbox */
	size_t n_edits;
};

/* --- one transaction ------------------------------------------------------ */

/* The edit of a mailbox, begun if it isn't. */
static int
edit_of(struct batch *b, struct mailbox *m, struct edit **out)
{
	int rc;

	for (size_t i = 0; i < b->n_edits; i++)
		if (b->edit[i].m == m) {
			*out = &b->edit[i];
			return 0;
		}
	if ((rc = edit_join(&b->edit[b->n_edits], m, NULL)) == 0)
		*out = &b->edit[b->n_edits++];
	return rc;
}

static bool
needs_dir(const struct batch *b, const struct mailbox *m)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->member[i]->m == m && !b->member[i]->no_dir)
			return true;
	return false;
}

/* Files are in place: their directories needn't wait for the commit. */
static void
begin_dirs(const struct batch *b)
{
	struct mailbox *m[MEMBERS_MAX];
	size_t n = 0;

	for (size_t k = 0; k < b->n_edits; k++)
		if (b->edit[k].changed && needs_dir(b, b->edit[k].m))
			m[n++] = b->edit[k].m;
	durable_begin(b->a, m, n);
}

static int
apply_all(struct batch *b)
{
	int rc = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct group_member *g = b->member[i];
		struct edit *ed = NULL;

		g->result = edit_of(b, g->m, &ed);
		if (g->result == 0)
			g->result = g->apply(g, ed);
		/* some errors end the transaction */
		if (g->result == ERR_DAMAGED ||
		    (g->result != 0 && sqlite3_get_autocommit(b->a->db.h)))
			return g->result;
	}
	begin_dirs(b);
	for (size_t k = 0; k < b->n_edits && rc == 0; k++)
		rc = edit_write(&b->edit[k], NULL);
	return rc;
}

/* ERR_*: nothing has been changed. */
static int
try_batch(struct batch *b)
{
	struct db *db = &b->a->db;
	int rc = account_open(b->a, NULL);

	b->n_edits = 0;
	if (rc != 0)
		return rc;
	if ((rc = db_begin(db, NULL)) != 0)
		return account_db_failed(b->a, rc);
	if ((rc = apply_all(b)) == 0) {
		account_log_lengthen(b->a);
		rc = db_commit(db, NULL);
	} else {
		db_rollback(db);
	}
	for (size_t k = 0; k < b->n_edits; k++) {
		if (rc == 0)
			edit_adopt(&b->edit[k]);
		else
			edit_cancel(&b->edit[k]);
	}
	if (rc != 0) {
		durable_begun_stale(b->a);
		return account_db_failed(b->a, rc);
	}
	account_log_grown(b->a);
	return 0;
}

/* --- the line ------------------------------------------------------------- */

/* The first of the line, as many as go together. */
static void
take(struct batch *b)
{
	struct group_member *g;
	size_t n_messages = 0;

	while ((g = b->a->group) != NULL && b->n < MEMBERS_MAX &&
	    (b->n == 0 || n_messages + g->n_messages <= MESSAGES_MAX)) {
		b->a->group = g->next;
		g->next = NULL;
		g->state = GROUP_TRIED;
		n_messages += g->n_messages;
		b->member[b->n++] = g;
	}
}

/* Somebody has the database: they are the first again. */
static void
put_back(struct batch *b)
{
	while (b->n > 0) {
		struct group_member *g = b->member[--b->n];

		g->state = GROUP_WAITS;
		g->next = b->a->group;
		b->a->group = g;
	}
}

/* Each in a transaction of its own. */
static void
try_each(struct batch *all)
{
	struct batch *one = MEM_NEW(struct batch);

	one->a = all->a;
	one->n = 1;
	for (size_t i = 0; i < all->n; i++) {
		int rc;

		one->member[0] = all->member[i];
		rc = try_batch(one);
		if (rc != 0)
			all->member[i]->result = rc;
	}
	free(one);
}

static void
settle(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct group_member *g = b->member[i];

		g->committed = g->result == 0;
		if (g->committed) {
			if (g->on_commit != NULL)
				g->on_commit(g);
			durable_join(&g->durable, g->m, !g->no_dir);
			/* until it steps itself */
			g->durable.waker = g->waker;
		} else {
			waker_call(g->waker);
		}
	}
	durable_start(b->a);
}

static int
commit(struct account *a)
{
	struct batch *b = MEM_NEW(struct batch);
	int rc;

	b->a = a;
	take(b);
	rc = try_batch(b);
	if (rc == ERR_BUSY) {
		put_back(b);
	} else {
		if (rc != 0 && b->n > 1)
			try_each(b);
		else if (rc != 0)
			b->member[0]->result = rc;
		settle(b);
		rc = 0;
	}
	free(b);
	/* who was too many for this one */
	group_wake(a);
	return rc;
}

void
group_wake(struct account *a)
{
	if (a->group != NULL && durable_may_start(a))
		waker_call(a->group->waker);
}

/* --- members -------------------------------------------------------------- */

void
group_expect(struct group_member *g)
{
	assert(!g->expected && g->state == GROUP_OUT);
	g->expected = true;
	g->m->account->n_expected++;
}

static void
no_more_expected(struct group_member *g)
{
	g->m->account->n_expected -= g->expected;
	g->expected = false;
}

static enum step
join(struct group_member *g)
{
	struct group_member **end = &g->m->account->group;
	int work = PIECE_WORK, rc;

	/* what the transaction needs; should that fail, it will tell, unless
	 * the mailbox is gone with it */
	rc = mailbox_need_names(g->m, &work, NULL);
	if (rc == ERR_MORE)
		return STEP_YIELD;
	if (rc != 0 && g->m->gone) {
		no_more_expected(g);
		g->result = rc;
		g->state = GROUP_DONE;
		return STEP_NEXT;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = g;
	g->state = GROUP_WAITS;
	no_more_expected(g);
	if (end != &g->m->account->group)
		return STEP_WAIT_SYNC;
	return g->m->account->n_expected > 0 ? STEP_YIELD : STEP_NEXT;
}

static void
drop_out(struct group_member *g)
{
	struct account *a = g->m->account;
	struct group_member **at = &a->group;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	g->next = NULL;
	/* somebody must see to it */
	if (at == &a->group)
		group_wake(a);
}

static enum step
step_line(struct group_member *g, int64_t now_ms)
{
	struct account *a = g->m->account;

	if (a->group != g || !durable_may_start(a))
		return STEP_WAIT_SYNC;
	if (commit(a) == 0)
		return STEP_NEXT;
	if (work_still_busy(&g->busy_since_ms, now_ms))
		return STEP_WAIT_PEER;
	drop_out(g);
	g->state = GROUP_DONE;
	g->result = ERR_BUSY;
	return STEP_NEXT;
}

enum step
group_step(struct group_member *g, struct waker waker, int64_t now_ms)
{
	enum step step = STEP_NEXT;

	g->waker = waker;
	while (step == STEP_NEXT) {
		switch (g->state) {
		case GROUP_OUT:
			step = join(g);
			break;
		case GROUP_WAITS:
			step = step_line(g, now_ms);
			break;
		case GROUP_TRIED:
			step = g->committed ? durable_step(&g->durable, g->m,
						  !g->no_dir, waker, &g->result)
					    : STEP_DONE;
			if (step == STEP_DONE)
				g->state = GROUP_DONE;
			break;
		case GROUP_DONE:
			return STEP_DONE;
		}
	}
	return step;
}

void
group_leave(struct group_member *g)
{
	no_more_expected(g);
	if (g->state == GROUP_WAITS)
		drop_out(g);
	durable_fini(&g->durable);
	g->state = GROUP_OUT;
}
