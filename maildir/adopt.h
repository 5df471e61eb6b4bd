/*
 * adopt: another server's UIDs and keywords, merged into a mailbox.
 *
 * Layer:  maildir, uses base.
 *
 * UIDs.  Messages that only the other server knew keep its UIDs.  A UID that
 * both gave to different messages is burnt: both get new ones.  A message that
 * both gave UIDs keeps ours.  So no UID ever names two messages to anybody,
 * whichever server showed it.
 *
 * Keywords.  What the other server says of a message counts if it had our last
 * state of it: then that is also how it removes some.  If a message changed
 * here since, the keywords of both are put together, so that none is lost.
 */
#ifndef MAILDIR_ADOPT_H
#define MAILDIR_ADOPT_H

#include "maildir/edit.h"
#include "maildir/foreign.h"

/* wall_ms: the date of saving of messages that weren't known. */
int adopt_uids(struct edit *ed, const struct foreign_uids *u, int64_t wall_ms,
    struct err *e) MUST_USE;
/*
 * modseq: the highest one that the other server had; 0: none.  Updates that
 * wait to be merged count in any case.
 */
int adopt_keywords(struct edit *ed, const struct foreign_keywords *k,
    uint64_t modseq, struct err *e) MUST_USE;

#endif
