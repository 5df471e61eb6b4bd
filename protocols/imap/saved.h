/*
 * imap_saved: the search result variable "$".  RFC 5182.
 *
 * Layer:  protocols/imap, uses base, maildir/view.
 * Memory: two numbers for each run of messages, packed into few bytes; at most
 *         IMAP_SAVED_MAX bytes.
 * It holds UIDs, so that it stays right whatever is expunged: a message that
 * isn't there any more is no part of it when it is used.
 */
#ifndef IMAP_SAVED_H
#define IMAP_SAVED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "maildir/view.h"
#include "protocols/imap/seqset.h"

enum { IMAP_SAVED_MAX = 256 * 1024 };

struct imap_saved {
	struct buf runs; /* of each: UIDs passed over, UIDs in it */
	uint32_t n;	 /* runs */
	uint32_t last;	 /* the last UID in it */
};

void imap_saved_init(struct imap_saved *s);
void imap_saved_fini(struct imap_saved *s);
/* Empty it. */
void imap_saved_clear(struct imap_saved *s);
/*
 * Add all messages with UIDs from first to last, beyond those that are in it;
 * false when it would get too large.
 */
bool imap_saved_add(
    struct imap_saved *s, uint32_t first, uint32_t last) MUST_USE;
/*
 * The sequence numbers of what is in it, as imap_set_resolve() gives them, in
 * the arena; false when that is too small.
 */
bool imap_saved_resolve(const struct imap_saved *s, const struct view *v,
    struct arena *a, struct imap_set *out) MUST_USE;

#endif
