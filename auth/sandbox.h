/*
 * sandbox: what the front may ask of the kernel.
 *
 * Layer:  auth, uses libseccomp.
 */
#ifndef AUTH_SANDBOX_H
#define AUTH_SANDBOX_H

#include <stdbool.h>

#include "base/defs.h"

/*
 * From now on: the sockets that are open, connections accepted on them, and
 * datagrams to the system's logger.  No file, no program, no process, no
 * other socket; a call that isn't allowed fails with EPERM.  Does nothing in
 * a build with sanitizers, which need more.  False: the kernel refused it.
 */
bool sandbox_front(void) MUST_USE;

#endif
