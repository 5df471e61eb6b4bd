/*
 * The first look at the messages of a COPY.
 *
 * Those that aren't where they were, since others have renamed or removed them,
 * are put off, and the mailbox is refreshed for all of them together: so what
 * is gone is known to be gone, and what was renamed has its new name, after a
 * few readings of the directories, however many they are.  A search for one
 * alone is the last resort.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/copy_impl.h"

static int
order_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int
order_items(const void *a, const void *b)
{
	return order_uids(&((const struct copy_item *)a)->from,
	    &((const struct copy_item *)b)->from);
}

void
copy_look_begin(struct copy_look *l, struct mailbox *from, struct mailbox *to,
    const uint32_t *uids, size_t n)
{
	*l = (struct copy_look){ .from = from, .to = to };
	uid_work_init(&l->work, from, uids, n);
	if (n != 0)
		qsort(l->work.uids, n, sizeof(*uids), order_uids);
	l->v = mem_zalloc(n + 1, sizeof(*l->v));
}

/* ERR_NOT_FOUND: it isn't there. */
static int
look_at(struct copy_look *l, uint32_t uid, bool search)
{
	struct copy_item *it = &l->v[l->n];
	int rc;

	*it = (struct copy_item){ .from = uid };
	rc = copy_item_look(
	    it, l->from, l->to, search, store_wall(l->to->account->store));
	if (rc == 0)
		l->n++;
	return rc;
}

static int
look_slice(void *arg)
{
	struct copy_look *l = arg;
	struct uid_work *w = &l->work;
	struct chunk *c;
	uint32_t i;

	for (size_t n = 0; w->at < w->n && n < WORK_SLICE; n++, w->at++) {
		uint32_t uid = w->uids[w->at];
		int rc = look_at(l, uid, false);

		if (rc != 0 && rc != ERR_NOT_FOUND)
			return rc;
		if (rc != 0 && mailbox_find(l->from, uid, &c, &i))
			uid_work_again(w, uid);
	}
	return 0;
}

enum step
copy_look_step(struct copy_look *l, struct waker waker, int64_t now_ms,
    int64_t wall_ms, int *rc)
{
	struct uid_work *w = &l->work;
	enum step step =
	    uid_work_step(w, look_slice, l, waker, now_ms, wall_ms, rc);

	if (step != STEP_DONE || *rc != 0)
		return step;
	/* still renamed each time, or without a file for now */
	if (w->n_again != 0) {
		*rc = look_at(l, w->again[--w->n_again], true);
		if (*rc == ERR_NOT_FOUND)
			*rc = 0;
		return *rc != 0 ? STEP_DONE : STEP_YIELD;
	}
	if (w->tries != 0 && l->n != 0)
		qsort(l->v, l->n, sizeof(*l->v), order_items);
	return STEP_DONE;
}

struct copy_item *
copy_look_take(struct copy_look *l, size_t *n)
{
	struct copy_item *v = l->v;

	*n = l->n;
	l->v = NULL;
	l->n = 0;
	return v;
}

void
copy_look_fini(struct copy_look *l)
{
	for (size_t i = 0; i < l->n; i++)
		copy_item_fini(&l->v[i]);
	free(l->v);
	uid_work_fini(&l->work);
}
