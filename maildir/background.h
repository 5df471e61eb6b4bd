/*
 * background: what an account needs when nobody asks for it.
 *
 * Layer:  maildir, uses base.
 * Driven by store_work(); each call does a bounded piece.
 */
#ifndef MAILDIR_BACKGROUND_H
#define MAILDIR_BACKGROUND_H

#include "maildir/internal.h"

/*
 * budget: what may be done now by all accounts, in steps of about 1/10 ms; what
 * was done is taken off.  STEP_DONE: nothing is under way nor due, so that the
 * account may be closed.  STEP_YIELD: the budget is used up; STEP_WAIT_SYNC: it
 * waits for the disk; STEP_WAIT_PEER: for another process, or quiet.
 */
enum step background_work(
    struct account *a, int *budget, int64_t now_ms, int64_t wall_ms);
/* The same without waiting for quiet, at the end of the process. */
bool background_finish(
    struct account *a, int *budget, int64_t now_ms, int64_t wall_ms);
void background_stop(struct account *a);
/* The database is about to be closed: must it be opened again for an export? */
void background_close(struct account *a);

#endif
