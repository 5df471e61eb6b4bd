/*
 * pidfile: authdaemonvar/pid and its lock, as Courier's scripts know them.
 *
 * Layer:  auth, uses base.
 * The pid file holds a decimal number and a newline; pid.lock, mode 0600, is
 * held with a POSIX write lock for the daemon's life.
 */
#ifndef AUTH_PIDFILE_H
#define AUTH_PIDFILE_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/defs.h"

enum { PIDFILE_HELD = -2 };

/*
 * Take the lock in the directory.  Returns its descriptor, PIDFILE_HELD when
 * another process has it, or -1, logged.
 */
int pidfile_lock(const char *dir) MUST_USE;
/* Write this process's id. */
bool pidfile_write(const char *dir) MUST_USE;
/* The file that pidfile_remove() removes. */
void pidfile_remember(const char *dir);
void pidfile_remove(void);
/* The process that holds the lock; 0: none. */
pid_t pidfile_holder(const char *dir);

#endif
