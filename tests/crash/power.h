/*
 * power: what a disk may hold after the power went, made from a recording.
 *
 * Layer:  tests, uses calls.
 * The rules are those of POSIX, and stricter than any one file system:
 *
 *   What was synced is there: of a file its bytes and size, of a directory its
 *   entries, as they were at the time of the sync.
 *   Of what was written to a file since, each write may be there or not.
 *   The entries of a directory change in the order in which that was done, so
 *   of those not synced the first few are there; each directory by itself.
 *   A rename is done or isn't: all file systems of Linux do that, so that what
 *   is kept of one directory brings along the other.
 */
#ifndef TESTS_CRASH_POWER_H
#define TESTS_CRASH_POWER_H

#include "tests/crash/calls.h"

enum power_loss {
	POWER_NOTHING, /* all is there: as if killed */
	POWER_ALL,     /* all that may be lost is */
	POWER_BYTES,   /* files lose all, directories nothing */
	POWER_ENTRIES, /* directories lose all, files nothing */
	POWER_RANDOM,
	POWER_N
};

/*
 * Make at root what is left of the first upto operations.  kept: the directory
 * of calls_set_keep(), of which files get their inode and mtime, as they would
 * have on a disk.  seed: for POWER_RANDOM; the same gives the same.
 */
void power_restore(const struct calls_log *log, unsigned upto,
    enum power_loss loss, uint64_t seed, const char *root, const char *kept);

#endif
