/*
 * quiet: tests in which things go wrong, and lines of the log that nobody
 * reads.
 *
 * Layer:  tests.
 */
#ifndef TESTS_SUPPORT_QUIET_H
#define TESTS_SUPPORT_QUIET_H

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static inline void
quiet_show(const char *ident, const char *line)
{
	(void)fprintf(stderr, "%s: %s\n", ident, line);
}

static inline void
quiet_line(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)level;
	if (getenv("CRASH_TRACE") != NULL)
		quiet_show(ident, line);
}

static inline void
quiet_line_but_error(
    void *arg, enum log_level level, const char *ident, const char *line)
{
	if (level <= LOG_LEVEL_ERROR)
		quiet_show(ident, line);
	else
		quiet_line(arg, level, ident, line);
}

/* Drop what is logged, until log_set_sink(NULL, NULL); CRASH_TRACE=1: show it
 * on standard error. */
static inline void
quiet_log(void)
{
	log_set_sink(quiet_line, NULL);
}

/* The same, but errors are shown. */
static inline void
quiet_log_but_errors(void)
{
	log_set_sink(quiet_line_but_error, NULL);
}

#endif
