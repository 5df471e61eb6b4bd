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

/* More than is compressed in a piece. */
enum { OUT_MAX = 1 << 20, NOISE = 20000 };

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

/* What is put at once, or piece by piece, comes back; noise can't be
 * compressed. */
static void
put_and_take(struct slice in)
{
	struct deflate *d = deflate_new();
	struct buf all, wire, back;
	uint32_t noise = (uint32_t)in.n;

	buf_init(&all, OUT_MAX);
	buf_init(&wire, 2 * OUT_MAX);
	buf_init(&back, OUT_MAX);
	deflate_rest(d); /* of nothing */
	deflate_flush(d, &wire);
	check(buf_len(&wire) == 0);
	buf_put(&all, in);
	while (slice_has(slice_first(in, 1), '!') && buf_len(&all) < NOISE) {
		noise = noise * 1664525 + 1013904223;
		buf_putc(&all, (uint8_t)(noise >> 24));
	}
	deflate_put(d, buf_slice(&all), false, &wire);
	deflate_put(d, in, false, &wire);
	buf_put(&all, in);
	deflate_flush(d, &wire);
	check(take_all(buf_slice(&wire), SIZE_MAX, NOISE, false, &back) == 0);
	check(slice_eq(buf_slice(&all), buf_slice(&back)) ||
	    buf_len(&back) + NOISE > OUT_MAX);
	buf_fini(&back);
	buf_fini(&wire);
	buf_fini(&all);
	deflate_free(&d);
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
	put_and_take(in);
	buf_fini(&wire);
	buf_fini(&b);
	buf_fini(&a);
	deflate_free(&d);
	return 0;
}
