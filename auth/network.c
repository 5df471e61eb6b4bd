#include "auth/network.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/num.h"

bool
network_address(struct slice text, uint8_t out[16])
{
	char s[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(s) || slice_has(text, '\0'))
		return false;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	memset(out, 0, 16);
	out[10] = out[11] = 0xff;
	return inet_pton(AF_INET, s, out + 12) == 1 ||
	    inet_pton(AF_INET6, s, out) == 1;
}

bool
network_is_v4(const uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

void
network_mask(uint8_t address[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > 8 * i ? bits - 8 * i : 0;

		if (keep < 8)
			address[i] = (uint8_t)(address[i] & (0xff00 >> keep));
	}
}

bool
network_parse(struct slice text, struct network *out)
{
	struct slice bits = text, address;
	struct network n = { .bits = 128 };
	unsigned base;
	uint32_t v;

	if (!slice_split(&bits, '/', &address) ||
	    !network_address(address, n.b))
		return false;
	if (bits.p != NULL) {
		base = network_is_v4(n.b) ? NETWORK_V4_BITS : 0;
		if (!num_u32(bits, &v) || v > 128 - base)
			return false;
		n.bits = base + v;
	}
	network_mask(n.b, n.bits);
	*out = n;
	return true;
}

bool
network_has(const struct network *n, const uint8_t address[16])
{
	uint8_t b[16];

	memcpy(b, address, sizeof(b));
	network_mask(b, n->bits);
	return memcmp(b, n->b, sizeof(b)) == 0;
}

bool
network_list_has(struct slice list, const uint8_t address[16])
{
	struct network n;

	while (list.n != 0) {
		size_t at = 0;

		while (at < list.n && list.p[at] != ' ' && list.p[at] != ',' &&
		    list.p[at] != '\t')
			at++;
		if (network_parse(slice_first(list, at), &n) &&
		    network_has(&n, address))
			return true;
		list = slice_skip(list, at + 1);
	}
	return false;
}
