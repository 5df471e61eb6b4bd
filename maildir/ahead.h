/*
 * ahead: messages read a little before they are wanted, by a thread of the
 * syncer's, for whoever goes through many.  Of a first pass over small messages
 * opening, reading and closing their files is a third of the work or more.
 *
 * Layer:  maildir, uses base.
 * Nobody waits for the thread: what it hasn't read by the time it is wanted,
 * or what isn't where it was any more, is read by who wants it.
 * Memory: AHEAD_SPACE and some 20 KiB for names each, and at most AHEAD_MAX at
 * a time in a store.
 */
#ifndef MAILDIR_AHEAD_H
#define MAILDIR_AHEAD_H

#include "maildir/mailbox.h"

enum {
	AHEAD_MESSAGES = 48,
	AHEAD_BYTES = 12 * 1024, /* of each message, at most */
	AHEAD_SPACE = 112 * 1024,
	AHEAD_MAX = 8,
};

struct ahead;

/* A message that was read. */
struct ahead_message {
	int fd; /* the caller's; -1: bytes are all of it */
	uint64_t file_size;
	struct slice bytes; /* its beginning */
};

/*
 * For a mailbox, which must stay open until ahead_end().  NULL: too many are
 * at it, or there are no threads.
 */
struct ahead *ahead_begin(struct mailbox *m);
/* What is under way is given up, and not waited for. */
void ahead_end(struct ahead **a);

/*
 * A message that will be wanted, with a higher UID than those named before.
 * False: no room until more have been taken.
 */
bool ahead_ask(struct ahead *a, uint32_t uid);
/*
 * The message, if it was asked for, was read, and isn't known to be gone.
 * Messages with lower UIDs are not wanted any more.  out->bytes are borrowed
 * until the next ahead_take().
 */
bool ahead_take(struct ahead *a, uint32_t uid, struct ahead_message *out);

#endif
