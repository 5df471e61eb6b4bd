/* What of the outbox is bytes of others: a sender, a field's name, a report. */
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "server/outbox.h"

enum { SENDER_MAX = 320, HEADER_MAX = 512 };

bool
outbox_may_send(const struct outbox *o)
{
	size_t n = strlen(o->sender);

	if (n == 0 || n > SENDER_MAX || o->sender[0] == '-')
		return false;
	for (size_t k = 0; k < n; k++)
		if (ascii_is_control((uint8_t)o->sender[k]))
			return false;
	for (const char *p = o->header; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || *p == ':')
			return false;
	return strlen(o->header) < HEADER_MAX;
}

const char *
outbox_why(uint32_t status, struct slice report, char *room, size_t size)
{
	while (report.n != 0 && ascii_is_space(report.p[report.n - 1]))
		report.n--;
	if (status == OUTBOX_BUSY)
		return "too many messages are being sent; try again";
	if (status == OUTBOX_TIMEOUT)
		return "it took too long, and may have been sent";
	if (report.n != 0)
		(void)snprintf(room, size, "%.*s", SLICE_ARG(report));
	else if (status == OUTBOX_NOT_RUN)
		return "sendmail can't be run";
	else if (status > 128)
		(void)snprintf(room, size, "sendmail was ended by signal %u",
		    status - 128);
	else
		(void)snprintf(
		    room, size, "sendmail failed, status %u", status);
	return room;
}
