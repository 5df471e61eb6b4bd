/*
 * group: one transaction for all who add messages to an account's mailboxes at
 * the same time.
 *
 * Layer:  maildir, uses base.
 * A member waits in its account's line.  The first of the line begins a
 * transaction one turn later, when whoever else is ready has come, or when a
 * round of syncs (durable.h) may be started; all who wait then make their
 * changes in it, and share the round that makes it durable.
 * Who can't make its change fails alone.  If the transaction as a whole fails,
 * each is tried in one of its own, so that a full disk hits only those that
 * don't fit.
 * Memory: the struct is the caller's; its mailbox stays open until STEP_DONE
 *         or group_leave().
 */
#ifndef MAILDIR_GROUP_H
#define MAILDIR_GROUP_H

#include "maildir/durable.h"
#include "maildir/edit.h"

enum group_state { GROUP_OUT, GROUP_WAITS, GROUP_TRIED, GROUP_DONE };

struct group_member {
	struct mailbox *m;
	size_t n_messages;
	/*
	 * Make the change, within the transaction: 0, or ERR_*, and then ed is
	 * as it was.  Called again if the transaction failed.
	 */
	int (*apply)(struct group_member *g, struct edit *ed);

	enum group_state state;
	struct group_member *next;
	struct waker waker;
	struct durable durable;
	int64_t busy_since_ms;
	int result;	/* at STEP_DONE: 0 or ERR_* */
	bool committed; /* then: a failure came after the commit */
};

/* m, n_messages and apply are set, and the rest is zero, at the first call. */
enum step group_step(
    struct group_member *g, struct waker waker, int64_t now_ms);
/* Its owner goes away. */
void group_leave(struct group_member *g);
/* A round may be started: who waits for that goes on. */
void group_wake(struct account *a);

#endif
