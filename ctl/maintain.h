/*
 * maintain: posternctl mailbox status|rescan|rebuild and quota recount.
 *
 * Layer:  ctl, uses as_user, maildir.
 * Like export they work on the Maildirs themselves, as each account's user.
 * What changes something says first what it would do, and does it only with
 * --commit.
 */
#ifndef CTL_MAINTAIN_H
#define CTL_MAINTAIN_H

#include "server/conf/conf.h"

/* words: what follows the verb; print, and return the exit status. */
int ctl_mailbox(const struct conf *c, char *words[]);
int ctl_quota(const struct conf *c, char *words[]);

#endif
