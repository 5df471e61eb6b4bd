/*
 * The blobs of a chunk, in either form, from any bytes.
 *
 * Checked: what is decoded is written and decoded to the same; blobs whose sums
 * are wrong aren't decoded.
 * Input: a byte, whose lowest bits say which blobs are packed, and the next
 * ones which have a wrong sum, the two highest ones together which one has
 * none; lengths of the first two, 2 bytes each; the three blobs without their
 * sums.
 */
#include <stdlib.h>

#include "base/le.h"
#include "maildir/blob.h"
#include "maildir/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
same(const struct chunk *a, const struct chunk *b)
{
	check(a->n == b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		const struct fixed *x = chunk_fixed(a, i);
		const struct fixed *y = chunk_fixed(b, i);

		check(chunk_uid(a, i) == chunk_uid(b, i) &&
		    chunk_message(a, i)->flags == chunk_message(b, i)->flags &&
		    chunk_message(a, i)->keywords ==
			chunk_message(b, i)->keywords &&
		    chunk_message(a, i)->modseq ==
			chunk_message(b, i)->modseq &&
		    chunk_place(a, i) == chunk_place(b, i));
		check(x->internal_ms == y->internal_ms &&
		    x->save_ms == y->save_ms && x->file_size == y->file_size &&
		    x->wire_size == y->wire_size && x->ending == y->ending &&
		    x->header == y->header && x->email_id == y->email_id);
		check(slice_eq(chunk_base(a, i), chunk_base(b, i)) &&
		    slice_eq(chunk_odd(a, i), chunk_odd(b, i)));
	}
}

static void
write_and_read(const struct chunk *c)
{
	struct buf blobs[3];
	struct chunk *back;

	for (int k = 0; k < 3; k++)
		buf_init(&blobs[k], CHUNK_BLOB_MAX);
	chunk_encode_fixed(c, &blobs[0]);
	chunk_encode_names(c, &blobs[1]);
	chunk_encode_state(c, &blobs[2]);
	for (int k = 0; k < 3; k++)
		check(buf_ok(&blobs[k]));
	back = chunk_decode(c->first, buf_slice(&blobs[0]),
	    buf_slice(&blobs[1]), buf_slice(&blobs[2]));
	check(back != NULL);
	same(c, back);
	chunk_unref(&back);
	for (int k = 0; k < 3; k++)
		buf_fini(&blobs[k]);
}

/* Whether bytes end in the right sum, of either form, by the fuzzer's luck. */
static bool
has_sum(struct slice s)
{
	uint64_t sum, end;

	if (s.n < BLOB_SUM_BYTES)
		return false;
	s.n -= BLOB_SUM_BYTES;
	sum = blob_sum(s);
	end = le_get64(s.p + s.n);
	return end == sum || end == ~sum;
}

/* Append a blob's sum, as the first byte says; false: it is no good one. */
static bool
seal(struct buf *blob, unsigned how, unsigned k)
{
	const uint64_t sum = blob_sum(buf_slice(blob));
	const bool packed = (how >> k & 1) != 0, wrong = (how >> k & 8) != 0;
	struct slice s;

	if (how >> 6 == k + 1)
		return has_sum(buf_slice(blob));
	le_put(blob, (packed ? ~sum : sum) ^ wrong, BLOB_SUM_BYTES);
	s = buf_slice(blob);
	check(blob_open(&s) == (!packed && !wrong));
	return !wrong;
}

/* Names that are none leave a chunk as it was, which can get others. */
static void
set_bad_names(struct slice fixed, struct slice names, struct slice state)
{
	struct chunk *c = chunk_decode_nameless(1, fixed, state);

	if (c == NULL)
		return;
	check(!chunk_set_names(c, names));
	check(!chunk_has_names(c));
	check(!chunk_set_names(c, names));
	chunk_unref(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct buf blobs[3];
	struct chunk *c;
	size_t n[3];
	unsigned how;
	bool good = true;

	if (in.n < 5)
		return 0;
	how = in.p[0];
	n[0] = (size_t)le_get(in.p + 1, 2);
	n[1] = (size_t)le_get(in.p + 3, 2);
	in = slice_skip(in, 5);
	for (unsigned k = 0; k < 3; k++) {
		struct slice part =
		    k < 2 && n[k] < in.n ? slice_first(in, n[k]) : in;

		buf_init(&blobs[k], part.n + BLOB_SUM_BYTES);
		buf_put(&blobs[k], part);
		good = seal(&blobs[k], how, k) && good;
		in = slice_skip(in, part.n);
	}
	c = chunk_decode(1, buf_slice(&blobs[0]), buf_slice(&blobs[1]),
	    buf_slice(&blobs[2]));
	check(c == NULL || good);
	if (c != NULL)
		write_and_read(c);
	else
		set_bad_names(buf_slice(&blobs[0]), buf_slice(&blobs[1]),
		    buf_slice(&blobs[2]));
	chunk_unref(&c);
	for (unsigned k = 0; k < 3; k++)
		buf_fini(&blobs[k]);
	return 0;
}
