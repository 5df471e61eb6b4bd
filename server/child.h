/*
 * child: what login processes and workers have in common with the master's
 * side of them: the control channel, the start ritual, the log.
 *
 * Layer:  server.
 * The start ritual is the same ordered list for each kind: configuration
 * received, descriptors closed, root changed, groups and ids dropped and
 * checked, sandbox, signals, loop.
 */
#ifndef SERVER_CHILD_H
#define SERVER_CHILD_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "server/conf/conf.h"
#include "server/peer.h"

enum {
	/* A child finds its socket to the master here. */
	CHILD_CONTROL_FD = 3,
	/* A worker: the page it publishes the account at work in (memfd). */
	CHILD_PAGE_FD = 4,
	CHILD_PAGE_SIZE = 4096,
};

/*
 * Send log lines to the master over p from now on, without ever blocking:
 * lines that don't fit are dropped and counted in the next LOG message.  Those
 * that only tell what happened (info, debug, trace) go some at a time,
 * after PEER_LAZY_MS, before a line that tells of a fault, or as the process
 * ends by its own fault.
 */
void child_log_to(struct peer *p);

/*
 * Become uid and gid: supplementary groups, gid, uid in that order, each
 * checked in the kernel's answer.  Without root it only checks that we are
 * that uid already.  What is executed then may have privileges of its own.
 * 0 or ERR_*.
 */
int child_become_user(uid_t uid, gid_t gid, struct err *e) MUST_USE;
/* The same, and no_new_privs, and not dumpable. */
int child_drop_privileges(uid_t uid, gid_t gid, struct err *e) MUST_USE;

/* chroot and chdir (root only; nothing is done otherwise). */
int child_change_root(const char *dir, struct err *e) MUST_USE;

/* Raise RLIMIT_NOFILE to the hard limit, no core files; SIGPIPE ignored. */
void child_set_limits(void);

#endif
