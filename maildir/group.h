/*
 * group: one transaction for all who add messages to an account's mailboxes at
 * the same time.
 *
 * Layer:  maildir, uses base.
 * A member waits in its account's line.  The first of the line begins a
 * transaction when a round of syncs (durable.h) may be started, and one turn
 * later if others are expected, as they may be ready by then; all who wait then
 * make their changes in it, and share the round that makes it durable.  The
 * directories' part of that round begins as soon as their files are in place.
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
	/* It has been committed, and its syncs haven't begun; or NULL. */
	void (*on_commit)(struct group_member *g);
	bool no_dir; /* its directory needs no sync */

	enum group_state state;
	bool expected; /* it is to come */
	struct group_member *next;
	struct waker waker;
	struct durable durable;
	int64_t busy_since_ms;
	int result;	/* at STEP_DONE: 0 or ERR_* */
	bool committed; /* then: a failure came after the commit */
};

/* Others may wait a turn for it.  m is set, and the rest may be zero. */
void group_expect(struct group_member *g);
/* m, n_messages and apply are set, and the rest is zero, at the first call,
 * but for group_expect(). */
enum step group_step(
    struct group_member *g, struct waker waker, int64_t now_ms);
/* Its owner goes away. */
void group_leave(struct group_member *g);
/* A round may be started: who waits for that goes on. */
void group_wake(struct account *a);

#endif
