/*
 * quota_file: maildirsize, by Courier's algorithm, of a Maildir++ tree.
 *
 * Layer:  maildir, uses base.  No account and no database: the tools work on
 *         trees that no server has open.
 *
 * The first line is the limits ("10000000S,1000C"), each other one a change
 * of bytes and messages; their sum is the usage.  Changes are appended, so no
 * lock is needed.
 */
#ifndef MAILDIR_QUOTA_FILE_H
#define MAILDIR_QUOTA_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"
#include "maildir/file_name.h"

#define QUOTA_FILE_NAME "maildirsize"

enum { QUOTA_FRESH_S = 15 * 60 };

struct quota_usage {
	uint64_t bytes_max, messages_max; /* 0: no limit */
	int64_t bytes, messages;
	unsigned n_lines; /* of changes */
	int64_t mtime_s;
	const char *trash_dir; /* isn't counted; NULL: ".Trash" */
	bool all;      /* count the trash, and messages marked \Deleted, too */
	bool too_long; /* 5120 bytes, and more, or a line: to be made anew */
};

/* "10000000S,1000C" into the limits; false: not in that form. */
bool quota_limits_parse(struct slice s, struct quota_usage *out) MUST_USE;
/* The file's bytes: 0, ERR_FORMAT. */
int quota_file_parse(struct slice bytes, struct quota_usage *out) MUST_USE;
/* Read it: 0; ERR_NOT_FOUND; ERR_FORMAT: it is no use; ERR_SYS. */
int quota_file_read(int root_fd, struct quota_usage *out) MUST_USE;
/* Count all that counts, into u, whose limits stay; 0, or ERR_* and then what
 * couldn't be counted doesn't count as nothing. */
int quota_file_count(int root_fd, struct quota_usage *u) MUST_USE;
/* The same piece by piece, as u says what counts. */
struct quota_count;
struct quota_count *quota_count_new(
    int root_fd, const struct quota_usage *u) MUST_USE;
/* About so many files.  1: there are more; 0: their sums are in out; ERR_*. */
int quota_count_step(
    struct quota_count *c, int budget, struct quota_usage *out) MUST_USE;
/*
 * When the sums have been put in place: whether a directory changed since they
 * were taken, so that who delivered may have added his line to the file that
 * is gone.  Then it has begun anew, up to five times in all.
 */
bool quota_count_again(struct quota_count *c) MUST_USE;
void quota_count_free(struct quota_count **c);
/* Count all that counts and put it in place, with u's limits. */
int quota_file_remake(int root_fd, const struct file_unique *unique,
    struct quota_usage *u, struct err *e) MUST_USE;
/* Put it in place, by a file in tmp/. */
int quota_file_write(int root_fd, const struct file_unique *unique,
    const struct quota_usage *u, struct err *e) MUST_USE;
/* Append a change: 0; ERR_NOT_FOUND: there is no file; ERR_SYS. */
int quota_file_add(int root_fd, int64_t bytes, int64_t messages) MUST_USE;
/* Whether so much more is within the limits. */
bool quota_fits(const struct quota_usage *u, uint64_t bytes, uint64_t messages);
/* How full it is, in percent: the larger of the two; 0 without limits. */
unsigned quota_percent(const struct quota_usage *u);

/* --- for those who deliver ------------------------------------------------ */

/* Have the file say these limits; counts if it said others, or nothing. */
int quota_file_limit(int root_fd, const struct file_unique *unique,
    struct slice limits, const struct quota_usage *how, struct err *e) MUST_USE;
/*
 * Whether so much more may come: what the file says, counted anew if it is no
 * use, or, before that is a no, isn't fresh.  u says what counts; filled with
 * the usage before, limits of 0 without a file.  0, ERR_QUOTA, ….
 */
int quota_file_admit(int root_fd, const struct file_unique *unique,
    uint64_t bytes, uint64_t messages, struct quota_usage *u,
    struct err *e) MUST_USE;

#endif
