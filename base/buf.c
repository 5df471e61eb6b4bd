#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { FIRST_CAP = 64 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_init_secret(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max, .secret = true };
}

static void
wipe(struct buf *b)
{
	if (b->secret && b->p != NULL)
		explicit_bzero(b->p, b->cap);
}

/* The n bytes in a block of cap bytes. */
static void
resize(struct buf *b, size_t n, size_t cap)
{
	uint8_t *p;

	if (!b->secret) {
		b->p = mem_realloc(b->p, cap, 1);
	} else {
		/* realloc() may leave them behind */
		p = mem_alloc(cap);
		if (n != 0)
			memcpy(p, b->p, n);
		wipe(b);
		free(b->p);
		b->p = p;
	}
	b->cap = cap;
}

void
buf_fini(struct buf *b)
{
	wipe(b);
	free(b->p);
	*b = (struct buf){ .max = b->max, .secret = b->secret };
}

void
buf_reset(struct buf *b)
{
	wipe(b);
	b->n = b->off = 0;
	b->failed = false;
}

void
buf_trim(struct buf *b)
{
	size_t n = buf_len(b);

	if (n == 0) {
		bool failed = b->failed;
		buf_fini(b);
		b->failed = failed;
		return;
	}
	if (b->off != 0)
		memmove(b->p, b->p + b->off, n);
	b->n = n;
	b->off = 0;
	resize(b, n, n);
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b), cap;

	if (b->failed || n > b->max || len > b->max - n) {
		b->failed = true;
		return NULL;
	}
	if (b->cap - b->n >= n)
		return b->p + b->n;
	if (b->off != 0) {
		memmove(b->p, b->p + b->off, len);
		if (b->secret)
			explicit_bzero(b->p + len, b->off);
		b->n = len;
		b->off = 0;
		if (b->cap - b->n >= n)
			return b->p + b->n;
	}
	cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
	while (cap < len + n)
		cap += cap / 2;
	if (cap > b->max)
		cap = b->max;
	resize(b, len, cap);
	return b->p + b->n;
}

void
buf_advance(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->n);
	b->n += n;
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_put(b, slice_str(s));
}

void
buf_vputf(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	uint8_t *to;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0)
		b->failed = true;
	else if ((size_t)n < sizeof(small))
		buf_put(b, slice_of(small, (size_t)n));
	else if ((to = buf_reserve(b, (size_t)n + 1)) != NULL) {
		(void)vsnprintf((char *)to, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void
buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vputf(b, fmt, ap);
	va_end(ap);
}

static unsigned
digits_of(uint64_t v)
{
	unsigned n = 1;

	for (uint64_t power = 10; n < 20 && v >= power; power *= 10)
		n++;
	return n;
}

/* Written from its end, where it stays. */
void
buf_putu(struct buf *b, uint64_t v)
{
	unsigned n = digits_of(v);
	uint8_t *to = buf_reserve(b, n);

	if (to == NULL)
		return;
	b->n += n;
	do {
		to[--n] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (n != 0);
}

void
buf_put_hex(struct buf *b, struct slice s)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *to = buf_reserve(b, 2 * s.n);

	if (to == NULL)
		return;
	for (size_t i = 0; i < s.n; i++) {
		*to++ = (uint8_t)digits[s.p[i] >> 4];
		*to++ = (uint8_t)digits[s.p[i] & 15];
	}
	b->n += 2 * s.n;
}

void
buf_drain(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->off += n;
	if (b->off == b->n)
		b->off = b->n = 0;
}

void
buf_truncate(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->n = b->off + n;
	if (n == 0)
		b->off = b->n = 0;
}

const char *
buf_cstr(struct buf *b)
{
	uint8_t *end = buf_reserve(b, 1);

	if (end == NULL)
		return "";
	*end = '\0';
	return (const char *)b->p + b->off;
}
