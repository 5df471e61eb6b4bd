/*
 * trash: messages that have been long enough where they are thrown away.
 *
 * Layer:  maildir, uses base.
 * IMAP_EMPTYTRASH says which mailboxes and after how many days.  The date of
 * saving counts (RFC 8514), so that restoring a backup or a chown -R resets no
 * clock; the file's ctime where there is none.
 */
#ifndef MAILDIR_TRASH_H
#define MAILDIR_TRASH_H

#include "base/step.h"
#include "maildir/store.h"

struct trash_rule {
	struct slice mailbox; /* without "INBOX.", borrowed from the text */
	uint32_t days;	      /* 1 … 36500 */
};

enum { TRASH_RULES_MAX = 64 };

/*
 * "Trash:7,Junk:30", or a number of days for the mailbox trash.  The number
 * of rules; what makes no sense is passed over.  As with Courier, a number
 * that isn't above 0 means 1.
 */
size_t trash_parse(struct slice text, struct slice trash,
    struct trash_rule rules[TRASH_RULES_MAX]);

/* Whether it is time to look at the account's rules again. */
bool trash_due(struct account *a, int64_t wall_ms);

struct trash;

/* Go through the rules of an account, which the caller holds. */
struct trash *trash_new(struct account *a) MUST_USE;
enum step trash_step(
    struct trash *t, struct waker waker, int64_t now_ms, int64_t wall_ms);
void trash_free(struct trash **t);

#endif
