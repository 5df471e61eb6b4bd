/*
 * login: the process that meets the clients: greeting, TLS, authentication;
 * then hands the connection over, and relays between TLS and the worker.
 *
 * Layer:  server, uses everything but maildir.
 */
#ifndef SERVER_LOGIN_H
#define SERVER_LOGIN_H

/* Run as the index-th login process; CHILD_CONTROL_FD is the socket to the
 * master.  Returns the process's exit status. */
int login_main(unsigned index);

#endif
