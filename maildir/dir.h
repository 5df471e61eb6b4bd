/*
 * dir: reading a directory, entry by entry.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_DIR_H
#define MAILDIR_DIR_H

#include <dirent.h>
#include <stdbool.h>

#include "base/defs.h"
#include "base/slice.h"

struct dir_reader {
	DIR *d;
	bool failed; /* the listing ended by an error, not at its end */
};

/* 0, or -1 with errno.  No symbolic link is followed in name's last part. */
int dir_reader_open(struct dir_reader *r, int dirfd, const char *name) MUST_USE;
/* The next name except "." and ".."; borrowed until the next call, followed
 * by a NUL.  False: no more (see failed). */
bool dir_reader_next(struct dir_reader *r, struct slice *name);
/* Its descriptor, for *at() calls. */
int dir_reader_fd(const struct dir_reader *r);
void dir_reader_close(struct dir_reader *r);

/* A directory of a mailbox (its name below the root, "" for INBOX), open:
 * "cur", say; or -1 with errno. */
int dir_open_sub(int root_fd, struct slice dir, const char *sub) MUST_USE;

#endif
