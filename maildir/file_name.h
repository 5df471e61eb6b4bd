/*
 * file_name: the names of message files in new/ and cur/.
 *
 * Layer:  maildir, uses base.  No I/O.
 * Memory: slices of a parsed name point into it.
 *
 * A name is BASE or BASE:2,LETTERS.  The base name never changes and tells
 * the message; everything else of a file's whereabouts is its place: one word
 * with a bit for each letter A-Z and a-z, and three bits on top.  Letters that
 * mean nothing here belong to other programs and are kept.
 */
#ifndef MAILDIR_FILE_NAME_H
#define MAILDIR_FILE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "maildir/view.h"

#define PLACE_NEW     (UINT64_C(1) << 63) /* in new/, not in cur/ */
#define PLACE_INFO    (UINT64_C(1) << 62) /* has ":2," */
#define PLACE_ODD     (UINT64_C(1) << 61) /* not as we would spell it */
#define PLACE_LETTERS ((UINT64_C(1) << 52) - 1)

/* The bit of a letter; 0 for any other byte. */
uint64_t place_letter(uint8_t c);
/* enum message_flag that the letters of a place stand for. */
uint32_t place_flags(uint64_t place);
/* The place in cur/ of the same message with these flags instead; letters
 * that aren't flags stay. */
uint64_t place_with_flags(uint64_t place, uint32_t flags);

struct file_name {
	struct slice base;
	struct slice odd; /* with PLACE_ODD: what follows the base name */
	uint64_t place;
};

/* Take a name of a directory apart. */
void file_name_parse(struct slice name, bool in_new, struct file_name *out);
/* Append the name within its directory, and end it with a NUL that isn't
 * counted. */
void file_name_put(
    struct buf *out, struct slice base, uint64_t place, struct slice odd);

/* The value of ",S=" of a base name; false: none, or larger than any message
 * (2^48), which is whatever somebody wrote. */
bool file_name_size(struct slice base, uint64_t *size) MUST_USE;

/* Order of arrival: the number a name begins with, then its bytes. */
int file_name_order(struct slice a, struct slice b);
/* That number; UINT64_MAX: it is larger.  Names with other numbers are in the
 * order of these. */
uint64_t file_name_key(struct slice name);

/*
 * A new unique name as Courier makes them: SEC.MUSECPPID_N.HOST, or with the
 * device, inode and size of the finished file SEC.MUSECPPIDVdevIino_N.HOST,S=n.
 */
struct file_unique {
	int64_t wall_ms;
	uint64_t counter; /* unique in this process */
	const char *host; /* escaped by file_name_host() */
};
void file_name_tmp(struct buf *out, const struct file_unique *u);
void file_name_final(struct buf *out, const struct file_unique *u, uint64_t dev,
    uint64_t ino, uint64_t size);
/* A host name with '/', ':' and ',' written as \057, \072, \054; the caller
 * frees. */
char *file_name_host(const char *host) MUST_USE;

#endif
