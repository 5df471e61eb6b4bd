/*
 * helper: a process that asks the user tables, one question at a time.
 *
 * Layer:  auth, uses module, ipc.
 * What may block (SQL, crypt) blocks here.  Questions and answers are
 * AUTHD_QUERY and AUTHD_ANSWER packets; it ends when its socket does.
 */
#ifndef AUTH_HELPER_H
#define AUTH_HELPER_H

#include "auth/settings.h"
#include "base/defs.h"

/* Serve the socket with these settings until it is closed; doesn't return. */
void helper_run(int sock, const struct settings *s) NORETURN;

#endif
