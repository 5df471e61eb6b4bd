/*
 * fake_mailbox: an INBOX in memory, with the functions of maildir/ that a
 * POP3 session calls, and everything that may go wrong with them on demand.
 *
 * Linked instead of the maildir library, for tests that look at a session and
 * not at a disk.  One at a time: the functions have no place for a handle.
 */
#ifndef TESTS_SUPPORT_FAKE_MAILBOX_H
#define TESTS_SUPPORT_FAKE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "maildir/mailbox.h"
#include "maildir/store.h"

enum { FAKE_MESSAGES_MAX = 16 };

struct fake_message {
	struct slice bytes; /* of the file */
	const char *unique_id;
	enum header_bytes header; /* as the mailbox keeps it */
	bool seen;
	bool gone;	  /* removed, by us or by others */
	bool unreadable;  /* the file can't be opened */
	bool read_breaks; /* it can, but reading fails */
};

struct fake_mailbox {
	struct fake_message v[FAKE_MESSAGES_MAX];
	size_t n;
	int open_rc, refresh_rc, list_rc; /* what those result in */
	int seen_rc, remove_rc;
	int busy;     /* so many begins answer ERR_BUSY before one succeeds */
	int more;     /* so many opens answer ERR_MORE before one succeeds */
	bool waits;   /* every step answers STEP_WAIT_SYNC or YIELD once */
	bool is_open; /* now */
	size_t accounts, fds; /* taken and not yet given back */
	size_t removals;      /* change_remove_begin() calls */
};

extern struct fake_mailbox fake;

/* Empty it. */
void fake_mailbox_reset(void);
/* UIDs are 101, 102, … */
void fake_mailbox_add(struct slice bytes, const char *unique_id);
/* Something to hand to a session; counted in accounts. */
struct account *fake_account(void);

#endif
