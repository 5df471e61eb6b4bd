/*
 * intent: what is going to be added to a mailbox, all of it or nothing.
 *
 * Layer:  maildir, uses base.
 * Files come into a mailbox by a rename each, and a process may end between
 * two of them.  So a command that adds several (RFC 3502) first has their
 * names in the database, durably, when all files are durable in tmp/.  Whoever
 * opens the account finds an intent that its process didn't live to carry out,
 * and has a sync thread move the files that are still in tmp/ into place: their
 * messages come into the mailbox like new mail.
 */
#ifndef MAILDIR_INTENT_H
#define MAILDIR_INTENT_H

#include "maildir/internal.h"

/*
 * Note one: names are pairs of a name in tmp/ and one in cur/, each ended by a
 * NUL.  0 and *id, or ERR_*; the caller sees to its durability.
 */
int intent_put(
    struct mailbox *m, struct slice names, int64_t *id, struct err *e) MUST_USE;
/* It is carried out, durably, or given up and its files removed. */
void intent_drop(struct account *a, int64_t id);
/* Nobody here sees to it any more; it stays for who opens the account next. */
void intent_leave(struct account *a);
/* Whether there are any; ERR_*. */
int intent_pending(struct account *a, struct err *e) MUST_USE;
/*
 * Carry out all there are, by the syncer, and then go on.  Nobody else may have
 * the account open, nor may anybody use it here, until intent_redone().
 */
int intent_redo(struct account *a,
    int (*then)(struct account *a, struct err *e), struct err *e) MUST_USE;
/* 0: none is under way; ERR_BUSY; ERR_*: it failed, and is tried again when the
 * database is opened the next time. */
int intent_redone(const struct account *a, struct err *e) MUST_USE;
/* The database is about to be closed. */
void intent_redo_free(struct account *a);

#endif
