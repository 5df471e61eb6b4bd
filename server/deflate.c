/*
 * What goes out needs no memory of what went before: a stream of DEFLATE is a
 * row of blocks, and after a flush to a byte boundary a new compressor may go
 * on with it.  What comes in may refer to the last 32 KiB; a decompressor that
 * stands between two blocks, at a byte boundary, is those bytes and nothing
 * else.  Clients leave it there: they flush what they send.
 */
#include "server/deflate.h"

#include <stdlib.h>
#define ZLIB_CONST /* next_in is not written to */
#include <zlib.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	LEVEL = 4,
	WINDOW_BITS = -15, /* raw */
	/* 64 KiB for a compressor.  With -15 and 8, what zlib proposes, it has
	 * 256 KiB, and mail becomes smaller by a hundredth. */
	OUT_WINDOW_BITS = -13,
	OUT_MEM_LEVEL = 6,
	PIECE = 16 * 1024,
	WINDOW = 32 * 1024,
	BETWEEN_BLOCKS = 128, /* in data_type, see zlib.h at inflate() */
	UNUSED_BITS = 63,
};

struct deflate {
	z_stream out, in;
	bool has_out, has_in;
	bool full;	   /* the last deflate_take() filled its room */
	struct buf window; /* what in may refer to, while it rests */
};

struct deflate *
deflate_new(void)
{
	struct deflate *d = MEM_NEW(struct deflate);

	buf_init(&d->window, WINDOW);
	return d;
}

static void
end_out(struct deflate *d)
{
	if (d->has_out)
		(void)deflateEnd(&d->out);
	d->has_out = false;
}

static void
end_in(struct deflate *d)
{
	if (d->has_in)
		(void)inflateEnd(&d->in);
	d->has_in = false;
}

void
deflate_free(struct deflate **pd)
{
	struct deflate *d = *pd;

	*pd = NULL;
	if (d == NULL)
		return;
	end_out(d);
	end_in(d);
	buf_fini(&d->window);
	free(d);
}

/* --- out ------------------------------------------------------------------ */

void
deflate_put(struct deflate *d, struct slice in, bool flush, struct buf *out)
{
	z_stream *z = &d->out;
	int rc;

	if (!d->has_out) {
		*z = (z_stream){ .zalloc = Z_NULL };
		rc = deflateInit2(z, LEVEL, Z_DEFLATED, OUT_WINDOW_BITS,
		    OUT_MEM_LEVEL, Z_DEFAULT_STRATEGY);
		assert(rc == Z_OK); /* small allocations don't fail */
		d->has_out = true;
	}
	assert(in.n <= UINT32_MAX);
	z->next_in = in.p;
	z->avail_in = (uInt)in.n;
	do {
		uint8_t *to = buf_reserve(out, PIECE);

		if (to == NULL)
			return;
		z->next_out = to;
		z->avail_out = PIECE;
		rc = deflate(z, flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		assert(rc == Z_OK || rc == Z_BUF_ERROR);
		buf_advance(out, PIECE - z->avail_out);
	} while (z->avail_out == 0);
}

void
deflate_flush(struct deflate *d, struct buf *out)
{
	if (d->has_out)
		deflate_put(d, SLICE(""), true, out);
}

/* --- in ------------------------------------------------------------------- */

static void
begin_in(struct deflate *d)
{
	z_stream *z = &d->in;
	struct slice window = buf_slice(&d->window);
	int rc;

	*z = (z_stream){ .zalloc = Z_NULL };
	rc = inflateInit2(z, WINDOW_BITS);
	if (rc == Z_OK && window.n != 0)
		rc = inflateSetDictionary(z, window.p, (uInt)window.n);
	assert(rc == Z_OK);
	d->has_in = true;
	buf_fini(&d->window);
}

int
deflate_take(struct deflate *d, struct buf *in, struct buf *out, size_t room)
{
	z_stream *z = &d->in;
	struct slice s = buf_slice(in);
	uint8_t *to;
	int rc;

	if (room > PIECE)
		room = PIECE;
	to = buf_reserve(out, room);
	if (to == NULL || room == 0)
		return ERR_LIMIT;
	if (!d->has_in)
		begin_in(d);
	z->next_in = s.p;
	z->avail_in = (uInt)s.n;
	z->next_out = to;
	z->avail_out = (uInt)room;
	rc = inflate(z, Z_SYNC_FLUSH);
	buf_advance(out, room - z->avail_out);
	buf_drain(in, s.n - z->avail_in);
	d->full = z->avail_out == 0;
	/* Z_BUF_ERROR: nothing to do for want of input */
	return rc == Z_OK || rc == Z_BUF_ERROR ? 0 : ERR_FORMAT;
}

bool
deflate_pending(const struct deflate *d, const struct buf *in)
{
	return d->full || buf_len(in) != 0;
}

/* --- rest ----------------------------------------------------------------- */

void
deflate_rest(struct deflate *d)
{
	uint8_t *to;
	uInt n = 0;

	end_out(d);
	if (!d->has_in || d->full || (d->in.data_type & BETWEEN_BLOCKS) == 0 ||
	    (d->in.data_type & UNUSED_BITS) != 0 ||
	    inflateGetDictionary(&d->in, Z_NULL, &n) != Z_OK)
		return;
	buf_reset(&d->window);
	to = n != 0 ? buf_reserve(&d->window, n) : NULL;
	if (to != NULL && inflateGetDictionary(&d->in, to, &n) == Z_OK)
		buf_advance(&d->window, n);
	end_in(d);
	buf_trim(&d->window);
}
