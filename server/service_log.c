#include "server/service_log.h"

#include <string.h>

#include "base/log.h"
#include "base/log_out.h"
#include "server/conf/conf_words.h"

enum { IDENT_MAX = 64 };

static char idents[N_SERVICES][IDENT_MAX];
static bool unmapped; /* addresses without "::ffff:" */

static const enum conf_key opts_key[N_SERVICES] = {
	[SERVICE_IMAPD] = CONF_IMAPD_LOGGEROPTS,
	[SERVICE_IMAPD_SSL] = CONF_IMAPD_SSL_SSLLOGGEROPTS,
	[SERVICE_POP3D] = CONF_POP3D_LOGGEROPTS,
	[SERVICE_POP3D_SSL] = CONF_POP3D_SSL_SSLLOGGEROPTS,
};

static void
setup_service(const struct conf *c, enum service s)
{
	const char *opts = conf_service_str(c, (enum conf_file)s, opts_key[s]);
	struct slice name = conf_loggeropt(opts, "-name");
	struct slice facility = conf_loggeropt(opts, "-facility");

	if (name.n == 0)
		name = slice_str(service_name(s));
	(void)log_safe(name, idents[s], IDENT_MAX);
	if (facility.n == 0)
		facility = slice_str(conf_str(c, CONF_POSTERN_LOG_FACILITY));
	log_out_facility(idents[s], facility);
}

void
service_log_setup(const struct conf *c)
{
	enum log_level level =
	    (enum log_level)conf_num(c, CONF_POSTERN_LOG_LEVEL);

	/* Courier's switch for a log of what logins do. */
	if (level < LOG_LEVEL_DEBUG &&
	    (conf_num(c, CONF_IMAPD_DEBUG_LOGIN) != 0 ||
		conf_num(c, CONF_POP3D_DEBUG_LOGIN) != 0))
		level = LOG_LEVEL_DEBUG;
	log_set_level(level);
	unmapped = !conf_bool(c, CONF_POSTERN_LOG_IP_MAPPED);
	for (int s = 0; s < N_SERVICES; s++)
		setup_service(c, (enum service)s);
}

const char *
service_ident(enum service s)
{
	return s < N_SERVICES && idents[s][0] != '\0' ? idents[s]
						      : service_name(s);
}

const char *
service_log_addr(const char *text)
{
	return unmapped && strncmp(text, "::ffff:", 7) == 0 &&
		strchr(text, '.') != NULL
	    ? text + 7
	    : text;
}
