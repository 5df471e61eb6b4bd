/*
 * account_lock: locks on an account's file postern.lock.
 *
 * Layer:  maildir, uses base.
 * They end with the process, or when the database is closed and no checkpoint
 * of it is under way, and hold between all processes that serve the account.
 */
#ifndef MAILDIR_ACCOUNT_LOCK_H
#define MAILDIR_ACCOUNT_LOCK_H

#include "maildir/internal.h"

/* The bytes of the file. */
enum account_lock {
	/* shared by whoever has the database open; alone: no other has it */
	ACCOUNT_LOCK_OPEN,
	/* alone: an export is announcing, placing and noting its files */
	ACCOUNT_LOCK_EXPORT,
};

/* type: F_RDLCK (shared), F_WRLCK (alone) or F_UNLCK, as in fcntl(2).  Doesn't
 * wait: -1 with errno set, EAGAIN or EACCES if others are in the way. */
int account_lock(struct account *a, enum account_lock which, short type);

#endif
