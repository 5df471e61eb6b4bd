/*
 * account_now: the changes of account_change.h, driven to their end.
 *
 * For tests whose store has no syncer, or one that does its work at once.
 */
#ifndef TESTS_SUPPORT_ACCOUNT_NOW_H
#define TESTS_SUPPORT_ACCOUNT_NOW_H

#include "maildir/account_change.h"

/* 0 or ERR_*; a database that others hold is asked for again for 100 ms. */
int create_now(struct account *a, struct slice name);
int delete_now(struct account *a, struct slice name);
int rename_now(struct account *a, struct slice from, struct slice to);
int subscribe_now(struct account *a, struct slice name, bool on);
int subscribe_link_now(struct account *a, const struct shared_options *o,
    struct slice name, bool on);
/* SETACL, in the lines of a file. */
int set_acl_now(struct account *a, struct slice name, struct slice lines);

#endif
