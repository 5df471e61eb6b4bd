/*
 * sockets: authdaemond's listening sockets.
 *
 * Layer:  auth, uses base.
 */
#ifndef AUTH_SOCKETS_H
#define AUTH_SOCKETS_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"

enum socket_kind {
	SOCKET_COURIER, /* Courier's protocol */
	SOCKET_LOGIN,	/* SASL for login processes: gives tickets */
	SOCKET_SASL,	/* SASL for Postfix and others */
	SOCKET_TICKETS, /* the master hears of tickets here */
	SOCKET_N_KINDS,
};

/*
 * Listen on a unix socket at path, made under another name and renamed over
 * what was there, so that clients never find it missing.  mode is the whole
 * mode; uid and gid of -1 stay.  Returns the descriptor or a negative ERR_*.
 */
int socket_listen(const char *path, enum socket_kind kind, mode_t mode,
    uid_t uid, gid_t gid, struct err *e) MUST_USE;

#endif
