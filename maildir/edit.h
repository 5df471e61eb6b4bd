/*
 * edit: one change of a mailbox's messages, in one transaction.
 *
 * Layer:  maildir, uses base.
 * Between begin and commit or abort nothing may yield.  At begin, what other
 * processes changed is read first, so that the change is made to the newest
 * state; only chunks that changed are written.  All changes of one edit get
 * one mod-sequence.
 */
#ifndef MAILDIR_EDIT_H
#define MAILDIR_EDIT_H

#include "maildir/internal.h"

/* A message removed: the index of base names must forget it. */
struct edit_gone {
	uint32_t uid;
	char *base; /* a copy */
	size_t n;
};

struct edit {
	struct mailbox *m;
	/* what the mailbox had, until the commit */
	uint32_t old_uidnext;
	uint64_t old_modseq, old_modseq_bound, old_change, old_unsynced_change;
	bool old_unsynced, old_unsynced_told, old_change_noted, written;
	struct chunk **v; /* references */
	size_t n, cap;
	uint32_t merged; /* first of a chunk that went into another; 0: none */
	uint32_t uidnext;
	uint32_t added_from; /* the least UID of edit_append(); 0: none */
	uint64_t modseq;     /* of what this edit changes */
	bool modseq_used, changed;
	bool more; /* than messages that were added */
	struct edit_gone *gone;
	size_t n_gone, cap_gone;
	size_t n_keywords, n_sets; /* at begin */
	int32_t n_new;		   /* change of the messages in new/ */
};

/* 0, or ERR_BUSY, ERR_STALE (the mailbox is gone), ….  Then nothing is open. */
int edit_begin(struct edit *ed, struct mailbox *m, struct err *e) MUST_USE;
/* The same for who can wait: ERR_MORE: some of the names that it needs were
 * read, call again. */
int edit_begin_some(struct edit *ed, struct mailbox *m, struct err *e) MUST_USE;
/* Where a message is now; false: it isn't there (any more). */
bool edit_find(const struct edit *ed, uint32_t uid, size_t *at, uint32_t *i);
/* Set place (and info part, if odd) and keywords of a message. */
void edit_set(struct edit *ed, size_t at, uint32_t i, uint64_t place,
    struct slice odd, uint32_t keywords);
void edit_remove(struct edit *ed, size_t at, uint32_t i);
/* A new message.  ERR_LIMIT: no UID is left. */
int edit_append(struct edit *ed, const struct file_name *name,
    uint32_t keywords, const struct fixed *fixed, uint32_t *uid,
    struct err *e) MUST_USE;
/* One whose UID is known: it is above those of all messages, and nobody else
 * has it or will. */
int edit_append_as(struct edit *ed, const struct file_name *name,
    const struct fixed *fixed, uint32_t uid, struct err *e) MUST_USE;
/* The UID of the last message; 0: there is none. */
uint32_t edit_last_uid(const struct edit *ed);
/*
 * Write and commit.  On success the mailbox has the new state, but UIDs it
 * gave are not shown before the caller has seen to their durability.  On
 * failure all is as before.
 */
int edit_commit(struct edit *ed, struct err *e) MUST_USE;
void edit_abort(struct edit *ed);

/*
 * The same for several mailboxes of one account in one transaction, which the
 * caller begins and ends: join each, change, write each; then, after the
 * commit, adopt each, or, after the rollback, cancel each.
 */
int edit_join(struct edit *ed, struct mailbox *m, struct err *e) MUST_USE;
int edit_write(struct edit *ed, struct err *e) MUST_USE;
void edit_adopt(struct edit *ed);
void edit_cancel(struct edit *ed);

/* The key of a mailbox's row in the chunk tables. */
int64_t chunk_key(const struct mailbox *m, uint32_t first);
/* Write all of a chunk, or its fixed part, as it is; within a transaction. */
int chunk_write(struct mailbox *m, struct chunk *c, struct err *e) MUST_USE;
int chunk_write_fixed(
    struct mailbox *m, struct chunk *c, struct err *e) MUST_USE;
/* Bind the columns of the mailbox's row for DB_MAILBOX_UPDATE. */
int mailbox_row_write(struct mailbox *m, struct err *e) MUST_USE;

#endif
