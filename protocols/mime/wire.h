/*
 * wire: a stretch of a mail file as it goes over the network.
 *
 * Layer:  protocols/mime, uses base.  Reads through a function given by the
 *         caller; no clock.
 * Memory: a mime_wire lives with the caller and owns nothing; the source must
 *         outlive it.
 *
 * Files keep lines with LF, the wire has CRLF (RFC 5322 2.3, RFC 3501 2.2):
 * an LF without a CR before it is sent as CRLF and counts two.  Every other
 * byte, NUL and lone CR included, is passed on as it is.
 */
#ifndef MIME_WIRE_H
#define MIME_WIRE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"
#include "protocols/mime/message.h"

enum { MIME_READ_SIZE = 64 * 1024 }; /* of one read */

/* --- where the bytes come from ------------------------------------------- */

/*
 * read: like pread(): n bytes at off into to; returns how many, 0 at the end,
 * or -1 with errno set.
 */
struct mime_source {
	ssize_t (*read)(
	    const struct mime_source *src, void *to, size_t n, uint64_t off);
	int fd;		    /* for mime_source_fd */
	struct slice bytes; /* for mime_source_bytes */
};

/* A source that reads an open file; the descriptor stays the caller's. */
struct mime_source mime_source_fd(int fd);
/* A source over bytes in memory. */
struct mime_source mime_source_bytes(struct slice bytes);

/* --- counting ------------------------------------------------------------ */

/* Sizes of bytes fed in pieces; zero it to begin. */
struct mime_count {
	uint64_t len, wire, lines;
	uint8_t last;
};

void mime_count_feed(struct mime_count *c, struct slice in);

/* --- conversion ---------------------------------------------------------- */

enum mime_wire_result {
	MIME_WIRE_MORE = 1, /* call again */
	MIME_WIRE_END = 0,  /* all of it has been put out */
};

/*
 * A place inside of a stretch that was reached, so that the next partial
 * fetch of the same part needn't read from its start.  It's good for the
 * stretch (span.off, span.len) only.
 */
struct mime_wire_mark {
	uint64_t off;  /* of the file */
	uint64_t wire; /* bytes of the stretch before it */
	bool cr;       /* the byte before it is a CR */
	bool lf;       /* an LF is due whose CR went out already */
};

struct mime_wire { /* private */
	const struct mime_source *src;
	uint64_t at, end; /* of the file */
	uint64_t wire;	  /* position in the wire form of the stretch */
	uint64_t skip;	  /* wire bytes still to be passed over */
	uint64_t left;	  /* wire bytes still to be put out */
	bool cr, lf;
};

/*
 * Begin: the stretch is span, which must be right in len and wire.  Wire
 * bytes from (counted from 0) on, at most n of them, are wanted: <from.n> of
 * a partial FETCH, or 0 and UINT64_MAX for all.
 */
void mime_wire_init(struct mime_wire *w, const struct mime_source *src,
    const struct mime_span *span, uint64_t from, uint64_t n);

/* Wire bytes that will still come: known in advance, for the literal. */
uint64_t mime_wire_left(const struct mime_wire *w);

/*
 * Go on from mark instead of the start if it's of use (before `from`).  To be
 * called right after mime_wire_init.
 */
void mime_wire_resume(struct mime_wire *w, const struct mime_wire_mark *mark);
/* The place reached so far. */
struct mime_wire_mark mime_wire_mark(const struct mime_wire *w);

/*
 * Put out the next bytes: one read of at most 64 KiB, at most max wire bytes
 * (max > 0) appended to out.
 *
 * Returns MIME_WIRE_MORE (perhaps with nothing appended, while skipping),
 * MIME_WIRE_END, or negative: ERR_SYS with errno set, ERR_STALE if the file
 * ends before the stretch, ERR_LIMIT if out can't take it.
 */
int mime_wire_step(struct mime_wire *w, struct buf *out, size_t max) MUST_USE;

#endif
