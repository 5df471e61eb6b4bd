/*
 * pop3_ids: the unique-ids of INBOX.
 *
 * Layer:  maildir, uses base.
 * Kept in blobs, one for each 1024 UIDs.  A record of table pop3 has 20 bytes:
 * uid 4, n 4, uidvalidity 4, and 8 with the size as Courier counted it (62
 * bits, or all ones) and on top whether there are 8-bit header fields.
 *   n != 0  "UIDn-uidvalidity", or "UIDn" without one
 *   n == 0  the text that pop3_text has, else the base name
 * Table pop3_text has what came from Dovecot and isn't of that form: uid 4,
 * order 4 (place in the listing before all without one; 0: none), length 1,
 * the text (empty: only the order).
 */
#ifndef MAILDIR_POP3_IDS_H
#define MAILDIR_POP3_IDS_H

#include "maildir/foreign.h"
#include "maildir/internal.h"

struct pop3_id {
	uint32_t uid, n, uidvalidity;
	uint32_t order;
	uint64_t size; /* as Courier counted it, or SIZE_UNKNOWN */
	enum foreign_utf8 utf8;
	size_t text_at, text_n; /* in texts */
};

struct pop3_ids {
	struct pop3_id *v; /* ascending UIDs */
	size_t n, cap;
	struct buf texts;
};

/* How far a reading of all has come; begun with a zeroed one. */
struct pop3_ids_loader {
	uint64_t next;
	bool texts;
};

void pop3_ids_init(struct pop3_ids *l);
void pop3_ids_fini(struct pop3_ids *l);
void pop3_ids_add(struct pop3_ids *l, const struct pop3_id *id);
struct pop3_id *pop3_ids_find(const struct pop3_ids *l, uint32_t uid);
/* For qsort(): by UID. */
int pop3_id_order(const void *a, const void *b);
/* Add what the database has, as much as there is work for.  1: there is more;
 * 0; or ERR_*. */
int pop3_ids_load_some(struct mailbox *m, struct pop3_ids *l,
    struct pop3_ids_loader *r, int *work, struct err *e) MUST_USE;
/* All of it at once. */
int pop3_ids_load(
    struct mailbox *m, struct pop3_ids *l, struct err *e) MUST_USE;

/*
 * A transaction that changes the mailbox's row or its ids: reads the row;
 * writes it and commits if rc is 0, else nothing has changed.  After the end
 * of all of them a sync is needed before anybody is shown such an id.
 */
int pop3_ids_begin(struct mailbox *m, struct err *e) MUST_USE;
int pop3_ids_commit(struct mailbox *m, int rc, struct err *e) MUST_USE;
/*
 * Write ids, ascending UIDs, from *at on, in one such transaction, as many as
 * there is work for.  A message that has one keeps it.  1: there are more; 0:
 * that was all; or ERR_*, and *at is where it was.
 */
int pop3_ids_write_some(struct mailbox *m, const struct pop3_ids *l, size_t *at,
    int *work, struct err *e) MUST_USE;
/* Append the unique-id of a message as the client sees it. */
void pop3_id_put(struct buf *out, const struct pop3_ids *l,
    const struct pop3_id *id, struct slice base);

#endif
