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
	struct slice name;
	int refs;
	bool gone;
	struct fake_message v[FAKE_MESSAGES_MAX];
	size_t n;
	uint32_t uidnext, recent_from;
	uint64_t modseq;
	struct view *newest; /* NULL: to be made */
	struct mailbox_listener *listeners;
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
