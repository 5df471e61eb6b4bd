/*
 * defdomain: DEFDOMAIN and DOMAINSEP, which complete user names.
 *
 * Layer:  auth, uses base.  Pure but for the secrets' memory.
 * Memory: a struct defdomain owns its texts, until defdomain_fini().
 */
#ifndef AUTH_DEFDOMAIN_H
#define AUTH_DEFDOMAIN_H

#include <stdbool.h>

#include "base/defs.h"
#include "base/secret.h"
#include "base/slice.h"

struct defdomain {
	struct secret domain; /* "@example.com"; empty: names stay */
	/* Characters that make a name complete; empty: domain's first. */
	struct secret separators;
};

void defdomain_fini(struct defdomain *d);

/* Whether a name needs the domain. */
bool defdomain_wanted(const struct defdomain *d, struct slice user) MUST_USE;

/* The name as the user tables have it; false if none such can be: it becomes
 * too long, or the domain has characters that no name has. */
bool defdomain_complete(
    const struct defdomain *d, struct slice user, struct secret *out) MUST_USE;

#endif
