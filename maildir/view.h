/*
 * view: an immutable list of the messages of a mailbox at one moment.
 *
 * Layer:  maildir, uses base.
 * Memory: views are reference counted and shared by all sessions of a
 *         mailbox in the worker.  A view is an array of chunks of a few
 *         hundred messages; a changed mailbox is a new view that shares every
 *         chunk that did not change, so keeping an old one is cheap and
 *         comparing two skips what they share.
 * Order:  ascending UIDs; the sequence number is the place, from 1.
 */
#ifndef MAILDIR_VIEW_H
#define MAILDIR_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

enum message_flag {
	MESSAGE_SEEN = 1,
	MESSAGE_ANSWERED = 2,
	MESSAGE_FLAGGED = 4,
	MESSAGE_DELETED = 8,
	MESSAGE_DRAFT = 16,
	MESSAGE_FORWARDED = 32, /* Maildir's P (passed): $Forwarded */
	MESSAGE_FLAGS_ALL = 63,
	/* Of a view that was given back by mailbox_rouse(): the message has
	 * changed or gone since, and what it was then isn't known. */
	MESSAGE_FLAGS_UNKNOWN = 64,
};

struct message {
	uint32_t uid;
	uint32_t flags;	   /* enum message_flag */
	uint32_t keywords; /* a keyword set of the mailbox, 0: none */
	uint64_t modseq;
};

struct view;

struct view *view_ref(struct view *v);
void view_unref(struct view **v);

/* Number of messages. */
uint32_t view_count(const struct view *v);
/* The message with the sequence number (1 … count); valid as long as v. */
const struct message *view_get(const struct view *v, uint32_t seq);
/* Its UID; costs less than view_get() where nothing else is asked for. */
uint32_t view_uid(const struct view *v, uint32_t seq);
/* The sequence number of a UID; 0 when it isn't there.  O(log n). */
uint32_t view_find(const struct view *v, uint32_t uid);
/* The lowest sequence number whose UID is >= uid; count + 1 if none is. */
uint32_t view_lower_bound(const struct view *v, uint32_t uid);
/* The sequence number of the first message without \Seen; 0: none. */
uint32_t view_find_unseen(const struct view *v);
/* The highest modseq the mailbox had when this view was made. */
uint64_t view_highest_modseq(const struct view *v);
uint32_t view_uidnext(const struct view *v);

/* The difference of two views of one mailbox, walked from the front. */
struct view_diff {
	const struct view *from, *to;
	uint32_t at_from, at_to; /* next sequence numbers to look at */
};
enum view_change {
	VIEW_SAME_END, /* no more */
	VIEW_EXPUNGED, /* was: in from only; seq: its number in from */
	VIEW_ADDED,    /* now: in to only; seq: its number in to */
	VIEW_FLAGS,    /* in both, with another modseq; seq: number in to */
};
void view_diff_init(
    struct view_diff *d, const struct view *from, const struct view *to);
/* The next difference; skips chunks that both share in one step. */
enum view_change view_diff_next(
    struct view_diff *d, uint32_t *seq, const struct message **m);

#endif
