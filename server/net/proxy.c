#include "config.h"

#include "server/net/proxy.h"

#include <string.h>

#include "base/num.h"

static const struct slice v1_start = SLICE_INIT("PROXY ");
static const struct slice v2_start = SLICE_INIT("\r\n\r\n\0\r\nQUIT\n");

enum {
	V2_HEADER = 16, /* bytes before the addresses */
	V2_INET = 12,	/* bytes of two IPv4 addresses and ports */
	V2_INET6 = 36,
};

/* Whether the input is a beginning of what is expected, or the other way. */
static bool
agrees(struct slice in, struct slice start)
{
	return slice_starts(slice_first(in, start.n), slice_first(start, in.n));
}

/* --- version 1 ----------------------------------------------------------- */

/* A port as the text form has it: no sign, no leading zeros. */
static bool
take_port(struct slice word, uint16_t *port)
{
	uint32_t v;

	if (word.n == 0 || word.n > 5 || (word.n > 1 && word.p[0] == '0') ||
	    !num_u32(word, &v) || v > 65535)
		return false;
	*port = (uint16_t)v;
	return true;
}

/* "TCP4 src dst sport dport", single blanks, nothing behind. */
static bool
take_v1_fields(struct slice line, struct proxy_header *h)
{
	struct slice word[5];
	bool v6;

	for (size_t i = 0; i < NELEMS(word); i++) {
		if (!slice_split(&line, ' ', &word[i]))
			return false;
	}
	if (line.p != NULL)
		return false;
	v6 = slice_eq(word[0], SLICE("TCP6"));
	if (!v6 && !slice_eq(word[0], SLICE("TCP4")))
		return false;
	if (v6 != slice_has(word[1], ':') || v6 != slice_has(word[2], ':') ||
	    slice_has(word[1], '%') || slice_has(word[2], '%'))
		return false;
	h->has_addresses = true;
	return addr_parse(&h->src, word[1]) && addr_parse(&h->dst, word[2]) &&
	    take_port(word[3], &h->src_port) &&
	    take_port(word[4], &h->dst_port);
}

static enum parse
parse_v1(struct slice in, struct proxy_header *h)
{
	struct slice unknown = SLICE("UNKNOWN");
	struct proxy_header found = { .version = 1 };
	struct slice line = slice_first(in, PROXY_V1_MAX);
	size_t end = slice_find(line, '\n');

	if (end == line.n)
		return line.n == PROXY_V1_MAX ? PARSE_BAD : PARSE_MORE;
	if (end == 0 || line.p[end - 1] != '\r')
		return PARSE_BAD;
	found.n = end + 1;
	line = slice_skip(slice_first(line, end - 1), v1_start.n);
	if (!slice_eq(line, unknown) &&
	    !(slice_starts(line, unknown) && line.p[unknown.n] == ' ') &&
	    !take_v1_fields(line, &found))
		return PARSE_BAD;
	*h = found;
	return PARSE_OK;
}

/* --- version 2 ----------------------------------------------------------- */

static uint16_t
take_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The addresses of a TCP connection; other families have none for us. */
static bool
take_v2_addresses(uint8_t family, struct slice body, struct proxy_header *h)
{
	switch (family) {
	case 0x11: /* TCP over IPv4 */
		if (body.n < V2_INET)
			return false;
		h->src = addr_of_v4(body.p);
		h->dst = addr_of_v4(body.p + 4);
		h->src_port = take_u16(body.p + 8);
		h->dst_port = take_u16(body.p + 10);
		break;
	case 0x21: /* TCP over IPv6 */
		if (body.n < V2_INET6)
			return false;
		h->src = addr_of_v6(body.p);
		h->dst = addr_of_v6(body.p + 16);
		h->src_port = take_u16(body.p + 32);
		h->dst_port = take_u16(body.p + 34);
		break;
	default: /* unspecified, unix, datagrams, later ones: by length */
		return true;
	}
	h->has_addresses = true;
	return true;
}

static enum parse
parse_v2(struct slice in, struct proxy_header *h)
{
	struct proxy_header found = { .version = 2 };
	struct slice body;
	size_t n;

	if (in.n > 12 && in.p[12] != 0x20 && in.p[12] != 0x21)
		return PARSE_BAD;
	if (in.n < V2_HEADER)
		return PARSE_MORE;
	n = V2_HEADER + (size_t)take_u16(in.p + 14);
	if (n > PROXY_V2_MAX)
		return PARSE_LIMIT;
	if (in.n < n)
		return PARSE_MORE;
	body = slice_of(in.p + V2_HEADER, n - V2_HEADER);
	found.n = n;
	found.local = in.p[12] == 0x20;
	if (!found.local && !take_v2_addresses(in.p[13], body, &found))
		return PARSE_BAD;
	*h = found;
	return PARSE_OK;
}

enum parse
proxy_parse(struct slice in, struct proxy_header *h)
{
	if (in.n == 0)
		return PARSE_MORE;
	if (agrees(in, v2_start))
		return in.n < v2_start.n ? PARSE_MORE : parse_v2(in, h);
	if (agrees(in, v1_start))
		return in.n < v1_start.n ? PARSE_MORE : parse_v1(in, h);
	return PARSE_BAD;
}
