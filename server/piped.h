/*
 * piped: a session on standard input and output, for one who is logged in
 * already: imapd, which ssh starts for mutt and mbsync, and courierpop3d.
 *
 * Layer:  server.
 *
 * It plays the master to one worker of its own, which serves one session and
 * runs, as all workers do, in its sandbox.  Bytes are passed on between the
 * standard streams, which may be pipes, files or a terminal, and a socketpair,
 * which is what a worker knows.
 *
 * The Maildir is the argument, else MAILDIR, else ./Maildir; the user's name
 * is AUTHENTICATED, else the one of the passwd entry; TCPREMOTEIP and its
 * like say where the client is: all as with Courier.
 */
#ifndef SERVER_PIPED_H
#define SERVER_PIPED_H

#include "server/service.h"

struct piped {
	const char *name;
	enum service service;
	const char *refusal; /* how a reply begins that refuses to serve */
};

/* All of main(): returns its exit status, or ends the process with 1. */
int piped_main(const struct piped *program, int argc, char *argv[]);

#endif
