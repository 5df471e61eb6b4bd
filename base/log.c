#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
	log_sink *sink;
	void *arg;
	enum log_level level;
	const char *ident;
} state = { .level = LOG_LEVEL_INFO, .ident = "postern" };

const char *
log_level_name(enum log_level level)
{
	static const char *const names[] = { "alert", "error", "warn", "info",
		"debug", "trace" };

	return names[level];
}

void
log_set_sink(log_sink *sink, void *arg)
{
	state.sink = sink;
	state.arg = arg;
}

void
log_set_level(enum log_level level)
{
	state.level = level;
}

bool
log_enabled(enum log_level level)
{
	return level <= state.level;
}

void
log_set_ident(const char *ident)
{
	state.ident = ident;
}

static void
to_stderr(const char *ident, enum log_level level, const char *line)
{
	char out[2200];
	int n = snprintf(out, sizeof(out), "%s: %s: %s\n", ident,
	    log_level_name(level), line);

	/* One write, so that lines of several processes stay whole. */
	if (n > 0 &&
	    write(STDERR_FILENO, out,
		(size_t)n < sizeof(out) ? (size_t)n : sizeof(out) - 1) < 0)
		return;
}

static void PRINTF_LIKE(3, 0)
    emit(const char *ident, enum log_level level, const char *fmt, va_list ap)
{
	char line[2048];

	if (!log_enabled(level))
		return;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	/* What comes behind one would look like a line of its own. */
	for (char *p = line; (p = strchr(p, '\n')) != NULL;)
		*p = ' ';
	if (state.sink != NULL)
		state.sink(state.arg, level, ident, line);
	else
		to_stderr(ident, level, line);
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(state.ident, level, fmt, ap);
	va_end(ap);
}

void
log_line_as(const char *ident, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(ident, level, fmt, ap);
	va_end(ap);
}

const char *
log_safe(struct slice s, char *out, size_t n)
{
	size_t i;

	assert(n >= 1);
	for (i = 0; i < s.n && i + 1 < n; i++)
		out[i] = s.p[i] < 0x20 || s.p[i] >= 0x7f ? '.' : (char)s.p[i];
	out[i] = '\0';
	return out;
}
