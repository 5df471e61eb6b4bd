/*
 * fake_store: an account in memory with two mailboxes, INBOX and INBOX.a, and
 * all the functions of maildir/ that an IMAP session calls; what may go wrong
 * with them goes wrong on demand.
 *
 * Linked instead of the maildir library, for tests that look at a session and
 * not at a disk.  One account at a time.
 */
#ifndef TESTS_SUPPORT_FAKE_STORE_H
#define TESTS_SUPPORT_FAKE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "maildir/store.h"

/* How many mailboxes there may be. */
enum { FAKE_MAILBOXES = 3, FAKE_MESSAGES_MAX = 64 };

struct fake_store {
	int busy;	 /* so many calls answer ERR_BUSY before one succeeds */
	bool often_busy; /* every third one does */
	void (*meanwhile)(void); /* is called first; NULL: nothing is */
	bool waits;		 /* every step answers STEP_YIELD once */
	bool renames;	 /* RENAME works; who had it open finds it gone */
	bool creates;	 /* CREATE and DELETE work, too */
	bool remembers;	 /* all that was removed is known */
	bool hibernates; /* at once, whoever rests */
	bool caches;	 /* what is computed from a message is kept */
	/* "#shared.u" and "shared.u" are an account of the same mailboxes */
	bool shares;
	unsigned attrs; /* of mailboxes in LIST: enum mailbox_attr */
	int open_message_rc, change_rc, append_rc; /* what those result in */
	bool read_breaks; /* the file is shorter than its size says */
	/* not yet given back: */
	size_t accounts, mailboxes, views, changes, listeners;
};

extern struct fake_store fake_store;

/* Begin with empty mailboxes. */
void fake_store_reset(void);
/* Release what the mailboxes hold; nothing may be in use. */
void fake_store_clear(void);
/* A message comes into mailbox 0 or 1; the bytes are copied. */
void fake_store_deliver(size_t mailbox, struct slice bytes);
/* Somebody else changes flags or removes a message. */
void fake_store_set_flags(size_t mailbox, uint32_t uid, uint32_t flags);
void fake_store_remove(size_t mailbox, uint32_t uid);
/* Something to hand to a session. */
struct account *fake_store_account(void);

#endif
