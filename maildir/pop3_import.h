/*
 * pop3_import: another server's unique-ids, taken over in pieces.
 *
 * Layer:  maildir, uses base.
 * A message that has an id keeps it; one whose foreign id is another message's
 * here gets a new one.  First the numbers that are given next are raised above
 * all of the list's, then the ids are written: each transaction leaves what the
 * next process goes on with.
 */
#ifndef MAILDIR_POP3_IMPORT_H
#define MAILDIR_POP3_IMPORT_H

#include "maildir/piece_sort.h"
#include "maildir/pop3_ids.h"

struct pop3_import {
	int phase;
	/* One of them, borrowed, and the UIDs of the messages that its entries
	 * name; 0: none. */
	const struct foreign_uids *dovecot;
	const struct foreign_sizelist *courier;
	const uint32_t *uids;

	struct pop3_ids_loader loader;
	struct pop3_ids known, taken;
	uint64_t *used; /* numbers: uidvalidity << 32 | n */
	size_t n_used;
	struct piece_sort sort;
	bool sorting;
	size_t at;
	uint32_t order; /* Dovecot's, of the last entry */
	/* of the row: as it was, and as it is to be */
	uint32_t old_next, old_uidvalidity, next, uidvalidity;
};

/* What is borrowed must stay until the fini. */
void pop3_import_begin(struct pop3_import *p,
    const struct foreign_uids *dovecot, const struct foreign_sizelist *courier,
    const uint32_t *uids);
/* 1: there is more; 0: all is committed; or ERR_*: ERR_BUSY may be tried
 * again. */
int pop3_import_step(struct pop3_import *p, struct mailbox *m, int *work,
    struct err *e) MUST_USE;
/* A zeroed one may be handed in. */
void pop3_import_fini(struct pop3_import *p);

#endif
