/*
 * syncer: hands work to somebody who waits for the disk.
 *
 * Layer:  base.
 * The worker's implementation is a pool of threads; a test may do the work
 * at once, or hold it back to see what must not happen before it is done.
 */
#ifndef BASE_SYNCER_H
#define BASE_SYNCER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * One request, done in a thread of its own: an fsync(), say, or writing a
 * whole file.  run touches nothing but what its job leads to, which is nobody
 * else's until done has been called in the thread that submitted.
 * Memory: the job is the submitter's and must stay until done.
 * A failed sync is never tried again: the data may be gone although a second
 * fsync() would report success.
 */
struct sync_job {
	int (*run)(struct sync_job *job); /* 0 or errno */
	int error;			  /* set before done: what run said */
	void (*done)(struct sync_job *job);
	void *arg;	   /* the submitter's */
	const void *owner; /* whose jobs must leave room for others' */
	/* It takes less than waking somebody for it: of one owner's that come
	 * together a syncer may do one after the other, and call done for all
	 * of them at the end. */
	bool brief;
	/*
	 * The submitter's counter of jobs that are of no use before all of them
	 * are done, or NULL.  A syncer may count it down as they are run, in
	 * whatever thread, and make haste with done for the last one only.
	 */
	unsigned *unfinished;
	struct sync_job *next; /* the syncer's */
	bool unheralded;       /* the same: no thread was woken for it */
};

struct syncer {
	void (*submit)(struct syncer *self, struct sync_job *job);
	bool (*collect)(
	    struct syncer *self, struct sync_job *job); /* or NULL */
};

static inline void
syncer_submit(struct syncer *s, struct sync_job *job)
{
	s->submit(s, job);
}

/*
 * For whoever can't wait until the event loop comes round: if the job was run,
 * call done now, and not once more from there.  Whether that is so.
 */
static inline bool
syncer_collect(struct syncer *s, struct sync_job *job)
{
	return s->collect != NULL && s->collect(s, job);
}

/* What a syncer does with a job, here and now. */
static inline void
sync_job_do(struct sync_job *job)
{
	job->error = job->run(job);
	job->done(job);
}

#endif
