/*
 * buf: bytes that grow up to a maximum, with a sticky error.
 *
 * Layer:  base, uses slice, mem.
 * Invariants: n <= cap <= max; once an append would pass max nothing more is
 *         ever appended and failed stays set until buf_reset().  So append
 *         freely and test buf_ok() once at the end.
 * Memory: the struct is the caller's, the bytes are the buf's.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/defs.h"
#include "base/slice.h"

struct buf {
	uint8_t *p;
	size_t n;   /* bytes held */
	size_t off; /* bytes taken off the front, not yet moved over */
	size_t cap;
	size_t max;
	bool failed;
	bool secret; /* what it held is wiped: buf_init_secret() */
};

/* An empty buf that will hold at most max bytes; allocates nothing. */
void buf_init(struct buf *b, size_t max);
/*
 * The same for passwords and keys: wherever the bytes were is wiped when they
 * are moved, and when the buf is emptied by buf_reset() or released.
 */
void buf_init_secret(struct buf *b, size_t max);
/* Release the bytes; the buf is as after buf_init, or buf_init_secret. */
void buf_fini(struct buf *b);
/* Empty it and clear the error; keeps the memory. */
void buf_reset(struct buf *b);
/* Give memory that isn't needed back; an empty buf then holds none. */
void buf_trim(struct buf *b);

void buf_puts(struct buf *b, const char *s);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vputf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Decimal digits of v: what buf_putf("%llu") gives, several times faster. */
void buf_putu(struct buf *b, uint64_t v);
/* Two hexadecimal digits, in lower case, for each byte. */
void buf_put_hex(struct buf *b, struct slice s);

/*
 * Room for n more bytes to be written at the returned place, then
 * buf_advance(b, written).  NULL, and failed set, when max would be passed.
 */
uint8_t *buf_reserve(struct buf *b, size_t n) MUST_USE;
void buf_advance(struct buf *b, size_t n);

static inline void
buf_put(struct buf *b, struct slice s)
{
	uint8_t *to;

	if (s.n == 0)
		return;
	to = !b->failed && s.n <= b->cap - b->n ? b->p + b->n
						: buf_reserve(b, s.n);
	if (to == NULL)
		return;
	memcpy(to, s.p, s.n);
	b->n += s.n;
}

static inline void
buf_putc(struct buf *b, uint8_t c)
{
	buf_put(b, slice_of(&c, 1));
}

/* Take n bytes off the front (n <= length). */
void buf_drain(struct buf *b, size_t n);
/* Cut it to its first n bytes (n <= length). */
void buf_truncate(struct buf *b, size_t n);

static inline bool
buf_ok(const struct buf *b)
{
	return !b->failed;
}

static inline size_t
buf_len(const struct buf *b)
{
	return b->n - b->off;
}

/* What it holds, borrowed until the next change. */
static inline struct slice
buf_slice(const struct buf *b)
{
	return slice_of(b->n != 0 ? b->p + b->off : NULL, b->n - b->off);
}

/* A NUL-terminated view of it; "" when it has failed, as it does here when max
 * leaves no room for the NUL. */
const char *buf_cstr(struct buf *b);

#endif
