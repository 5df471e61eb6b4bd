#include "base/utf7.h"

#include <stdint.h>

#include "base/base64.h"

/*
 * Take one character off the front of *s into *c; false: none is there, or
 * not UTF-8.
 */
static bool
take_utf8(struct slice *s, uint32_t *c)
{
	static const uint32_t lowest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t v;
	size_t n;

	if (s->n == 0)
		return false;
	v = s->p[0];
	n = v < 0x80 ? 1 : v < 0xc0 ? 0 : v < 0xe0 ? 2 : v < 0xf0 ? 3 : 4;
	if (n == 0 || v > 0xf4 || n > s->n)
		return false;
	if (n > 1)
		v &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((s->p[i] & 0xc0) != 0x80)
			return false;
		v = v << 6 | (s->p[i] & 0x3f);
	}
	if (v < lowest[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return false;
	*c = v;
	*s = slice_skip(*s, n);
	return true;
}

static void
put_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80)
		buf_putc(out, (uint8_t)c);
	else if (c < 0x800)
		buf_putc(out, (uint8_t)(0xc0 | c >> 6));
	else if (c < 0x10000)
		buf_putc(out, (uint8_t)(0xe0 | c >> 12));
	else
		buf_putc(out, (uint8_t)(0xf0 | c >> 18));
	if (c >= 0x10000)
		buf_putc(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
	if (c >= 0x800)
		buf_putc(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
	if (c >= 0x80)
		buf_putc(out, (uint8_t)(0x80 | (c & 0x3f)));
}

/* RFC 3501 5.1.3: printable US-ASCII stands for itself. */
static bool
is_printable(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

bool
utf8_valid(struct slice s)
{
	uint32_t c;

	while (s.n != 0)
		if (!take_utf8(&s, &c))
			return false;
	return true;
}

/* The value of a character of the modified alphabet (',' for '/'), or -1. */
static int
modified_value(uint8_t c)
{
	return c == ',' ? 63 : c == '/' ? -1 : base64_value(c);
}

/*
 * One UTF-16 unit of a shifted sequence.  *high: a surrogate that waits for
 * its second half, or 0.
 */
static bool
put_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
	if (*high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
		put_utf8(
		    out, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
		*high = 0;
		return true;
	}
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return false;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		*high = unit;
		return true;
	}
	if (is_printable(unit))
		return false;
	put_utf8(out, unit);
	return true;
}

/* What stands between '&' and '-', which is not empty. */
static bool
put_shifted(struct buf *out, struct slice in)
{
	uint32_t bits = 0, high = 0;
	int n_bits = 0;

	if (in.n < 3)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		int v = modified_value(in.p[i]);

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		n_bits += 6;
		if (n_bits < 16)
			continue;
		n_bits -= 16;
		if (!put_unit(out, bits >> n_bits & 0xffff, &high))
			return false;
		bits &= (1u << n_bits) - 1;
	}
	/* what fills the last character up must be less than one, and zero */
	return high == 0 && n_bits < 6 && bits == 0;
}

static bool
decode(struct slice in, struct buf *out)
{
	bool after_shift = false;

	while (in.n != 0) {
		size_t n;

		if (!is_printable(in.p[0]))
			return false;
		if (in.p[0] != '&') {
			buf_putc(out, in.p[0]);
			in = slice_skip(in, 1);
			after_shift = false;
			continue;
		}
		in = slice_skip(in, 1);
		if ((n = slice_find(in, '-')) == in.n)
			return false;
		if (n == 0)
			buf_putc(out, '&');
		else if (after_shift || !put_shifted(out, slice_first(in, n)))
			return false;
		after_shift = n != 0;
		in = slice_skip(in, n + 1);
	}
	return buf_ok(out);
}

bool
utf7_to_utf8(struct slice in, struct buf *out)
{
	size_t before = buf_len(out);

	if (buf_ok(out) && decode(in, out))
		return true;
	buf_truncate(out, before);
	return false;
}

struct shift {
	bool on;
	uint32_t bits;
	int n_bits;
};

static void
put_modified(struct buf *out, uint32_t v)
{
	uint8_t c = base64_alphabet[v & 63];

	buf_putc(out, c == '/' ? ',' : c);
}

static void
shift_put(struct shift *sh, struct buf *out, uint32_t unit)
{
	if (!sh->on)
		buf_putc(out, '&');
	sh->on = true;
	sh->bits = sh->bits << 16 | unit;
	for (sh->n_bits += 16; sh->n_bits >= 6; sh->n_bits -= 6)
		put_modified(out, sh->bits >> (sh->n_bits - 6));
	sh->bits &= (1u << sh->n_bits) - 1;
}

static void
shift_end(struct shift *sh, struct buf *out)
{
	if (!sh->on)
		return;
	if (sh->n_bits != 0)
		put_modified(out, sh->bits << (6 - sh->n_bits));
	buf_putc(out, '-');
	*sh = (struct shift){ 0 };
}

static bool
encode(struct slice in, struct buf *out)
{
	struct shift sh = { 0 };

	while (in.n != 0) {
		uint32_t c;

		if (!take_utf8(&in, &c))
			return false;
		if (is_printable(c)) {
			shift_end(&sh, out);
			buf_putc(out, (uint8_t)c);
			if (c == '&')
				buf_putc(out, '-');
		} else if (c < 0x10000) {
			shift_put(&sh, out, c);
		} else {
			c -= 0x10000;
			shift_put(&sh, out, 0xd800 + (c >> 10));
			shift_put(&sh, out, 0xdc00 + (c & 0x3ff));
		}
	}
	shift_end(&sh, out);
	return buf_ok(out);
}

bool
utf8_to_utf7(struct slice in, struct buf *out)
{
	size_t before = buf_len(out);

	if (buf_ok(out) && encode(in, out))
		return true;
	buf_truncate(out, before);
	return false;
}
