/*
 * The records of a TLS handshake: whoever waits for as many bytes as are said
 * to be needed comes to an end, never beyond what is there, and nothing that is
 * refused in part is taken whole.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/net/tls_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum parse
look(const uint8_t *data, size_t n, bool hello, size_t *needed)
{
	uint8_t *copy = malloc(n + 1);
	enum parse result;

	assert(copy != NULL);
	memcpy(copy, data, n);
	result = tls_records_whole(slice_of(copy, n), hello, needed);
	free(copy);
	return result;
}

static void
follow(const uint8_t *data, size_t size, bool hello)
{
	size_t n = 0, needed = 0;
	enum parse last = look(data, size, hello, &needed), now;

	while ((now = look(data, n, hello, &needed)) == PARSE_MORE) {
		assert(needed > n && needed <= n + TLS_RECORD_MAX);
		/* it may be known already what comes of it, or not */
		if (needed > size)
			return;
		n = needed;
	}
	/* PARSE_OK may come at the end of a record, and more behind it */
	assert(now != PARSE_BAD || last == PARSE_BAD);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 64 * 1024)
		return 0;
	follow(data + 1, size - 1, (data[0] & 1) != 0);
	return 0;
}
