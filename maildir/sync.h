/*
 * sync: waiting for the disk, from inside a step function.
 *
 * Layer:  maildir, uses base.
 * Memory: the struct is the caller's and may end before the sync does
 *         (sync_forget); descriptors are duplicated and closed when it is
 *         done.
 */
#ifndef MAILDIR_SYNC_H
#define MAILDIR_SYNC_H

#include <stdbool.h>

#include "base/step.h"
#include "base/syncer.h"

struct sync_run;

struct sync {
	struct sync_run *run; /* under way */
	bool done;	      /* it was started, and has ended */
	int error;	      /* then: 0 or errno */
	/* of the struct sync_fds */
	unsigned epoch, root_changes;
	bool had_first;
	struct waker waker;
};

enum sync_how {
	SYNC_FILE, /* fsync() */
	SYNC_DATA, /* fdatasync() */
	SYNC_FS,   /* syncfs() */
};

enum { SYNC_FDS_MAX = 32 };

/* What the thread that syncs the first of them goes on with, if that went well;
 * end is called in any case, when all are done, by whoever started them. */
struct sync_then {
	void (*run)(void *arg);
	void (*end)(void *arg);
	void *arg;
};

/* What it does before that: 0, or errno of what isn't durable then; likewise.
 */
struct sync_first {
	int (*run)(void *arg);
	void (*end)(void *arg);
	void *arg;
};

struct sync_fds {
	int fd[SYNC_FDS_MAX];
	enum sync_how how[SYNC_FDS_MAX];
	int n;
	unsigned epoch, root_changes; /* account_sync_fds() */
	struct sync_then then;	      /* or zero */
	struct sync_first first;      /* or zero */
};

/* fd -1: nothing to sync. */
void sync_fds_add(struct sync_fds *f, int fd, enum sync_how how);

/*
 * Start it, side by side for all of them; waker is called when it is done,
 * which may be before this returns.  syncer NULL: it is done at once, here.
 * owner: the account, whose work must leave room for that of others.
 */
void sync_start(struct sync *s, struct syncer *syncer, const void *owner,
    const struct sync_fds *fds, struct waker waker);
/*
 * The same in two calls, where some can begin earlier than others: s is busy
 * until sync_rest(), which must follow, has added those (none, perhaps), and
 * all are done.  The epoch is that of the first call, the root's changes are
 * those of the second.
 */
void sync_begin(struct sync *s, struct syncer *syncer, const void *owner,
    const struct sync_fds *fds, struct waker waker);
void sync_rest(struct sync *s, struct syncer *syncer, const void *owner,
    const struct sync_fds *fds);
/*
 * The same for any work: run gives 0 or errno.  arg is the syncer's until then,
 * and the owner's again after; drop is called with it if there is no owner any
 * more.
 */
void sync_call(struct sync *s, struct syncer *syncer, const void *owner,
    int (*run)(void *arg), void (*drop)(void *arg), void *arg,
    struct waker waker);
/* The same for work that mostly takes some ten microseconds: of an owner's that
 * come together one thread may do one after the other. */
void sync_call_brief(struct sync *s, struct syncer *syncer, const void *owner,
    int (*run)(void *arg), void (*drop)(void *arg), void *arg,
    struct waker waker);
/* Whether one is under way. */
bool sync_busy(const struct sync *s);
/* Have this waker called instead. */
void sync_rewake(struct sync *s, struct waker waker);
/* Its owner goes away: nobody is called any more. */
void sync_forget(struct sync *s);

#endif
