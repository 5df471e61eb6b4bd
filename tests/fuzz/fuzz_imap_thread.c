/*
 * Threads of any messages: two bytes are the id of a message or a reference
 * to one, by their first bit; dates and subjects come from the same bytes.
 *
 * Checked: each message is told once, and parentheses match, with every
 * algorithm and however the work is cut.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "protocols/imap/thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDS_MAX = 64 };

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
add(struct imap_thread *t, const uint8_t *ids, size_t n, uint32_t number,
    struct slice base)
{
	struct imap_thread_message m = { .number = number,
		.sent = base.n != 0 ? base.p[0] % 8 : 0,
		.internal = (int64_t)number % 5,
		.reply = base.n != 0 && base.p[0] % 2 == 0,
		.base = base.n != 0 && base.p[0] % 16 == 0 ? SLICE("") : base,
		.ids = slice_of(ids, n) };

	check(imap_thread_add(t, &m));
}

/* Add the messages that the bytes are; returns how many. */
static uint32_t
add_all(struct imap_thread *t, struct slice in)
{
	uint8_t ids[8 * IDS_MAX];
	size_t n = 0;
	uint32_t number = 0;

	for (size_t at = 0; at + 2 <= in.n; at += 2) {
		uint8_t id = in.p[at + 1] % 32;
		bool message = (in.p[at] & 1) == 0 || n == sizeof(ids);

		if (message && n != 0) {
			number++;
			add(t, ids, n, number,
			    slice_of(in.p + at, in.p[at] % 2 + 1));
			n = 0;
		}
		for (int k = 0; k < 8; k++)
			ids[n++] = k == 0 ? id : 0;
	}
	return number;
}

static void
check_response(struct slice s, uint32_t count)
{
	bool *seen = mem_zalloc((size_t)count + 1, sizeof(*seen));
	size_t depth = 0, found = 0;
	uint64_t number = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c >= '0' && c <= '9') {
			number = number * 10 + (c - '0');
			continue;
		}
		if (number != 0) {
			check(number <= count && !seen[number]);
			seen[number] = true;
			found++;
		}
		number = 0;
		if (c == '(')
			depth++;
		else if (c == ')')
			check(depth-- > 0);
		else
			check(c == ' ');
	}
	check(depth == 0 && found == count);
	free(seen);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned kind = 0; kind <= IMAP_THREAD_REFS; kind++) {
		struct imap_thread t;
		struct buf out;
		uint32_t count;
		int rc;

		imap_thread_init(&t, (enum imap_thread_kind)kind);
		count = add_all(&t, slice_of(data, size));
		while ((rc = imap_thread_run(&t, 3)) == 0)
			;
		check(rc == 1);
		buf_init(&out, 1 << 24);
		while (!imap_thread_put(&t, &out, 5))
			;
		check_response(buf_slice(&out), count);
		buf_fini(&out);
		imap_thread_fini(&t);
	}
	return 0;
}
