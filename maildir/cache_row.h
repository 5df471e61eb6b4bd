/*
 * cache_row: what postern.cache holds of one kind for some neighbouring UIDs.
 *
 * Layer:  maildir, uses base.
 * Memory: the struct is the caller's, the bytes are the row's.
 * On disk, integers little-endian: the bits of have in 8 bytes, for each entry
 * that is there its length in 4, the entries, a check sum of 8 bytes.
 */
#ifndef MAILDIR_CACHE_ROW_H
#define MAILDIR_CACHE_ROW_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
	CACHE_ROW_ENTRIES = 64,
	CACHE_ENTRY_MAX = 16 * 1024,
	CACHE_ROW_MAX = 128 * 1024, /* bytes of all entries */
	CACHE_ROW_PACKED_MAX = CACHE_ROW_MAX + 8 + 4 * CACHE_ROW_ENTRIES + 8,
};

struct cache_row {
	uint64_t have; /* bit by bit, which entries are there */
	uint32_t at[CACHE_ROW_ENTRIES], n[CACHE_ROW_ENTRIES];
	size_t live; /* bytes of the entries; bytes may hold outdated ones */
	struct buf bytes;
};

void cache_row_init(struct cache_row *r);
void cache_row_fini(struct cache_row *r);

/*
 * Fill an empty row from what cache_row_pack() gave with the same salt; it
 * stays empty if that isn't what it is.
 */
void cache_row_unpack(struct cache_row *r, struct slice packed, uint64_t salt);
/* Replace what out holds; CACHE_ROW_PACKED_MAX is enough. */
void cache_row_pack(const struct cache_row *r, uint64_t salt, struct buf *out);

/* The ith entry, borrowed until the next change; false if it isn't there. */
bool cache_row_get(const struct cache_row *r, uint32_t i, struct slice *out);
/* Set it; false, with nothing changed, when it or the row gets too large. */
bool cache_row_put(struct cache_row *r, uint32_t i, struct slice bytes);

#endif
