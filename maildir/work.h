/*
 * work: what the changes of messages have in common.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_WORK_H
#define MAILDIR_WORK_H

#include "maildir/edit.h"

enum { WORK_SLICE = 100, WORK_TRIES = 3 };

/*
 * A list of UIDs to go through, and those whose files were not where they
 * should be: other programs rename, so the mailbox is refreshed and they are
 * tried again.
 */
struct uid_work {
	struct mailbox *m;
	struct waker waker; /* of the caller, while a refresh waits */
	uint32_t *uids;
	size_t n, at;
	uint32_t *again;
	size_t n_again;
	int tries;
	int64_t busy_since_ms;
};

void uid_work_init(
    struct uid_work *w, struct mailbox *m, const uint32_t *uids, size_t n);
void uid_work_fini(struct uid_work *w);
/* Try this one later. */
void uid_work_again(struct uid_work *w, uint32_t uid);
/*
 * The next slice of the list, by slice(arg), which takes WORK_SLICE of them and
 * moves at on (ERR_MORE: not yet); those to be tried again after the last one.
 * STEP_DONE: nothing is left to do, *rc is 0 or ERR_*; else a step to return.
 */
enum step uid_work_step(struct uid_work *w, int (*slice)(void *arg), void *arg,
    struct waker waker, int64_t now_ms, int64_t wall_ms, int *rc);
/* mailbox_refresh(), of which nothing is left behind if the work ends. */
enum step uid_work_refresh(struct uid_work *w, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *rc) MUST_USE;
/* Whether a busy database is to be waited for any longer, by STEP_WAIT_PEER. */
bool work_still_busy(int64_t *since_ms, int64_t now_ms);

#endif
