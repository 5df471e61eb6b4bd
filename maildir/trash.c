#include "maildir/trash.h"

#include <stdlib.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/change.h"
#include "maildir/internal.h"

enum { DAYS_MAX = 36500, EVERY_S = 6 * 3600, LOOK_SLICE = 5000 };

#define DAY_MS	 (INT64_C(86400) * 1000)
#define META_KEY "trash_checked"

/* --- rules ---------------------------------------------------------------- */

/* "7", "-1"; false: no number. */
static bool
take_days(struct slice s, uint32_t *days)
{
	int64_t v;

	if (!num_i64(slice_trim(s), &v))
		return false;
	*days = v < 1 ? 1 : v > DAYS_MAX ? DAYS_MAX : (uint32_t)v;
	return true;
}

size_t
trash_parse(struct slice text, struct slice trash,
    struct trash_rule rules[TRASH_RULES_MAX])
{
	struct slice item;
	size_t n = 0;

	if (take_days(text, &rules[0].days)) {
		rules[0].mailbox = trash;
		return trash.n != 0;
	}
	while (n < TRASH_RULES_MAX && slice_split(&text, ',', &item)) {
		size_t colon = slice_rfind(item, ':');

		rules[n].mailbox = slice_trim(slice_first(item, colon));
		if (rules[n].mailbox.n != 0 &&
		    take_days(slice_skip(item, colon + 1), &rules[n].days))
			n++;
	}
	return n;
}

/* --- one account ---------------------------------------------------------- */

struct trash {
	struct account *a;
	struct trash_rule rules[TRASH_RULES_MAX];
	size_t n_rules, at;
	struct mailbox *m;
	struct view *v; /* being looked at */
	uint32_t seq;
	uint32_t *uids; /* of what is to go */
	size_t n_uids, cap;
	struct change_expunge *removal;
};

bool
trash_due(struct account *a, int64_t wall_ms)
{
	const struct store_options *o = &a->store->opt;

	return o->empty_trash != NULL && o->empty_trash[0] != '\0' &&
	    wall_ms - a->trash_checked_ms >= EVERY_S * INT64_C(1000);
}

struct trash *
trash_new(struct account *a)
{
	const struct store_options *o = &a->store->opt;
	struct trash *t = MEM_NEW(struct trash);

	t->a = a;
	t->n_rules = trash_parse(
	    slice_str(o->empty_trash), slice_str(o->trash_name), t->rules);
	return t;
}

/* Let go of the mailbox of a rule. */
static void
leave(struct trash *t)
{
	change_expunge_free(&t->removal);
	view_unref(&t->v);
	if (t->m != NULL) {
		mailbox_forget_waker(t->m, t);
		mailbox_close(&t->m);
	}
	t->n_uids = 0;
}

/* What came of a rule: with others at the database it is begun again when the
 * account gets its next turn, else the next one is due. */
static enum step
end_rule(struct trash *t, int rc)
{
	leave(t);
	if (rc == ERR_BUSY)
		return STEP_WAIT_PEER;
	t->at++;
	return STEP_YIELD;
}

void
trash_free(struct trash **pt)
{
	struct trash *t = *pt;

	*pt = NULL;
	if (t == NULL)
		return;
	leave(t);
	free(t->uids);
	free(t);
}

/* Another process may have done it a moment ago: 1; 0: not; ERR_*. */
static int
done_by_others(struct trash *t, int64_t wall_ms)
{
	int64_t last = 0;
	int rc = account_open(t->a, NULL);

	if (rc == 0)
		rc = db_meta_get(&t->a->db, META_KEY, &last, NULL);
	if (rc < 0)
		return rc;
	return last <= wall_ms && wall_ms - last < EVERY_S * INT64_C(1000);
}

static int
open_next(struct trash *t)
{
	struct buf name;
	int rc;

	buf_init(&name, 4096);
	buf_puts(&name, "INBOX.");
	buf_put(&name, t->rules[t->at].mailbox);
	rc = mailbox_open(t->a, buf_slice(&name), &t->m, NULL);
	buf_fini(&name);
	return rc;
}

/* A slice of the view; true: there is more. */
static bool
look(struct trash *t, int64_t wall_ms)
{
	int64_t before = wall_ms - t->rules[t->at].days * DAY_MS;

	for (int n = 0; n < LOOK_SLICE && t->seq <= t->v->count; n++) {
		uint32_t i;
		const struct chunk *c = view_at(t->v, t->seq++, &i);

		if (chunk_fixed(c, i)->save_ms > before)
			continue;
		if (t->n_uids == t->cap) {
			t->cap = t->cap * 2 + 64;
			t->uids =
			    mem_realloc(t->uids, t->cap, sizeof(*t->uids));
		}
		t->uids[t->n_uids++] = chunk_uid(c, i);
	}
	return t->seq <= t->v->count;
}

static enum step
remove_found(
    struct trash *t, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	size_t n;
	enum step step;
	int rc = 0;

	if (t->removal == NULL &&
	    (t->n_uids == 0 ||
		(rc = change_remove_begin(
		     t->m, t->uids, t->n_uids, &t->removal, NULL)) != 0))
		return end_rule(t, rc);
	step = change_expunge_step(t->removal, waker, now_ms, wall_ms);
	if (step != STEP_DONE)
		return step;
	rc = change_expunge_result(t->removal, &n);
	if (rc == 0)
		log_info("maildir: emptied trash path=%s mailbox=%s "
			 "messages=%zu",
		    t->a->path, t->m->name, n);
	return end_rule(t, rc);
}

static enum step
next_rule(struct trash *t, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	enum step step;
	int rc = 0;

	/* one that isn't there has nothing to throw away */
	if (t->m == NULL && (rc = open_next(t)) != 0)
		return rc == ERR_MORE ? STEP_YIELD : end_rule(t, rc);
	step = mailbox_refresh(t->m, false, waker, now_ms, wall_ms, &rc);
	if (step != STEP_DONE)
		return step;
	if (rc != 0)
		return end_rule(t, rc);
	t->v = mailbox_view(t->m);
	t->seq = 1;
	return STEP_YIELD;
}

enum step
trash_step(struct trash *t, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	struct account *a = t->a;
	int rc;

	if (t->at == 0 && t->m == NULL) {
		rc = done_by_others(t, wall_ms);
		if (rc == ERR_BUSY)
			return STEP_WAIT_PEER;
		if (rc != 0) {
			a->trash_checked_ms = wall_ms;
			return STEP_DONE;
		}
	}
	if (t->at >= t->n_rules) {
		/* when it can't be noted, it is done once more */
		if (account_open(a, NULL) == 0)
			(void)!db_meta_set(&a->db, META_KEY, wall_ms, NULL);
		a->trash_checked_ms = wall_ms;
		return STEP_DONE;
	}
	if (t->v == NULL)
		return next_rule(t, waker, now_ms, wall_ms);
	if (t->removal == NULL && look(t, wall_ms))
		return STEP_YIELD;
	return remove_found(t, waker, now_ms, wall_ms);
}
