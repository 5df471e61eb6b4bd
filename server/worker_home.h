/*
 * worker_home: the home directory of somebody who logs in for the first time.
 *
 * Layer:  server, uses base.  Runs with the rights of the user.
 */
#ifndef SERVER_WORKER_HOME_H
#define SERVER_WORKER_HOME_H

#include <stdbool.h>

#include "base/defs.h"

struct home_copy;

/*
 * Make the home directory if it is missing (the master made it where only
 * root may), and copy the skeleton's directories and plain files into it,
 * modes included.  Bounded: 1000 files, 4 MiB, 8 levels.  What goes wrong is
 * logged; the login then finds what there is.
 */
struct home_copy *home_copy_new(
    const char *home, const char *skeleton) MUST_USE;
/* A few files, or a piece of one; true: there is more. */
bool home_copy_step(struct home_copy *c) MUST_USE;
void home_copy_free(struct home_copy **c);

#endif
