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
	struct waker waker;
};

struct sync_fds {
	int fd[SYNC_JOB_MAX];
	bool data_only[SYNC_JOB_MAX];
	int n;
};

void sync_fds_add(struct sync_fds *f, int fd, bool data_only);

/*
 * Start it; waker is called when it is done, which may be before this
 * returns.  syncer NULL: it is done at once, here.
 */
void sync_start(struct sync *s, struct syncer *syncer,
    const struct sync_fds *fds, struct waker waker);
/* Whether one is under way. */
bool sync_busy(const struct sync *s);
/* Have this waker called instead. */
void sync_rewake(struct sync *s, struct waker waker);
/* Its owner goes away: nobody is called any more. */
void sync_forget(struct sync *s);

#endif
