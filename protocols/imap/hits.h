/*
 * imap_hits: which messages of a view a search has found.
 *
 * Layer:  protocols/imap, uses base.
 * Memory: one bit for each message of the view, on the heap.
 */
#ifndef IMAP_HITS_H
#define IMAP_HITS_H

#include <stdbool.h>
#include <stdint.h>

struct imap_hits {
	uint64_t *bits;
	uint32_t n_all; /* messages of the view */
	uint32_t n;	/* of them found */
};

/* For a view of so many messages. */
void imap_hits_init(struct imap_hits *h, uint32_t n_all);
void imap_hits_fini(struct imap_hits *h);
/* Add a sequence number (1 … n_all) that isn't there yet. */
void imap_hits_add(struct imap_hits *h, uint32_t seq);
/* The first number found that is >= seq; 0: none. */
uint32_t imap_hits_next(const struct imap_hits *h, uint32_t seq);
/* The last number found that is <= seq; 0: none. */
uint32_t imap_hits_last(const struct imap_hits *h, uint32_t seq);
/*
 * The k-th one (1 … n) from the front or from the end; 0: there aren't so
 * many.
 */
uint32_t imap_hits_nth(const struct imap_hits *h, uint32_t k, bool from_end);

#endif
