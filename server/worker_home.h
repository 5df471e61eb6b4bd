/*
 * worker_home: the home directory of somebody who logs in for the first time.
 *
 * Layer:  server, uses base.  Runs with the rights of the user.
 */
#ifndef SERVER_WORKER_HOME_H
#define SERVER_WORKER_HOME_H

#include <sys/stat.h>

#include <stdint.h>

#include "base/defs.h"

struct home_copy;

/*
 * A home has this bit as long as it is being made, so that others see that: for
 * a directory it means nothing.  (Its sticky bit does: the account is locked.)
 */
enum { HOME_MODE = 0700, HOME_MAKING = S_ISUID };

/*
 * Make the home directory if it is missing (the master made it where only
 * root may), and copy the skeleton's directories and plain files into it,
 * modes included.  Bounded: 1000 files, 4 MiB, 8 levels.  What goes wrong is
 * logged; the login then finds what there is.  If another process does the
 * same that is waited for, up to HOME_WAIT_MS; if it has been done, nothing is
 * done.
 */
enum { HOME_WAIT_MS = 10000 };
struct home_copy *home_copy_new(
    const char *home, const char *skeleton) MUST_USE;
/* A few files, or a piece of one; HOME_WAITS: for another process, to be called
 * again after a while. */
enum home_step { HOME_DONE, HOME_MORE, HOME_WAITS };
enum home_step home_copy_step(struct home_copy *c, int64_t now_ms) MUST_USE;
void home_copy_free(struct home_copy **c);

#endif
