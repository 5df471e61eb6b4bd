/*
 * A compressed stream from a client: any bytes, in pieces of any size, with
 * rests between them.
 *
 * Checked: it ends; what comes out never exceeds the room; rests change
 * nothing; what is compressed here comes back.
 */
#include <stdlib.h>

#include "server/deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 20 };

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* All that comes of it, up to OUT_MAX bytes; returns the last result. */
static int
take_all(struct slice in, size_t piece, size_t room, bool rest, struct buf *out)
{
	struct deflate *d = deflate_new();
	struct buf wire;
	int rc = 0;

	buf_init(&wire, in.n + 1);
	while (rc == 0 && in.n != 0 && buf_len(out) + room <= OUT_MAX) {
		struct slice s = slice_first(in, piece);

		in = slice_skip(in, s.n);
		buf_put(&wire, s);
		while (rc == 0 && deflate_pending(d, &wire) &&
		    buf_len(out) + room <= OUT_MAX) {
			size_t before = buf_len(out);

			rc = deflate_take(d, &wire, out, room);
			check(buf_len(out) - before <= room);
		}
		if (rest)
			deflate_rest(d);
	}
	buf_fini(&wire);
	deflate_free(&d);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct deflate *d = deflate_new();
	struct buf a, b, wire;
	int ra, rb;

	buf_init(&a, OUT_MAX);
	buf_init(&b, OUT_MAX);
	buf_init(&wire, 2 * size + 100000);
	ra = take_all(in, size + 1, 4096, false, &a);
	rb = take_all(in, 1 + size / 7, 4096, true, &b);
	check(slice_eq(slice_first(buf_slice(&a), buf_len(&b)),
	    slice_first(buf_slice(&b), buf_len(&a))));
	check(ra == rb || buf_len(&a) + 4096 > OUT_MAX ||
	    buf_len(&b) + 4096 > OUT_MAX);
	buf_reset(&a);
	for (struct slice s = in; s.n != 0; s = slice_skip(s, 100))
		deflate_put(
		    d, slice_first(s, 100), s.n % 3 == 0 || s.n <= 100, &wire);
	check(take_all(buf_slice(&wire), 50, 999, true, &a) == 0);
	check(slice_eq(
	    slice_first(buf_slice(&a), size), slice_first(in, buf_len(&a))));
	buf_fini(&wire);
	buf_fini(&b);
	buf_fini(&a);
	deflate_free(&d);
	return 0;
}
