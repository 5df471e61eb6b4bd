/*
 * durable: making commits and directories durable, together.
 *
 * Layer:  maildir, uses base.
 * Those of one account who want the disk to have what they committed share
 * their syncs: one of the database's log and one of each directory, all side
 * by side, make a round.  A few rounds may be under way at a time; who comes
 * then waits for the next.
 * Memory: struct durable is the caller's; its mailbox stays open until the
 *         durable_step() that says STEP_DONE, or durable_fini().
 */
#ifndef MAILDIR_DURABLE_H
#define MAILDIR_DURABLE_H

#include "maildir/internal.h"

struct durable {
	struct sync_round *round;     /* NULL: none that is under way */
	struct durable *next, **prev; /* of its list; prev NULL: in none */
	struct account *a;
	struct mailbox *m; /* NULL: of the account as such */
	bool started, done, dir;
	int result;
	uint32_t uidnext;
	uint64_t change;
	struct waker waker;
};

/*
 * What m has committed until now, and with dir its renames in cur/, will be
 * part of the next round that is started.
 */
void durable_join(struct durable *d, struct mailbox *m, bool dir);
/* The same for what the account has committed, and its root. */
void durable_join_account(struct durable *d, struct account *a);
/*
 * Begin the next round with the directories of these mailboxes, whose renames
 * have been made, while the transaction that tells of them is still being
 * written: durable_start() goes on with it, in the same turn.
 */
void durable_begin(struct account *a, struct mailbox *const *m, size_t n);
/* The transaction failed: renames may follow, and the directories are to be
 * synced once more. */
void durable_begun_stale(struct account *a);
/* Start rounds for who waits, if that may be. */
void durable_start(struct account *a);
/* Whether a round could be started. */
bool durable_may_start(const struct account *a);
/* Joins and starts at the first call.  STEP_DONE: *rc tells, and the UIDs up
 * to then may be shown; STEP_WAIT_SYNC. */
enum step durable_step(struct durable *d, struct mailbox *m, bool dir,
    struct waker waker, int *rc);
/* Its owner goes away. */
void durable_fini(struct durable *d);
/* The account goes away: nobody waits any more. */
void durable_cancel(struct account *a);

#endif
