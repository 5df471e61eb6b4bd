/*
 * young_impl: what the halves of young share, messages that come into the
 * database (young.c), and leave it (young_disk.c).
 *
 * Layer:  maildir.  Not for anybody outside.
 */
#ifndef MAILDIR_YOUNG_IMPL_H
#define MAILDIR_YOUNG_IMPL_H

#include "maildir/young.h"

/* Messages of one mailbox with UIDs that follow one another. */
struct young_range {
	int64_t first, last; /* keys */
	size_t bytes;
};

struct young {
	/* committed, and without a name yet */
	struct young_file *files, **end;
	/* with a name; the first of these as the sync under way finds them, or
	 * the one that has ended, if the rows couldn't be deleted */
	struct young_range *v;
	size_t n, cap, n_syncing;
	bool synced;
	uint64_t named, settled; /* up to where, by seq */
	uint64_t device;
	size_t bytes; /* of all */
};

/* Sync the log, here and now: 0 or ERR_SYS. */
int young_sync_log(struct account *a) MUST_USE;
/* Sync the log, and give all files their names. */
int young_name_all(struct account *a, struct err *e) MUST_USE;

/* --- young_disk.c --------------------------------------------------------- */

/* Whether the disk's errors are kept in mind from now on. */
bool young_disk_ready(struct account *a);
/* Nothing is known of its files any more. */
void young_doubt(struct account *a);
/* There are many: have it synced without waiting for a tick. */
void young_disk_haste(struct account *a);

#endif
