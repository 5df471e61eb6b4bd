/*
 * export: Courier's files, written from what Postern knows.
 *
 * Layer:  maildir, uses base.
 * So that Courier, started on the same Maildir, shows the same UIDs, keywords
 * and POP3 unique-ids: courierimapuiddb, courierimapkeywords/:list and
 * courierpop3dsizelist are replaced, for each mailbox that changed since it
 * was last exported.  Subscriptions are in Courier's file anyhow.
 *
 * It is never done for a session, but after a minute of quiet, at stop, or
 * when somebody asks for it.  Order for each mailbox: refresh it; write the
 * files to tmp/; sync them; note, and sync, that files of these prints are to
 * come; list the updates of keywords that were merged, when those that were
 * taken over just now have been, for as long as one waits for a lock; under
 * Courier's lock (tmp/courier.lock) rename the files into place, or begin again
 * if Courier wrote its own since they were read, for as long as one waits for
 * the lock; have a thread remove those updates; sync the directories; note
 * their prints as those that are there, and what was exported; if a list of
 * keywords replaced another one, sync that, and remove the old one from tmp/.
 * A crash before the note leaves it to be done again; none of the files is
 * taken for Courier's then, and what Courier writes afterwards for what it is
 * (import_placing.c).
 */
#ifndef MAILDIR_EXPORT_H
#define MAILDIR_EXPORT_H

#include "base/step.h"
#include "maildir/store.h"

struct export;

/* Begin with an account; the caller holds a reference to it.  again: also
 * mailboxes whose files should be right already. */
struct export *export_new(struct account *a, bool again) MUST_USE;
/* A piece of it; STEP_DONE: see the result; STEP_WAIT_PEER: another process
 * holds the database or Courier's lock, call again after a while. */
enum step export_step(
    struct export *x, struct waker waker, int64_t now_ms, int64_t wall_ms);
/* 0, or the ERR_* of the first mailbox that couldn't be written; the number
 * of those that were. */
int export_result(const struct export *x, unsigned *n_mailboxes);
void export_free(struct export **x);

#endif
