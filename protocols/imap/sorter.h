/*
 * imap_sorter: puts numbered things in the order of one key, in steps.
 *
 * Layer:  protocols/imap, uses base.
 * Memory: shared.h; released by imap_sorter_fini().
 * Time:   O(n log n) comparisons of texts, O(n) for numbers, in pieces of any
 *         size.
 *
 * A sort by several keys is one run for each, the last key first: things that
 * are equal stay in the order of the run before.
 */
#ifndef IMAP_SORTER_H
#define IMAP_SORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

struct imap_sort_entry {
	uint64_t key[2]; /* the number, or the first bytes of the text */
	uint32_t item;	 /* 0 … n-1 */
	uint32_t text;	 /* where it begins */
};

struct imap_sorter { /* private */
	struct imap_sort_entry *v, *to;
	size_t n, cap, cap_to;
	uint8_t *texts; /* each: length in 4 bytes, bytes */
	size_t n_texts, cap_texts;
	/* of an item in the run before; NULL: its number */
	uint32_t *rank;
	size_t n_rank, cap_rank;
	bool reverse, by_text;
	/* numbers, digit by digit: where in the key it is, how many have it,
	 * then where the next one goes */
	uint64_t first, differ; /* bits in which keys differ from the first */
	unsigned shift;
	uint32_t *places;
	size_t cap_places, at;
	bool counted;
	/* the merge under way */
	size_t width, low, left, right, out;
	bool merging;
};

void imap_sorter_init(struct imap_sorter *s);
void imap_sorter_fini(struct imap_sorter *s);

/*
 * Begin a run; the order of the run before, which had as many items, decides
 * between equals.
 */
bool imap_sorter_begin(
    struct imap_sorter *s, bool by_text, bool reverse) MUST_USE;
/*
 * The key of the next item: they come in the order of their numbers, 0, 1, …
 * False: too much for the shared memory.
 */
bool imap_sorter_number(struct imap_sorter *s, int64_t key) MUST_USE;
bool imap_sorter_text(struct imap_sorter *s, struct slice key) MUST_USE;
/*
 * Sort, at most about so many steps, each a comparison of texts that aren't
 * long: 1 when it's done, 0 when there is
 * more to do, ERR_LIMIT.
 */
int imap_sorter_run(struct imap_sorter *s, size_t work) MUST_USE;
/* The item at a place (0 … n-1) of the order. */
uint32_t imap_sorter_item(const struct imap_sorter *s, size_t place);
/* Whether the texts at a place and at the one before it are the same; after a
 * run by texts. */
bool imap_sorter_same(const struct imap_sorter *s, size_t place);
size_t imap_sorter_count(const struct imap_sorter *s);

#endif
