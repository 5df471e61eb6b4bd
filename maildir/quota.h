/*
 * quota: what an account may hold, and what it does.
 *
 * Layer:  maildir, uses base.
 * What is kept account of is said by the file maildirsize (quota_file.h).
 */
#ifndef MAILDIR_QUOTA_H
#define MAILDIR_QUOTA_H

#include "maildir/internal.h"

/* ERR_QUOTA: these more would be too much. */
int quota_check(struct account *a, uint64_t bytes, uint64_t messages,
    int64_t wall_ms, struct err *e) MUST_USE;
/* Note a change in maildirsize. */
void quota_note(struct account *a, int64_t bytes, int64_t messages);
/* Deliver the warning if there is something to warn of. */
void quota_warn(struct account *a);
/* When all was last counted, ns since 1970; 0: not known. */
int64_t quota_counted_ns(struct account *a);
/* maildirsize is wrong, which is worse than none: the next look counts. */
void quota_distrust(struct account *a);
/* Whether messages of the place and mailbox count. */
bool quota_counts(const struct mailbox *m, uint64_t place);
/* The size that counts: from the name, else as given or from the file; false:
 * that doesn't say it, and 0 is told. */
bool quota_size(
    struct mailbox *m, const struct chunk *c, uint32_t i, uint64_t *size);
/* Whether anybody keeps account at all. */
bool quota_active(struct account *a);
struct quota_usage;
/* Sum up anew; write: and have maildirsize say so. */
int quota_count(struct account *a, bool write, struct quota_usage *u,
    struct err *e) MUST_USE;

#endif
