/*
 * takeover: the row of a mailbox that is opened for the first time, with the
 * UIDs of the server that had it before.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_TAKEOVER_H
#define MAILDIR_TAKEOVER_H

#include "maildir/internal.h"

struct takeover;

/* dir is borrowed. */
struct takeover *takeover_new(struct account *a, const char *dir) MUST_USE;
/*
 * A piece of so much work.  0: the row is there, *id; ERR_MORE, ERR_BUSY: call
 * again; else ERR_*.
 */
int takeover_step(
    struct takeover *t, int *work, int64_t *id, struct err *e) MUST_USE;
void takeover_free(struct takeover **t);

/* A row that was just inserted has nothing of its list yet: whoever opens it
 * goes on.  Within the same transaction. */
int takeover_begin_row(struct account *a, int64_t id, struct err *e) MUST_USE;

#endif
