/*
 * log: one line at a time, to wherever the process was told.
 *
 * Layer:  base, uses buf, slice.
 * Lines keep Courier's form where Courier writes them too (docs/logging.md);
 * the others are "area: event key=value …".  Bytes of a peer go in only
 * through log_safe().
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"
#include "base/slice.h"

enum log_level {
	LOG_LEVEL_ALERT, /* Courier's ALERT: limits reached */
	LOG_LEVEL_ERROR, /* somebody must act */
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO, /* login, logout, a refusal with its reason */
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE,
};

/*
 * Where lines go.  ident is the syslog ident ("imapd", "posternd"); line has
 * no newline.  Must not block and must not log.
 */
typedef void log_sink(
    void *arg, enum log_level level, const char *ident, const char *line);

/* Send lines to sink from now on; NULL: standard error, prefixed by ident. */
void log_set_sink(log_sink *sink, void *arg);
/* Drop lines above this level (default LOG_LEVEL_INFO). */
void log_set_level(enum log_level level);
/* Whether a line of this level would be kept. */
bool log_enabled(enum log_level level);
/* The ident of log_line(); must stay valid (a constant). */
void log_set_ident(const char *ident);

/* Write one line under the process's ident. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same under another ident (a service's: "imapd-ssl"). */
void log_line_as(const char *ident, enum log_level level, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Bytes of a peer made fit for a log line: control and non-ASCII bytes
 * become '.', cut to what fits in out (n bytes with the NUL, n >= 1).
 * Returns out.
 */
const char *log_safe(struct slice s, char *out, size_t n);

/* "error", "warn", …; for configuration and standard error. */
const char *log_level_name(enum log_level level);

#endif
