#include <stdio.h>

#include "base/ascii.h"
#include "server/outbox.h"

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
