/*
 * imap_node_table: nodes of THREAD by id, or by subject.
 *
 * Layer:  protocols/imap.
 * Memory: shared.h; released by imap_node_table_fini().
 * Time:   O(1) a call.  A table that is full is not gone through at once,
 *         which with millions of ids would take a tenth of a second: each
 *         call moves a few places.
 *
 * Keys are hashes of what strangers wrote; where they go is random.
 */
#ifndef IMAP_NODE_TABLE_H
#define IMAP_NODE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

/* The key of a node that is in the table. */
typedef uint64_t imap_node_key(const void *arg, uint32_t node);

struct imap_node_table { /* private */
	uint32_t *v;	 /* open addressing; 0: free */
	size_t size, used;
	uint32_t *old; /* what v takes the place of, up to moved; or NULL */
	size_t old_size, moved;
	uint64_t seed[3];
	imap_node_key *key;
	const void *arg;
};

void imap_node_table_init(
    struct imap_node_table *h, imap_node_key *key, const void *arg);
void imap_node_table_fini(struct imap_node_table *h);

/* While it is empty: room for so many.  False: too much for the shared
 * memory. */
bool imap_node_table_expect(struct imap_node_table *h, size_t n) MUST_USE;
/*
 * The place of the node with a key, or the free one, 0, where it belongs, for
 * the caller to fill, saying so by imap_node_table_added(); it may put another
 * node of the same key into a place that is taken.  Good until the next call.
 * NULL: too much for the shared memory.
 */
uint32_t *imap_node_table_place(
    struct imap_node_table *h, uint64_t key) MUST_USE;
void imap_node_table_added(struct imap_node_table *h);

#endif
