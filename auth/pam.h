/*
 * pam: the process that asks PAM for one helper.
 *
 * Layer:  auth, uses ipc, libpam.
 * It keeps the rights of the keeper, since PAM modules need them.  Questions
 * come from a helper, already parsed; each that carries a password is worked
 * on in a child of its own, so that a module that leaks, hangs or crashes
 * takes nobody along.
 */
#ifndef AUTH_PAM_H
#define AUTH_PAM_H

#include "base/defs.h"

/* Serve the socket until it is closed; doesn't return. */
void pam_run(int sock) NORETURN;

#endif
