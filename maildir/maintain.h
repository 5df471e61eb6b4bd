/*
 * maintain: what posternctl does to an account: compare the index with the
 * files, read all anew, rebuild, recount.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_MAINTAIN_H
#define MAILDIR_MAINTAIN_H

#include "maildir/mailbox.h"

struct maintain_diff {
	bool indexed; /* false: no session has opened it; only files is set */
	uint32_t uidvalidity, uidnext, messages; /* of the index */
	uint64_t highest_modseq;
	uint32_t files;	  /* messages in new/ and cur/ */
	uint32_t unknown; /* files without a UID */
	uint32_t missing; /* UIDs without a file */
	uint32_t changed; /* of which the index has other flags or place */
};

/*
 * Compare a mailbox with its directories, changing nothing.  0;
 * ERR_NOT_FOUND: no such mailbox; others.  While other programs rename, a few
 * messages may count as missing.
 */
int maintain_compare(struct account *a, struct slice name,
    struct maintain_diff *out, struct err *e) MUST_USE;
/* Believe nothing of its directories: the next mailbox_refresh() reads. */
void maintain_distrust(struct mailbox *m);
/*
 * Set the database aside as if it were damaged: what opens the account next
 * makes another.  ERR_BUSY: a process has it open.  The account must have no
 * open mailbox.
 */
int maintain_set_aside(struct account *a, struct err *e) MUST_USE;
/* What maildirsize says, and what counting says; write: have it say that.
 * 0; ERR_NOT_FOUND: the account has no quota. */
int maintain_quota(struct account *a, bool write, struct account_quota *was,
    struct account_quota *now, struct err *e) MUST_USE;

#endif
