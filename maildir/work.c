#include "maildir/work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void
uid_work_init(
    struct uid_work *w, struct mailbox *m, const uint32_t *uids, size_t n)
{
	*w = (struct uid_work){ .m = m, .n = n };
	w->uids = mem_alloc((n + 1) * sizeof(*uids));
	if (n != 0)
		memcpy(w->uids, uids, n * sizeof(*uids));
}

void
uid_work_fini(struct uid_work *w)
{
	mailbox_forget_waker(w->m, w);
	free(w->uids);
	free(w->again);
	*w = (struct uid_work){ 0 };
}

void
uid_work_again(struct uid_work *w, uint32_t uid)
{
	if (w->again == NULL)
		w->again = mem_alloc((w->n + 1) * sizeof(*w->again));
	assert(w->n_again < w->n);
	w->again[w->n_again++] = uid;
}

bool
work_still_busy(int64_t *since_ms, int64_t now_ms)
{
	if (*since_ms == 0)
		*since_ms = now_ms;
	return now_ms - *since_ms <= BUSY_MAX_MS;
}

/* The mailbox calls this one, which can be taken back by its address. */
static void
on_refreshed(void *arg)
{
	struct uid_work *w = arg;

	waker_call(w->waker);
}

enum step
uid_work_refresh(struct uid_work *w, struct waker waker, int64_t now_ms,
    int64_t wall_ms, int *rc)
{
	w->waker = waker;
	return mailbox_refresh(w->m, false, (struct waker){ on_refreshed, w },
	    now_ms, wall_ms, rc);
}

/* at has reached n.  STEP_NEXT: there is more to go through, or *done; else a
 * step to return. */
static enum step
refill(struct uid_work *w, struct waker waker, int64_t now_ms, int64_t wall_ms,
    bool *done, int *rc)
{
	struct mailbox *m = w->m;
	uint32_t *uids = w->uids;
	enum step step;

	*rc = 0;
	*done = w->n_again == 0 || w->tries >= WORK_TRIES;
	if (*done)
		return STEP_NEXT;
	if (w->at == w->n) {
		/* first the events alone; if they don't help, a reading */
		if (w->tries > 0 && m->scan == NULL)
			scan_distrust(m);
		w->at = SIZE_MAX;
	}
	step = uid_work_refresh(w, waker, now_ms, wall_ms, rc);
	if (step != STEP_DONE)
		return step;
	w->tries++;
	w->uids = w->again;
	w->again = uids;
	w->n = w->n_again;
	w->n_again = 0;
	w->at = 0;
	return STEP_NEXT;
}

enum step
uid_work_step(struct uid_work *w, int (*slice)(void *arg), void *arg,
    struct waker waker, int64_t now_ms, int64_t wall_ms, int *rc)
{
	bool done = false;
	int failed = 0;

	if (w->at < w->n) {
		failed = slice(arg);
		if (failed == ERR_MORE)
			return STEP_YIELD;
		if (failed == ERR_BUSY &&
		    work_still_busy(&w->busy_since_ms, now_ms))
			return STEP_WAIT_PEER;
		w->busy_since_ms = 0;
		if (failed == 0 && w->at < w->n)
			return STEP_YIELD;
	}
	if (failed == 0) {
		enum step step =
		    refill(w, waker, now_ms, wall_ms, &done, &failed);

		if (step != STEP_NEXT)
			return step;
	}
	if (failed == 0 && !done)
		return STEP_NEXT;
	*rc = failed;
	return STEP_DONE;
}
