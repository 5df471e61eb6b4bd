/*
 * syncs: syncers of tests, which have no threads.
 *
 * Layer:  tests, uses base.
 */
#ifndef TESTS_SUPPORT_SYNCS_H
#define TESTS_SUPPORT_SYNCS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/syncer.h"

/* Does a job where it is submitted. */
extern struct syncer syncs_at_once;

/* Does nothing until it is told; the jobs it has, the oldest first. */
extern struct syncer syncs_holder;
extern struct sync_job *syncs_held;
/* Which jobs that is so of, the others it does at once; NULL: it is of all. */
extern bool (*syncs_holds)(const struct sync_job *job);
size_t syncs_count_held(void);
/* Do the oldest; false: there is none. */
bool syncs_do_one(void);
/* Do all, and those that come of them. */
void syncs_do_all(void);
/* Do those that are there now; if error isn't 0 they fail with it instead. */
void syncs_release(int error);

#endif
