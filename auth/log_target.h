/*
 * log_target: authdaemond's lines go to syslog, a file or standard error.
 *
 * Layer:  auth, uses base.
 * Memory: one target for the process; the descriptor is its own.
 *
 * Nothing here blocks: a line that the system's logger doesn't take at once
 * is dropped, and the next one that goes through tells how many were.
 */
#ifndef AUTH_LOG_TARGET_H
#define AUTH_LOG_TARGET_H

#include <stdbool.h>

#include "auth/settings.h"

/* Open what LOG, LOG_LEVEL, LOG_FACILITY, LOGGEROPTS and DEBUG_LOGIN say. */
void log_target_open(const struct settings *s, bool foreground);
/* The descriptor was closed by somebody else (in a new process). */
void log_target_forget(void);

#endif
