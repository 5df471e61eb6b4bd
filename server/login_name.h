/*
 * login_name: DEFDOMAIN, which completes user names without a domain.
 *
 * Layer:  server, uses base.  Pure but for the secret's memory.
 */
#ifndef SERVER_LOGIN_NAME_H
#define SERVER_LOGIN_NAME_H

#include <stdbool.h>

#include "base/secret.h"
#include "base/slice.h"

struct defdomain {
	struct slice domain; /* "@example.com"; empty: names stay */
	/* Characters that make a name complete; empty: domain's first. */
	struct slice separators;
};

/* Whether a name needs the domain. */
bool defdomain_wanted(const struct defdomain *d, struct slice user);
/*
 * Complete the user name in the client's response: PLAIN's (RFC 4616), or the
 * name alone, as the first one of LOGIN.  A response of another form stays.
 */
void defdomain_plain(const struct defdomain *d, struct secret *response);
void defdomain_name(const struct defdomain *d, struct secret *response);

#endif
