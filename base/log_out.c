#include "base/log_out.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/paths.h"
#include "base/slice.h"

#define SYSLOG_SOCKET "/dev/log"

static struct {
	int fd;
	bool is_syslog;
	int facility;
	unsigned dropped;
} target = { .fd = -1 };

/* Idents with a facility of their own. */
static struct {
	const char *ident;
	int facility;
} special[8];

static const struct {
	const char *name;
	int facility;
} facilities[] = {
	{ "auth", LOG_AUTH },
	{ "authpriv", LOG_AUTHPRIV },
	{ "cron", LOG_CRON },
	{ "daemon", LOG_DAEMON },
	{ "ftp", LOG_FTP },
	{ "kern", LOG_KERN },
	{ "local0", LOG_LOCAL0 },
	{ "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 },
	{ "local3", LOG_LOCAL3 },
	{ "local4", LOG_LOCAL4 },
	{ "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 },
	{ "local7", LOG_LOCAL7 },
	{ "lpr", LOG_LPR },
	{ "mail", LOG_MAIL },
	{ "news", LOG_NEWS },
	{ "syslog", LOG_SYSLOG },
	{ "user", LOG_USER },
	{ "uucp", LOG_UUCP },
};

static int
facility_of(struct slice name)
{
	for (size_t i = 0; i < NELEMS(facilities); i++)
		if (slice_ieq(slice_str(facilities[i].name), name))
			return facilities[i].facility;
	return POSTERN_SYSLOG;
}

static int
priority_of(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ALERT:
		return LOG_ALERT;
	case LOG_LEVEL_ERROR:
		return LOG_ERR;
	case LOG_LEVEL_WARN:
		return LOG_WARNING;
	case LOG_LEVEL_INFO:
		return LOG_INFO;
	case LOG_LEVEL_DEBUG:
	case LOG_LEVEL_TRACE:
		break;
	}
	return LOG_DEBUG;
}

static int
connect_syslog(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
		.sun_path = SYSLOG_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/* The time as syslog and files have it: "Nov 23 10:00:52". */
static void
put_time(char out[32])
{
	time_t now = time(NULL);
	struct tm tm;

	if (localtime_r(&now, &tm) == NULL ||
	    strftime(out, 32, "%b %e %H:%M:%S", &tm) == 0)
		out[0] = '\0';
}

static int
facility_for(const char *ident)
{
	for (size_t i = 0; i < NELEMS(special); i++)
		if (special[i].ident != NULL &&
		    strcmp(special[i].ident, ident) == 0)
			return special[i].facility;
	return target.facility;
}

static bool
send_line(int priority, const char *ident, const char *line)
{
	char when[32], text[2300];
	ssize_t sent;
	int n;

	put_time(when);
	if (target.is_syslog) {
		n = snprintf(text, sizeof(text), "<%d>%s %s: %s",
		    priority | facility_for(ident), when, ident, line);
	} else {
		n = snprintf(
		    text, sizeof(text), "%s %s: %s\n", when, ident, line);
	}
	if (n < 0)
		return false;
	if ((size_t)n >= sizeof(text))
		n = (int)sizeof(text) - 1;
	sent = write(target.fd, text, (size_t)n);
	if (sent < 0 && target.is_syslog) {
		/* The logger was restarted: its socket is a new one. */
		(void)close(target.fd);
		target.fd = connect_syslog();
		if (target.fd >= 0)
			sent = write(target.fd, text, (size_t)n);
	}
	return sent == n;
}

static void
on_line(void *arg, enum log_level level, const char *ident, const char *line)
{
	char lost[80];

	(void)arg;
	if (target.dropped != 0) {
		(void)snprintf(lost, sizeof(lost),
		    "log: %u lines could not be written", target.dropped);
		if (send_line(LOG_WARNING, ident, lost))
			target.dropped = 0;
	}
	if (!send_line(priority_of(level), ident, line))
		target.dropped++;
}

int
log_out_open(const char *where, struct slice facility)
{
	if (target.fd >= 0)
		(void)close(target.fd);
	target.fd = -1;
	target.facility = facility_of(facility);
	target.is_syslog = strcmp(where, "syslog") == 0;
	if (strcmp(where, "stderr") == 0) {
		log_set_sink(NULL, NULL);
		return 0;
	}
	if (target.is_syslog)
		target.fd = connect_syslog();
	else
		target.fd = open(where,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
			O_NONBLOCK,
		    0640);
	log_set_sink(on_line, NULL);
	return target.fd >= 0 || target.is_syslog ? 0 : -1;
}

void
log_out_facility(const char *ident, struct slice facility)
{
	for (size_t i = 0; i < NELEMS(special); i++)
		if (special[i].ident == NULL || special[i].ident == ident) {
			special[i].ident = ident;
			special[i].facility = facility.n != 0
			    ? facility_of(facility)
			    : target.facility;
			return;
		}
}

void
log_out_forget(void)
{
	target.fd = -1;
}

int
log_out_file(void)
{
	return target.is_syslog ? -1 : target.fd;
}

void
log_out_take(int fd)
{
	if (target.is_syslog || target.fd < 0) {
		(void)close(fd);
		return;
	}
	(void)close(target.fd);
	target.fd = fd;
}
