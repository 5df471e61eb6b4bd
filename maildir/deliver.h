/*
 * deliver: one message into new/ of a Maildir, with quota and durably; and
 * the warning that a Maildir is nearly full.
 *
 * Layer:  maildir, uses base.  No account and no database: these work on
 *         trees that no server has open, and beside one that has.
 * Order of writes: bytes to tmp/ → fsync of the file → rename into new/ → a
 * line in maildirsize → fsync of new/.  A message that was not delivered is
 * in neither.
 */
#ifndef MAILDIR_DELIVER_H
#define MAILDIR_DELIVER_H

#include <sys/types.h>

#include "maildir/quota_file.h"

/* Where to, and how; everything is borrowed. */
struct deliver_to {
	int root_fd; /* the Maildir, which maildirsize is in */
	int dir_fd;  /* the mailbox: the same, or a directory in it */
	struct file_unique unique; /* its counter and the next one are used */
	const char *trash_dir;	   /* as in struct quota_usage */
	bool count_all;
	bool counts; /* the mailbox isn't one that the quota passes over */
	bool given;  /* its limits don't stand in maildirsize alone */
	mode_t mode; /* of the file */
	bool sync;   /* it is to survive power loss */
};

struct delivery {
	const struct deliver_to *to;
	int fd; /* -1: none */
	char *tmp;
	uint64_t size;
	struct quota_usage usage; /* with the message, after the commit; limits
				     of 0: there are none */
};

/* Begin; ended by delivery_fini() whatever comes of it. */
int delivery_begin(
    struct delivery *d, const struct deliver_to *to, struct err *e) MUST_USE;
int delivery_write(
    struct delivery *d, struct slice bytes, struct err *e) MUST_USE;
/* All bytes were written.  0: it is delivered; ERR_QUOTA, …: it isn't. */
int delivery_commit(struct delivery *d, struct err *e) MUST_USE;
void delivery_fini(struct delivery *d);

/*
 * Deliver the text, a message without Date and Message-ID, as a warning: at
 * most once in 24 hours by the time stamp of the file quotawarn, and whether
 * it fits or not.  1: it was; 0: not now; else ERR_*.
 */
int deliver_warning(
    const struct deliver_to *to, struct slice text, struct err *e) MUST_USE;

#endif
