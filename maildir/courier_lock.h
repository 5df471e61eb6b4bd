/*
 * courier_lock: the lock of one mailbox that Courier's programs respect.
 *
 * Layer:  maildir, uses base.
 * tmp/courier.lock is a link to a file with "PID:HOST".  It is stale if that
 * process of this host is gone, or, for another host, after two minutes.
 */
#ifndef MAILDIR_COURIER_LOCK_H
#define MAILDIR_COURIER_LOCK_H

#include <stdbool.h>

#include "base/err.h"
#include "maildir/file_name.h"

/* Take it, without waiting.  0; ERR_BUSY: somebody has it; …. */
int courier_lock_take(int root_fd, const char *dir, const struct file_unique *u,
    struct err *e) MUST_USE;
void courier_lock_release(int root_fd, const char *dir);

#endif
