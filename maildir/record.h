/*
 * record: what a session of a hibernated mailbox has been shown.
 *
 * Layer:  maildir, uses base.
 * A record keeps of a view what QRESYNC's client keeps (RFC 7162 3.2.5): the
 * UIDs, as ranges, and the mod-sequence.  With the mailbox as it is later it
 * gives a view back that has the same sequence numbers, and differs from the
 * newest one in exactly what changed meanwhile.
 * Memory: reference counted, shared by the sessions that were shown the same.
 */
#ifndef MAILDIR_RECORD_H
#define MAILDIR_RECORD_H

#include <stdbool.h>

#include "maildir/view.h"

struct record;

struct record *record_new(const struct view *v) MUST_USE;
struct record *record_ref(struct record *r);
void record_unref(struct record **r);

/*
 * The view, made of the mailbox's present one: messages that are as they were
 * are shared with it.  Of those that changed or are gone only UID and place
 * are known: they have MESSAGE_FLAGS_UNKNOWN and the mod-sequence 0.
 */
struct view *record_view(const struct record *r, struct view *now) MUST_USE;

/* Whether nothing changed: record_view() would give now itself. */
bool record_is(const struct record *r, const struct view *now);

#endif
