#include "maildir/cache_row.h"

#include "base/le.h"
#include "maildir/blob.h"
#include "maildir/chunk.h"

enum { SUM = 8, HEAD = 8, LENGTH = 4 };

void
cache_row_init(struct cache_row *r)
{
	*r = (struct cache_row){ .have = 0 };
	/* as much again may be outdated */
	buf_init(&r->bytes, (size_t)2 * CACHE_ROW_MAX);
}

void
cache_row_fini(struct cache_row *r)
{
	buf_fini(&r->bytes);
}

static bool
is_there(const struct cache_row *r, uint32_t i)
{
	return (r->have >> i & 1) != 0;
}

/* The lengths, from the packed form; false: they can't be. */
static bool
read_lengths(struct cache_row *r, struct slice *rest, uint64_t have)
{
	size_t total = 0;

	for (uint32_t i = 0; i < CACHE_ROW_ENTRIES; i++) {
		if ((have >> i & 1) == 0)
			continue;
		if (rest->n < LENGTH)
			return false;
		r->at[i] = (uint32_t)total;
		r->n[i] = le_get32(rest->p);
		if (r->n[i] > CACHE_ENTRY_MAX)
			return false;
		total += r->n[i];
		*rest = slice_skip(*rest, LENGTH);
	}
	return rest->n == total && total <= CACHE_ROW_MAX;
}

void
cache_row_unpack(struct cache_row *r, struct slice packed, uint64_t salt)
{
	struct slice rest;
	uint64_t have;

	if (packed.n < HEAD + SUM)
		return;
	packed.n -= SUM;
	if (le_get64(packed.p + packed.n) != (blob_sum(packed) ^ salt))
		return;
	have = le_get64(packed.p);
	rest = slice_skip(packed, HEAD);
	if (!read_lengths(r, &rest, have))
		return;
	buf_reset(&r->bytes);
	buf_put(&r->bytes, rest);
	r->have = have;
	r->live = rest.n;
}

void
cache_row_pack(const struct cache_row *r, uint64_t salt, struct buf *out)
{
	struct slice entry;

	buf_reset(out);
	le_put(out, r->have, HEAD);
	for (uint32_t i = 0; i < CACHE_ROW_ENTRIES; i++)
		if (is_there(r, i))
			le_put(out, r->n[i], LENGTH);
	for (uint32_t i = 0; i < CACHE_ROW_ENTRIES; i++)
		if (cache_row_get(r, i, &entry))
			buf_put(out, entry);
	le_put(out, blob_sum(buf_slice(out)) ^ salt, SUM);
}

bool
cache_row_get(const struct cache_row *r, uint32_t i, struct slice *out)
{
	if (!is_there(r, i))
		return false;
	*out = slice_first(slice_skip(buf_slice(&r->bytes), r->at[i]), r->n[i]);
	return true;
}

/* Move the entries together; what was replaced goes. */
static void
squeeze(struct cache_row *r)
{
	struct cache_row old = *r;
	struct slice entry;

	buf_init(&r->bytes, old.bytes.max);
	for (uint32_t i = 0; i < CACHE_ROW_ENTRIES; i++) {
		if (!cache_row_get(&old, i, &entry))
			continue;
		r->at[i] = (uint32_t)buf_len(&r->bytes);
		buf_put(&r->bytes, entry);
	}
	cache_row_fini(&old);
}

bool
cache_row_put(struct cache_row *r, uint32_t i, struct slice bytes)
{
	size_t was = is_there(r, i) ? r->n[i] : 0;

	if (bytes.n > CACHE_ENTRY_MAX ||
	    r->live - was + bytes.n > CACHE_ROW_MAX)
		return false;
	if (buf_len(&r->bytes) + bytes.n > r->bytes.max)
		squeeze(r);
	r->at[i] = (uint32_t)buf_len(&r->bytes);
	r->n[i] = (uint32_t)bytes.n;
	buf_put(&r->bytes, bytes);
	r->have |= UINT64_C(1) << i;
	r->live += bytes.n - was;
	return true;
}
