/*
 * keeper: authdaemond's first process, the only one that may stay root.
 *
 * Layer:  auth, uses base, conf, ipc.
 * It reads the configuration, and has it read again when a file changes or
 * SIGHUP comes, makes the sockets, and makes and buries the other processes:
 * the front, which clients talk to, and the helpers, which talk to the user
 * tables.  It reads no byte that a client sent, and waits for nobody.
 */
#ifndef AUTH_KEEPER_H
#define AUTH_KEEPER_H

#include <stdbool.h>

#include "auth/settings.h"
#include "base/defs.h"

struct keeper_options {
	const char *dir; /* of the configuration, or NULL */
	bool foreground;
	int lock_fd;  /* the lock of the pid file, held for life */
	int ready_fd; /* gets a byte once clients are served; -1: nobody asks */
};

/*
 * Run until SIGTERM; takes over the settings, *s is empty then.  Returns the
 * exit status.
 */
int keeper_run(const struct keeper_options *o, struct settings *s);

#endif
