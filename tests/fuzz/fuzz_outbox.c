/*
 * What OUTBOX takes from others: the sender and the field's name, which become
 * an argument and a line before the message, and what sendmail said, which
 * becomes part of an answer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "server/outbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* One argument that is no option, and one line of the header. */
static void
check_sender(struct slice sender, struct slice header)
{
	char *s = slice_dup(sender), *h = slice_dup(header);
	const struct outbox o = { .program = "/x", .sender = s, .header = h };

	if (outbox_may_send(&o)) {
		check(s[0] != '\0' && s[0] != '-' && strlen(s) <= 320);
		for (const char *p = s; *p != '\0'; p++)
			check(!ascii_is_control((uint8_t)*p));
		check(strlen(h) < 512 && strpbrk(h, ": \t\r\n") == NULL);
	}
	free(s);
	free(h);
}

static void
check_why(uint32_t status, struct slice report)
{
	char room[OUTBOX_REPORT_MAX + 100];
	const char *why;
	size_t n;

	report = slice_first(report, OUTBOX_REPORT_MAX);
	memset(room, 'x', sizeof(room));
	why = outbox_why(status, report, room, sizeof(room));
	n = strlen(why);
	check(n < sizeof(room));
	/* what was said counts, up to a NUL, or else the status does */
	if (why == room && n != 0 && slice_starts(report, slice_of(why, n)))
		check(slice_find(report, '\0') >= n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), sender, header;

	if (size == 0 || size > 4096)
		return 0;
	in = slice_skip(in, 1);
	(void)slice_split(&in, 0xff, &sender);
	header = slice_of(NULL, 0);
	if (in.p != NULL)
		(void)slice_split(&in, 0xff, &header);
	check_sender(sender, header);
	check_why(data[0], in);
	return 0;
}
