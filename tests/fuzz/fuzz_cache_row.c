/*
 * Rows of postern.cache, from any bytes and from any changes.
 *
 * Checked: what is unpacked lies within the row; a row that is filled in any
 * way packs and unpacks to the same.
 */
#include <stdlib.h>

#include "base/le.h"
#include "maildir/blob.h"
#include "maildir/cache_row.h"
#include "maildir/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
same(const struct cache_row *a, const struct cache_row *b)
{
	struct slice x, y;

	check(a->have == b->have && a->live == b->live);
	for (uint32_t i = 0; i < CACHE_ROW_ENTRIES; i++) {
		bool there = cache_row_get(a, i, &x);

		check(there == cache_row_get(b, i, &y));
		check(!there || slice_eq(x, y));
	}
}

static void
pack_and_unpack(const struct cache_row *r)
{
	struct cache_row back;
	struct buf packed;

	buf_init(&packed, CACHE_ROW_PACKED_MAX);
	cache_row_pack(r, 7, &packed);
	check(buf_ok(&packed));
	cache_row_init(&back);
	cache_row_unpack(&back, buf_slice(&packed), 8);
	check(back.have == 0);
	cache_row_unpack(&back, buf_slice(&packed), 7);
	same(r, &back);
	cache_row_fini(&back);
	buf_fini(&packed);
}

/* As packed bytes, with the sum put right. */
static void
as_packed(struct slice in)
{
	struct cache_row r;
	struct buf b;

	buf_init(&b, in.n + 8);
	buf_put(&b, in);
	le_put(&b, blob_sum(in) ^ 7, 8);
	cache_row_init(&r);
	cache_row_unpack(&r, buf_slice(&b), 7);
	pack_and_unpack(&r);
	cache_row_fini(&r);
	buf_fini(&b);
}

/* As a row of changes: which entry, how many bytes. */
static void
as_changes(struct slice in)
{
	static const uint8_t bytes[CACHE_ENTRY_MAX + 1];
	struct cache_row r;
	struct slice got;

	cache_row_init(&r);
	for (size_t at = 0; at + 3 <= in.n; at += 3) {
		uint32_t i = in.p[at] % CACHE_ROW_ENTRIES;
		size_t n =
		    ((size_t)in.p[at + 1] << 8 | in.p[at + 2]) % sizeof(bytes);

		if (cache_row_put(&r, i, slice_of(bytes, n)))
			check(cache_row_get(&r, i, &got) && got.n == n);
		check(r.live <= CACHE_ROW_MAX && buf_ok(&r.bytes));
	}
	pack_and_unpack(&r);
	cache_row_fini(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_packed(slice_of(data, size));
	as_changes(slice_of(data, size));
	return 0;
}
