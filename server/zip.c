#include "server/zip.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
	PIECE = 16 * 1024,
	HIGH = 32 * 1024, /* compressed output that may wait */
	REST_TICKS = 3,
};

struct zip *
zip_new(struct session *s)
{
	struct zip *z = MEM_NEW(struct zip);

	z->session = s;
	z->deflate = deflate_new();
	/* room for what the session holds, and what comes behind */
	buf_init(&z->in, s->in.max + PIECE);
	buf_init(&z->out, s->out.max + (size_t)2 * HIGH);
	buf_put(&z->out, buf_slice(&s->out));
	buf_reset(&s->out);
	buf_put(&z->in, buf_slice(&s->in));
	buf_reset(&s->in);
	s->deflate = SESSION_DEFLATE_ON;
	return z;
}

void
zip_free(struct zip **pz)
{
	struct zip *z = *pz;

	*pz = NULL;
	if (z == NULL)
		return;
	deflate_free(&z->deflate);
	buf_fini(&z->in);
	buf_fini(&z->out);
	free(z);
}

void
zip_compress(struct zip *z)
{
	struct buf *out = &z->session->out;

	while (buf_len(out) != 0 && buf_len(&z->out) < HIGH) {
		struct slice piece = slice_first(buf_slice(out), PIECE);

		deflate_put(
		    z->deflate, piece, piece.n == buf_len(out), &z->out);
		buf_drain(out, piece.n);
		z->quiet_ticks = 0;
	}
}

bool
zip_has_input(const struct zip *z)
{
	return deflate_pending(z->deflate, &z->in) &&
	    session_input_room(z->session) != 0;
}

int
zip_decompress(struct zip *z)
{
	struct session *s = z->session;
	int rc = 0;

	while (rc == 0 && zip_has_input(z)) {
		rc = deflate_take(
		    z->deflate, &z->in, &s->in, session_input_room(s));
		z->quiet_ticks = 0;
	}
	return rc;
}

bool
zip_tick(struct zip *z)
{
	if (++z->quiet_ticks != REST_TICKS)
		return false;
	/* whoever doesn't read what waits needs no compressor either */
	deflate_flush(z->deflate, &z->out);
	deflate_rest(z->deflate);
	buf_trim(&z->in);
	buf_trim(&z->out);
	return true;
}
