/*
 * log_out: log lines go to syslog, a file or standard error.
 *
 * Layer:  base, uses log.
 * Memory: one target for the process; the descriptor is its own.
 *
 * Nothing here blocks: a line that the system's logger doesn't take at once
 * is dropped, and the next one that goes through tells how many were.
 */
#ifndef BASE_LOG_OUT_H
#define BASE_LOG_OUT_H

#include "base/slice.h"

/*
 * Send all lines to where: "syslog", "stderr", or a file's absolute path.
 * facility: a name as "mail"; an unknown or empty one is the default that
 * configure was told.  Returns 0, or -1 with errno when the file can't be
 * opened (lines are then dropped).  May be called again.
 */
int log_out_open(const char *where, struct slice facility);
/* Lines under this ident go to syslog by this facility ("": the one of
 * log_out_open()).  ident must stay valid; a few fit. */
void log_out_facility(const char *ident, struct slice facility);
/* The descriptor of the log if it is a file; -1.  For a process that may open
 * files to hand to one that may not, when the file was rotated. */
int log_out_file(void);
/* Go on in this file if it was a file before; takes over the descriptor. */
void log_out_take(int fd);
/* The descriptor was closed by somebody else (in a new process). */
void log_out_forget(void);

#endif
