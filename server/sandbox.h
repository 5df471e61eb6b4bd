/*
 * sandbox: seccomp filters, one per role.
 *
 * Layer:  server, uses libseccomp.
 */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include "base/defs.h"
#include "base/err.h"

enum sandbox_role {
	SANDBOX_LOGIN,	/* no file, no new process, no new socket of any kind
			   but accept; a forbidden call ends the process */
	SANDBOX_WORKER, /* files, but no network, no exec, no ptrace */
};

/*
 * Close it, for good; threads started later inherit it.  Not with sanitizers
 * (they need calls of their own): returns 0 without doing anything then.
 */
int sandbox_enter(enum sandbox_role role, struct err *e) MUST_USE;

#endif
