/*
 * export: posternctl export, which writes Courier's files at once.
 *
 * Layer:  ctl, uses base, conf, maildir.
 * It works on the Maildirs itself, as each account's user, and needs no
 * posternd: only authdaemond, to learn of the accounts.
 */
#ifndef CTL_EXPORT_H
#define CTL_EXPORT_H

#include "server/conf/conf.h"

/* words: what follows the verb; prints, and returns the exit status. */
int ctl_export(const struct conf *c, char *words[]);

#endif
