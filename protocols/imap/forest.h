/*
 * imap_forest: trees that are cut and joined, with the question whether a join
 * would make a loop.
 *
 * Layer:  protocols/imap.
 * Memory: shared.h; released by imap_forest_fini().
 * Time:   O(log n) a call, over many; no recursion.
 *
 * Nodes are numbers from 1; 0 is none.
 */
#ifndef IMAP_FOREST_H
#define IMAP_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

struct imap_forest_node {
	uint32_t parent;       /* in the tree; 0: a root */
	uint32_t up, child[2]; /* in the splay trees of paths */
	bool has_children;     /* had some once */
};

struct imap_forest {
	struct imap_forest_node *v;
	size_t n, cap; /* nodes and 0 */
};

void imap_forest_init(struct imap_forest *f);
void imap_forest_fini(struct imap_forest *f);

/* A new root; 0: too much for the shared memory. */
uint32_t imap_forest_add(struct imap_forest *f) MUST_USE;
uint32_t imap_forest_parent(const struct imap_forest *f, uint32_t node);
/* Make parent the parent of a root; false: it is a descendant of it. */
bool imap_forest_join(struct imap_forest *f, uint32_t root, uint32_t parent);
/* Make a node a root, with all that is below it. */
void imap_forest_cut(struct imap_forest *f, uint32_t node);

#endif
