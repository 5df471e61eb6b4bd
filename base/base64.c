#include "base/base64.h"

const uint8_t base64_alphabet[64] = { 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H',
	'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V',
	'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j',
	'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x',
	'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/' };

int
base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t
base64_encoded_len(size_t n)
{
	size_t len, groups = n / 3 + (n % 3 != 0);

	return __builtin_mul_overflow(groups, (size_t)4, &len) ? SIZE_MAX : len;
}

void
base64_encode(struct slice in, struct buf *out)
{
	size_t i, left = in.n % 3;
	uint8_t *to;

	if (in.n == 0 ||
	    (to = buf_reserve(out, base64_encoded_len(in.n))) == NULL)
		return;
	for (i = 0; i < in.n - left; i += 3) {
		uint32_t v = (uint32_t)in.p[i] << 16 |
		    (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];
		*to++ = base64_alphabet[v >> 18];
		*to++ = base64_alphabet[v >> 12 & 63];
		*to++ = base64_alphabet[v >> 6 & 63];
		*to++ = base64_alphabet[v & 63];
	}
	if (left != 0) {
		uint32_t v = (uint32_t)in.p[i] << 16;
		if (left == 2)
			v |= (uint32_t)in.p[i + 1] << 8;
		*to++ = base64_alphabet[v >> 18];
		*to++ = base64_alphabet[v >> 12 & 63];
		*to++ = left == 2 ? base64_alphabet[v >> 6 & 63] : '=';
		*to++ = '=';
	}
	buf_advance(out, base64_encoded_len(in.n));
}

/*
 * The 24 bits of one group of four into *v.  Returns how many bytes it
 * stands for (1-3), or 0 if it is malformed.
 */
static size_t
decode_group(const uint8_t *g, uint32_t *v)
{
	size_t n = g[3] != '=' ? 3 : g[2] != '=' ? 2 : 1;
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i <= n ? base64_value(g[i]) : 0;
		if (value < 0)
			return 0;
		bits = bits << 6 | (uint32_t)value;
	}
	/* RFC 4648 3.5: the bits that encode nothing must be zero */
	if ((n == 1 && (bits & 0xffff) != 0) || (n == 2 && (bits & 0xff) != 0))
		return 0;
	*v = bits;
	return n;
}

bool
base64_decode(struct slice in, struct buf *out)
{
	uint8_t *to;
	size_t done = 0;

	if (in.n % 4 != 0)
		return false;
	if (in.n == 0)
		return true;
	if ((to = buf_reserve(out, in.n / 4 * 3)) == NULL)
		return false;
	for (size_t i = 0; i < in.n; i += 4) {
		uint32_t v = 0;
		size_t n = decode_group(in.p + i, &v);
		if (n == 0 || (n < 3 && i + 4 != in.n))
			return false;
		to[done++] = (uint8_t)(v >> 16);
		if (n > 1)
			to[done++] = (uint8_t)(v >> 8);
		if (n > 2)
			to[done++] = (uint8_t)v;
	}
	buf_advance(out, done);
	return true;
}
