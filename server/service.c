#include "server/service.h"

#include <string.h>

static const char *const names[N_SERVICES] = { "imapd", "imapd-ssl", "pop3d",
	"pop3d-ssl" };

const char *
service_name(enum service s)
{
	return s < N_SERVICES ? names[s] : "postern";
}

enum service
service_by_name(const char *name)
{
	int s;

	for (s = 0; s < N_SERVICES; s++)
		if (strcmp(names[s], name) == 0)
			break;
	return (enum service)s;
}
