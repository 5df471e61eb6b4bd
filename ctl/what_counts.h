/*
 * what_counts: what of a Maildir the quota counts, as the server is told.
 *
 * Layer:  ctl, uses conf and what of maildir needs no account.
 */
#ifndef CTL_WHAT_COUNTS_H
#define CTL_WHAT_COUNTS_H

#include "maildir/quota_file.h"

/*
 * Fill trash_dir and all of u from the configuration; a user who may not read
 * that gets what configure was told.  trash_dir lives as long as the process.
 */
void what_counts(struct quota_usage *u);

#endif
