/*
 * syncpool: the syncer of a worker: a few threads that wait for the disk.
 *
 * Layer:  server, uses base, libevent, pthread.
 * The threads do nothing but the jobs they are handed (base/syncer.h): they
 * touch no session and no index.  A finished job comes back to the loop's
 * thread, which calls done.
 * A disk may hang for one account and not for others (another file system): the
 * jobs of one owner never take all threads, if there are two or more.
 */
#ifndef SERVER_SYNCPOOL_H
#define SERVER_SYNCPOOL_H

#include <event2/event.h>

#include "base/defs.h"
#include "base/step.h"
#include "base/syncer.h"

struct syncpool;

/* n threads (1 … 16).  NULL, with errno, if not one could be started. */
struct syncpool *syncpool_new(struct event_base *base, unsigned n) MUST_USE;
/* Waits for the jobs under way; those not begun are dropped. */
void syncpool_free(struct syncpool **p);
struct syncer *syncpool_syncer(struct syncpool *p);
/* Called in the loop's thread each time when done was called for all jobs that
 * have come back: whom they woke can go on in the same turn. */
void syncpool_after(struct syncpool *p, struct waker after);
/* Jobs submitted whose done was not yet called. */
unsigned syncpool_pending(const struct syncpool *p);

#endif
