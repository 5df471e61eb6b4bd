/*
 * imap_set: sequence sets.  RFC 3501 section 9, sequence-set; 6.4.8 for UIDs;
 * RFC 9394 for partial ranges.
 *
 * Layer:  protocols/imap, uses base, maildir/view.
 * Memory: in the arena of the command.
 */
#ifndef IMAP_SEQSET_H
#define IMAP_SEQSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "maildir/view.h"
#include "protocols/imap/lex.h"

struct imap_range {
	uint32_t lo, hi; /* both included */
};

/*
 * As written (before imap_set_resolve): IMAP_STAR stands for "*" and ranges
 * may be backwards, in any order.  Resolved: sequence numbers of a view,
 * ascending ranges that don't touch.
 */
#define IMAP_STAR 0
struct imap_set {
	struct imap_range *v;
	size_t n;
};

/* A sequence-set of at most max elements. */
enum parse imap_lex_set(struct imap_lex *lx, struct arena *a, size_t max,
    struct imap_set *out) MUST_USE;

/*
 * Turn a set as written into sequence numbers of the view, in place.  uid: it
 * holds UIDs; those that aren't there are left out (RFC 3501 6.4.8).  False:
 * a sequence number is beyond the last message.  "*" in an empty mailbox is
 * nothing.
 */
bool imap_set_resolve(
    struct imap_set *set, const struct view *v, bool uid) MUST_USE;

/*
 * Turn a set as written into ascending ranges that don't touch, in place; star
 * is what "*" stands for.
 */
void imap_set_order(struct imap_set *set, uint32_t star);

/*
 * partial-range (RFC 9394 4): the first-th to the last-th of something, from
 * 1, counted from its end if it was written with "-".
 */
struct imap_partial {
	uint32_t first, last;
	bool from_end;
};
enum parse imap_lex_partial(
    struct imap_lex *lx, struct imap_partial *out) MUST_USE;
/* Leave of a resolved set only those of the range. */
void imap_set_cut(struct imap_set *set, const struct imap_partial *p);

/* Numbers in a resolved set. */
uint32_t imap_set_count(const struct imap_set *set);
/* Whether a resolved set has the number. */
bool imap_set_has(const struct imap_set *set, uint32_t n);
/* The first number in a resolved set that is >= n; 0: none. */
uint32_t imap_set_next(const struct imap_set *set, uint32_t n);

#endif
