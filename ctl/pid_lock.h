/*
 * pid_lock: a daemon that is known by its pid file, and by the POSIX write
 * lock that it holds on the file beside it, PIDFILE.lock.
 *
 * Layer:  ctl, uses base.
 * Who is signalled is the process that holds the lock: what a pid file says
 * may be long out of date.
 */
#ifndef CTL_PID_LOCK_H
#define CTL_PID_LOCK_H

#include <sys/types.h>

#include "base/defs.h"

enum { PID_LOCK_HELD = -2 };

/* Take the lock, to be held until the process ends: its descriptor;
 * PID_LOCK_HELD: another has it; -1 with errno. */
int pid_lock_take(const char *pidfile) MUST_USE;
/* Say in the pid file who this is: 0, or -1 with errno. */
int pid_lock_write(const char *pidfile) MUST_USE;

/*
 * End the daemon and wait for that: SIGTERM, then SIGKILL every 10 seconds.
 * Not an error if there is none.  0, or -1 with errno.
 */
int pid_lock_stop(const char *pidfile) MUST_USE;
/* Send it SIGHUP; likewise. */
int pid_lock_restart(const char *pidfile) MUST_USE;

#endif
