/*
 * zip: a session's stream that is compressed (RFC 4978): what waits between
 * the session's buffers and the socket.
 *
 * Layer:  server, uses protocols/session.h.
 * Memory: heap, from zip_new() to zip_free(); the session stays the caller's.
 */
#ifndef SERVER_ZIP_H
#define SERVER_ZIP_H

#include <sys/queue.h>

#include "protocols/session.h"
#include "server/deflate.h"

struct zip {
	TAILQ_ENTRY(zip) link; /* of the worker's */
	struct session *session;
	struct deflate *deflate;
	struct buf in, out; /* compressed: received, to be sent */
	unsigned quiet_ticks;
};

/*
 * Compression begins, as the session has asked for: what is in its out is the
 * last that goes as it is, what is in its in came too early to be anything but
 * compressed.
 */
struct zip *zip_new(struct session *s) MUST_USE;
void zip_free(struct zip **z);

/* Compress the session's output, as long as not much of it waits. */
void zip_compress(struct zip *z);
/* Decompress input, as far as the session has room for it; ERR_FORMAT. */
int zip_decompress(struct zip *z) MUST_USE;
/* Whether zip_decompress() would give something now. */
bool zip_has_input(const struct zip *z);
/* About once a second: give back what a quiet stream needn't hold; whether it
 * did. */
bool zip_tick(struct zip *z);

#endif
