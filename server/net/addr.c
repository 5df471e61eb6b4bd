#include "config.h"

#include "server/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
	0xff };

struct addr
addr_of_v4(const uint8_t b[4])
{
	struct addr a;

	memcpy(a.b, mapped_prefix, sizeof(mapped_prefix));
	memcpy(a.b + 12, b, 4);
	return a;
}

struct addr
addr_of_v6(const uint8_t b[16])
{
	struct addr a;

	memcpy(a.b, b, sizeof(a.b));
	return a;
}

bool
addr_parse(struct addr *a, struct slice text)
{
	char s[ADDR_TEXT];
	uint8_t b[16];

	text = slice_first(text, slice_find(text, '%'));
	if (text.n == 0 || text.n >= sizeof(s) || slice_has(text, '\0'))
		return false;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	if (inet_pton(AF_INET, s, b) == 1) {
		*a = addr_of_v4(b);
		return true;
	}
	if (inet_pton(AF_INET6, s, b) == 1) {
		*a = addr_of_v6(b);
		return true;
	}
	return false;
}

bool
addr_net_parse(struct addr_net *n, struct slice text)
{
	size_t slash = slice_find(text, '/');
	struct slice host = slice_first(text, slash);
	struct addr a;
	uint32_t bits;
	uint32_t most;

	if (!addr_parse(&a, host))
		return false;
	most = slice_has(host, ':') ? ADDR_BITS : ADDR_BITS - ADDR_V4_BITS;
	bits = most;
	if (slash < text.n &&
	    (!num_u32(slice_skip(text, slash + 1), &bits) || bits > most))
		return false;
	*n = addr_net_of(&a, bits + (ADDR_BITS - most));
	return true;
}

bool
addr_is_v4(const struct addr *a)
{
	return memcmp(a->b, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool
addr_is_loopback(const struct addr *a)
{
	static const uint8_t v6[16] = { [15] = 1 };

	if (addr_is_v4(a))
		return a->b[12] == 127;
	return memcmp(a->b, v6, sizeof(v6)) == 0;
}

bool
addr_eq(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

struct addr_net
addr_net_of(const struct addr *a, unsigned bits)
{
	struct addr_net n = { .addr = *a, .bits = bits };

	assert(bits <= ADDR_BITS);
	for (unsigned i = 0; i < sizeof(n.addr.b); i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;

		if (keep < 8)
			n.addr.b[i] &= (uint8_t)(0xff00u >> keep);
	}
	return n;
}

bool
addr_in_net(const struct addr *a, const struct addr_net *n)
{
	struct addr_net around = addr_net_of(a, n->bits);

	return addr_eq(&around.addr, &n->addr);
}

/* One printf() for each connection would cost more than all the rest. */
static char *
put_byte(char *to, unsigned v)
{
	if (v >= 100)
		*to++ = (char)('0' + v / 100);
	if (v >= 10)
		*to++ = (char)('0' + v / 10 % 10);
	*to++ = (char)('0' + v % 10);
	return to;
}

static void
put_v4(char *to, const uint8_t b[4])
{
	for (int i = 0; i < 4; i++) {
		to = put_byte(to, b[i]);
		*to++ = i < 3 ? '.' : '\0';
	}
}

const char *
addr_text(const struct addr *a, char out[ADDR_TEXT])
{
	if (addr_is_v4(a))
		put_v4(out, a->b + 12);
	else if (inet_ntop(AF_INET6, a->b, out, ADDR_TEXT) == NULL)
		out[0] = '\0'; /* can't be: the room is enough */
	return out;
}

const char *
addr_text_mapped(const struct addr *a, char out[ADDR_TEXT])
{
	static const char mapped[] = "::ffff:";

	if (!addr_is_v4(a))
		return addr_text(a, out);
	memcpy(out, mapped, sizeof(mapped) - 1);
	put_v4(out + sizeof(mapped) - 1, a->b + 12);
	return out;
}
