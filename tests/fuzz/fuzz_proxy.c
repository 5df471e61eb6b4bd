/*
 * The PROXY header: the same answer however the bytes are cut, and exactly
 * the header's own bytes taken.  And an address or a network: what is written
 * of one reads back as the same, and it is in its own network.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum parse
parse_prefix(const uint8_t *data, size_t n, struct proxy_header *h)
{
	uint8_t *copy = malloc(n + 1);
	enum parse result;

	assert(copy != NULL);
	memcpy(copy, data, n);
	result = proxy_parse(slice_of(copy, n), h);
	free(copy);
	return result;
}

static void
run_address(struct slice text)
{
	char plain[ADDR_TEXT], mapped[ADDR_TEXT];
	struct addr a, again;
	struct addr_net n, narrow;

	if (addr_net_parse(&n, text)) {
		assert(n.bits <= ADDR_BITS && addr_in_net(&n.addr, &n));
		narrow = addr_net_of(&n.addr, ADDR_BITS);
		assert(addr_in_net(&n.addr, &narrow));
	}
	if (!addr_parse(&a, text))
		return;
	assert(addr_parse(&again, slice_str(addr_text(&a, plain))));
	assert(addr_eq(&a, &again));
	assert(addr_parse(&again, slice_str(addr_text_mapped(&a, mapped))));
	assert(addr_eq(&a, &again));
	assert(!addr_is_loopback(&a) ||
	    slice_starts(slice_str(plain),
		addr_is_v4(&a) ? SLICE("127.") : SLICE("::1")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole = { .n = 0 };
	enum parse result;

	if (size == 0)
		return 0;
	run_address(slice_of(data, size));
	result = parse_prefix(data, size, &whole);
	assert(result != PARSE_LITERAL);
	if (result == PARSE_OK) {
		assert(whole.n != 0 && whole.n <= size);
		assert(whole.n <= PROXY_V2_MAX);
		assert(whole.version == 1 || whole.version == 2);
	}
	for (size_t i = 0; i < size && i < 600; i++) {
		struct proxy_header cut = { .n = 0 };
		enum parse part = parse_prefix(data, i, &cut);

		if (result == PARSE_OK)
			assert(part == (i < whole.n ? PARSE_MORE : PARSE_OK));
		else if (result == PARSE_MORE)
			assert(part == PARSE_MORE);
		/* a beginning may be good of what later is bad */
	}
	return 0;
}
