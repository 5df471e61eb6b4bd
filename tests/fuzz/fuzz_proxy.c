/*
 * The PROXY header: the same answer however the bytes are cut, and exactly
 * the header's own bytes taken.
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole = { .n = 0 };
	enum parse result;

	if (size == 0)
		return 0;
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
