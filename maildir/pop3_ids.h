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
	bool fresh;		/* not yet written */
};

struct pop3_ids {
	struct pop3_id *v; /* ascending UIDs */
	size_t n, cap;
	struct buf texts;
};

void pop3_ids_init(struct pop3_ids *l);
void pop3_ids_fini(struct pop3_ids *l);
struct pop3_id *pop3_ids_find(const struct pop3_ids *l, uint32_t uid);
/* Add what the database has. */
int pop3_ids_load(
    struct mailbox *m, struct pop3_ids *l, struct err *e) MUST_USE;
/*
 * Load, and give an id to each message that has none.
 * 0: all had one; 1: some were given just now, and must be synced before
 * anybody sees them; else ERR_*.
 */
int pop3_ids_ensure(
    struct mailbox *m, struct pop3_ids *l, struct err *e) MUST_USE;
/* Append the unique-id of a message as the client sees it. */
void pop3_id_put(struct buf *out, const struct pop3_ids *l,
    const struct pop3_id *id, struct slice base);

/*
 * Take over the ids of Courier's list and of Dovecot's (each may be NULL).
 * uids: those of the messages that the entries name, of whichever is there; or
 * NULL: they are looked up.  A
 * message that has an id keeps it; one whose foreign id is another message's
 * here gets a new one.  Within a transaction; *changed is set when there was
 * something new, and then the mailbox's row must be written, too.
 */
int pop3_ids_import(struct mailbox *m, const struct foreign_uids *dovecot,
    const struct foreign_sizelist *courier, const uint32_t *uids, bool *changed,
    struct err *e) MUST_USE;

#endif
