/*
 * fake_impl: what the files of the fake store share.
 *
 * Layer:  tests.
 */
#ifndef TESTS_SUPPORT_FAKE_IMPL_H
#define TESTS_SUPPORT_FAKE_IMPL_H

#include "maildir/mailbox.h"
#include "tests/support/fake_store.h"

struct account {
	int refs;
};

struct fake_message {
	struct message m;
	struct slice bytes; /* heap */
};

struct mailbox {
	struct slice name; /* empty: there is none */
	char text[64];	   /* of it */
	int refs;
	bool gone;
	uint32_t uidvalidity;
	struct slice acl; /* its list's lines on the heap, if n_acl isn't 0 */
	int64_t n_acl;	  /* how often it has been changed */
	struct fake_message v[FAKE_MESSAGES_MAX];
	size_t n;
	uint32_t uidnext, recent_from;
	uint64_t modseq;
	struct view *newest; /* NULL: to be made */
	struct mailbox_listener *listeners;
	/* what was removed last */
	struct fake_vanished {
		uint32_t uid;
		uint64_t modseq;
	} vanished[FAKE_MESSAGES_MAX];
	size_t n_vanished;
};

struct view {
	int refs;
	uint32_t uidnext;
	uint64_t modseq;
	uint32_t n;
	struct message v[FAKE_MESSAGES_MAX];
};

/* The mailbox has a new view, and its listeners are told. */
void fake_changed(struct mailbox *m);
/* Remove the k-th message. */
void fake_remove_at(struct mailbox *m, size_t k);
/* For mailbox_vanished(). */
void fake_note_vanished(struct mailbox *m, uint32_t uid);
/* Nothing is kept of its messages any more. */
void fake_forget(const struct mailbox *m);
/* Remove all messages, and the list of rights. */
void fake_empty(struct mailbox *m);
/* Room for another mailbox; NULL: there is none. */
struct mailbox *fake_free(void);
/* An empty mailbox; the name is copied. */
void fake_make(struct mailbox *m, struct slice name);
void fake_rename(struct mailbox *m, struct slice name);
/* NULL: there is none of that UID. */
struct fake_message *fake_find(struct mailbox *m, uint32_t uid);
/* Add a message; its UID. */
uint32_t fake_add(
    struct mailbox *m, struct slice bytes, uint32_t flags, uint32_t set);
/* 0, or ERR_BUSY as often as fake_store wants it. */
int fake_busy(void);
/* Whether a step has to wait once more, as fake_store wants it. */
bool fake_waits(bool *waited);
/* NULL: there is none of that name. */
struct mailbox *fake_named(struct slice name);
/* The set of some keywords; new ones are made. */
uint32_t fake_keyword_bits(const struct slice *names, size_t n);

#endif
