/*
 * syncer: hands file descriptors to somebody who waits for the disk.
 *
 * Layer:  base, uses step.
 * The worker's implementation is a pool of threads; a test may do the work
 * at once, or hold it back to see what must not happen before it is done.
 */
#ifndef BASE_SYNCER_H
#define BASE_SYNCER_H

#include <stdbool.h>

enum { SYNC_JOB_MAX = 4 };

/*
 * One request: sync these descriptors, in any order or side by side.
 * Memory: the job and the descriptors are the submitter's and must stay until
 *         done has been called, in the thread that submitted.
 * A failed sync is never tried again: the data may be gone although a second
 * fsync() would report success.
 */
struct sync_job {
	int fds[SYNC_JOB_MAX];
	bool data_only[SYNC_JOB_MAX]; /* fdatasync() does */
	int n;
	/* Done instead, in the syncer's thread; a syncer that does its own
	 * may leave it out.  NULL: none. */
	void (*work)(struct sync_job *job);
	int error; /* set before done: 0, or the first errno */
	void (*done)(struct sync_job *job);
	void *arg;	       /* the submitter's */
	struct sync_job *next; /* the syncer's */
};

struct syncer {
	void (*submit)(struct syncer *self, struct sync_job *job);
};

static inline void
syncer_submit(struct syncer *s, struct sync_job *job)
{
	s->submit(s, job);
}

#endif
