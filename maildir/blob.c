#include "maildir/blob.h"

#include "base/le.h"

uint64_t
blob_sum(struct slice s)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ s.n;

	while (s.n >= 8) {
		h = (h ^ le_get64(s.p)) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
		s = slice_skip(s, 8);
	}
	if (s.n != 0)
		h = (h ^ le_get(s.p, (unsigned)s.n)) * 0xff51afd7ed558ccdu;
	return h ^ h >> 29;
}

void
blob_seal(struct buf *b)
{
	le_put(b, blob_sum(buf_slice(b)), BLOB_SUM_BYTES);
}

bool
blob_open(struct slice *s)
{
	struct slice in = *s;

	if (in.n < BLOB_SUM_BYTES)
		return false;
	in.n -= BLOB_SUM_BYTES;
	if (blob_sum(in) != le_get64(in.p + in.n))
		return false;
	*s = in;
	return true;
}
