/*
 * imap_order: the places of a mailbox's messages in the order of one text,
 * kept in the cache, so that SORT need not compare texts that it has compared
 * before.
 *
 * Layer:  protocols/imap.
 * Memory: shared.h; released by imap_order_fini().
 * What decides about a place, the header of a message, never changes.  So an
 * order stays right as long as its UIDs mean the same, whatever is expunged,
 * and new messages are put between the others.
 */
#ifndef IMAP_ORDER_H
#define IMAP_ORDER_H

#include "protocols/imap/session_impl.h"

struct imap_order {
	uint32_t *uid;	/* ascending */
	uint32_t *rank; /* of each of them; the same where the texts are */
	size_t n, cap_uid, cap_rank;
	uint32_t n_ranks;	 /* they are below this */
	uint32_t *by_rank;	 /* places in uid, by rank, then UID */
	size_t n_sorted, cap_by; /* of by_rank: 0, or n */
};

void imap_order_init(struct imap_order *o);
void imap_order_fini(struct imap_order *o);

/*
 * Replace it by what is kept of the kind, of messages that are still in the
 * session's view; without any if there is nothing.  ERR_LIMIT: too much for
 * the shared memory.
 */
int imap_order_load(struct imap_session *i, enum cache_kind kind,
    struct imap_order *o) MUST_USE;
void imap_order_save(
    struct imap_session *i, enum cache_kind kind, const struct imap_order *o);

/* Append a message, whose UID is above all others. */
bool imap_order_append(
    struct imap_order *o, uint32_t uid, uint32_t rank) MUST_USE;
/*
 * The place of a UID, or where it would be; found says which.  hint: a place
 * that isn't behind it.
 */
size_t imap_order_find(
    const struct imap_order *o, size_t hint, uint32_t uid, bool *found);

/*
 * Put a message that isn't there between the others.  before: how the text of
 * a UID compares to the new message's: < 0, 0, > 0.
 */
bool imap_order_insert(struct imap_order *o, uint32_t uid,
    int (*compare)(void *arg, uint32_t uid), void *arg) MUST_USE;

#endif
