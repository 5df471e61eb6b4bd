/*
 * pop3_sizes: the sizes of messages that the index doesn't know yet, read from
 * their files in pieces, for the drop listing.
 *
 * Layer:  maildir.  Not for anybody outside.
 */
#ifndef MAILDIR_POP3_SIZES_H
#define MAILDIR_POP3_SIZES_H

#include "maildir/internal.h"

/* A message that is being read for its size. */
struct sizing {
	int fd; /* -1: none is */
	uint64_t file_size, at, size;
	uint8_t last, seen;
};

struct pop3_sizes {
	struct view *v; /* borrowed */
	uint32_t seq;	/* the next message, from 1 */
	struct sizing now;
};

void pop3_sizes_begin(struct pop3_sizes *s, struct view *v);
/* Whether it has come to its end or not. */
void pop3_sizes_fini(struct pop3_sizes *s);
/*
 * Fill in what v doesn't know, and tell the mailbox: some of it, which takes of
 * work about one for each message.  What can't be read stays unknown.
 * 1: there is more; 0: that was all; ERR_*: not now.
 */
int pop3_sizes_fill(
    struct mailbox *m, struct pop3_sizes *s, int *work) MUST_USE;

#endif
