/*
 * maildirsize, and quota strings: what is taken of any bytes is what is
 * written of it, and no sum goes wrong.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "maildir/quota_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
run_limits(struct slice s)
{
	struct quota_usage a = { 0 }, b = { 0 };
	struct buf text;

	if (!quota_limits_parse(s, &a))
		return;
	buf_init(&text, 256);
	buf_putf(&text, "%lluS,%lluC", (unsigned long long)a.bytes_max,
	    (unsigned long long)a.messages_max);
	assert(quota_limits_parse(buf_slice(&text), &b));
	assert(a.bytes_max == b.bytes_max && a.messages_max == b.messages_max);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of(data, size);
	struct quota_usage u;

	run_limits(s);
	if (quota_file_parse(s, &u) != 0)
		return 0;
	(void)quota_percent(&u);
	if (u.bytes >= 0 && u.messages >= 0 && quota_fits(&u, 1, 1)) {
		assert(u.bytes_max == 0 || (uint64_t)u.bytes < u.bytes_max);
		assert(u.messages_max == 0 ||
		    (uint64_t)u.messages < u.messages_max);
	}
	return 0;
}
