/*
 * accounts: whom authdaemond knows, asked over Courier's protocol.
 *
 * Layer:  ctl, uses base, conf.
 */
#ifndef CTL_ACCOUNTS_H
#define CTL_ACCOUNTS_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "server/conf/conf.h"

struct ctl_account {
	const char *name;
	uid_t uid;
	gid_t gid;
	const char *maildir; /* absolute */
	const char *quota;
};

/* Called for each; the account lives until it returns. */
typedef void account_fn(void *arg, const struct ctl_account *a);

/*
 * The one of that name (PRE).  0; ERR_NOT_FOUND; ERR_TEMPORARY: authdaemond or
 * the user table is away.
 */
int accounts_one(const struct conf *c, const char *name, account_fn *fn,
    void *arg, struct err *e) MUST_USE;
/* All of them (ENUMERATE).  ERR_TEMPORARY also if the list was cut short. */
int accounts_all(
    const struct conf *c, account_fn *fn, void *arg, struct err *e) MUST_USE;

#endif
