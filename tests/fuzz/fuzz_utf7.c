/*
 * Mailbox names between UTF-8 and modified UTF-7: the input is a name in
 * either.
 *
 * Checked: a name that can be encoded comes back as it was, and one that can
 * be decoded is encoded to the same bytes.
 */
#include <stdlib.h>

#include "base/utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
names(struct slice name)
{
	struct buf there, back;

	buf_init(&there, 16 * name.n + 64);
	buf_init(&back, 64 * name.n + 256);
	if (utf8_to_utf7(name, &there)) {
		check(utf7_to_utf8(buf_slice(&there), &back));
		check(slice_eq(buf_slice(&back), name));
	}
	buf_reset(&there);
	buf_reset(&back);
	if (utf7_to_utf8(name, &there)) {
		check(utf8_valid(buf_slice(&there)));
		check(utf8_to_utf7(buf_slice(&there), &back));
		check(slice_eq(buf_slice(&back), name));
	}
	buf_fini(&there);
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	names(slice_of(data, size));
	return 0;
}
