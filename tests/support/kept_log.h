/*
 * kept_log: what is logged, for a test to look at.
 *
 * Layer:  tests.
 */
#ifndef TESTS_SUPPORT_KEPT_LOG_H
#define TESTS_SUPPORT_KEPT_LOG_H

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static char kept_log[16384]; /* lines; what is too much is left out */

static inline void
kept_log_line(
    void *arg, enum log_level level, const char *ident, const char *line)
{
	size_t n = strlen(kept_log);

	(void)arg;
	(void)level;
	(void)ident;
	(void)snprintf(kept_log + n, sizeof(kept_log) - n, "%s\n", line);
}

/* From now on, until log_set_sink(NULL, NULL). */
static inline void
kept_log_begin(void)
{
	kept_log[0] = '\0';
	log_set_sink(kept_log_line, NULL);
}

static inline unsigned
times_logged(const char *what)
{
	unsigned n = 0;

	for (const char *p = kept_log; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

#endif
