#include "auth/log_target.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/log_out.h"
#include "base/slice.h"

/* The value of -name= or -facility= in LOGGEROPTS. */
static struct slice
logger_option(const struct settings *s, struct slice name)
{
	struct slice rest =
	    slice_str(conf_str(s->conf, CONF_AUTHDAEMONRC_LOGGEROPTS));
	struct slice word;

	while (slice_split(&rest, ' ', &word))
		if (slice_starts(word, name))
			return slice_skip(word, name.n);
	return slice_of("", 0);
}

static void
set_level(const struct settings *s)
{
	const char *want = conf_str(s->postern, CONF_POSTERN_LOG_LEVEL);
	enum log_level level = LOG_LEVEL_INFO;

	for (enum log_level l = LOG_LEVEL_ALERT; l <= LOG_LEVEL_TRACE; l++)
		if (strcmp(log_level_name(l), want) == 0)
			level = l;
	if (conf_num(s->conf, CONF_AUTHDAEMONRC_DEBUG_LOGIN) > 0 &&
	    level < LOG_LEVEL_DEBUG)
		level = LOG_LEVEL_DEBUG;
	log_set_level(level);
}

/* Sets the ident; returns the facility. */
static struct slice
set_names(const struct settings *s)
{
	static char ident[64];
	struct slice name = logger_option(s, SLICE("-name="));
	struct slice facility = logger_option(s, SLICE("-facility="));

	(void)snprintf(ident, sizeof(ident), "authdaemond");
	if (name.n != 0)
		(void)log_safe(name, ident, sizeof(ident));
	log_set_ident(ident);
	if (facility.n == 0)
		facility =
		    slice_str(conf_str(s->postern, CONF_POSTERN_LOG_FACILITY));
	return facility;
}

void
log_target_open(const struct settings *s, bool foreground)
{
	struct slice facility = set_names(s);

	set_level(s);
	(void)log_out_open(
	    foreground ? "stderr" : conf_str(s->postern, CONF_POSTERN_LOG),
	    facility);
}

void
log_target_forget(void)
{
	log_out_forget();
}
