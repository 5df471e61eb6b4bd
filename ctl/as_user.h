/*
 * as_user: do something to accounts, each as its own user.
 *
 * Layer:  ctl, uses accounts, maildir.
 */
#ifndef CTL_AS_USER_H
#define CTL_AS_USER_H

#include "ctl/accounts.h"
#include "maildir/store.h"

/* Runs in a process of its own that is the account's user; the account isn't
 * open yet.  Prints; returns the exit status. */
typedef int user_fn(
    void *arg, const struct ctl_account *who, struct account *a);

/*
 * For the account of that name, or for all that authdaemond can enumerate
 * ("--all").  An account without a Maildir is said to be so.  Returns the exit
 * status.
 */
int for_accounts(
    const struct conf *c, const char *name, user_fn *fn, void *arg);

#endif
