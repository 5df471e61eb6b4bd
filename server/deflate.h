/*
 * deflate: both directions of a stream that is compressed by DEFLATE.
 * RFC 1951, RFC 4978.
 *
 * Layer:  server, uses base and zlib.  No socket.
 * Memory: while it works, some 110 KiB; deflate_rest() leaves what the peer's
 *         next bytes may refer to, at most 32 KiB and mostly much less.
 *
 * What comes out of few bytes may be much: deflate_take() gives only as much
 * as there is room for, and the rest stays compressed.
 */
#ifndef SERVER_DEFLATE_H
#define SERVER_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/defs.h"

struct deflate;

struct deflate *deflate_new(void) MUST_USE;
void deflate_free(struct deflate **d);

/*
 * Compress all of in and append it to out; flush: so that the peer can read
 * all of it now.
 */
void deflate_put(
    struct deflate *d, struct slice in, bool flush, struct buf *out);

/* The same of what was put without flush. */
void deflate_flush(struct deflate *d, struct buf *out);

/*
 * Take compressed bytes from the front of in and append what they are to out,
 * at most room bytes (1 or more).  0; ERR_FORMAT: that isn't DEFLATE, or the
 * peer has ended its stream.
 */
int deflate_take(
    struct deflate *d, struct buf *in, struct buf *out, size_t room) MUST_USE;
/* Whether deflate_take() may give more although nothing came. */
bool deflate_pending(const struct deflate *d, const struct buf *in);

/* Nothing is going on, and all is flushed: give memory back, until the next
 * call. */
void deflate_rest(struct deflate *d);

#endif
