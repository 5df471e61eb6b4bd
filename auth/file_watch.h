/*
 * file_watch: whether files are as they were.
 *
 * Layer:  auth, uses base.
 * Memory: a watch is a descriptor of inotify, which its owner closes.
 *
 * The kernel notes every write to a watched file, and every name that comes or
 * goes in a watched directory, before the call that made it returns.  So who
 * made a watch, then read the file, and later finds the watch quiet, would
 * read the same again.  That holds on a file system of this machine alone.
 */
#ifndef AUTH_FILE_WATCH_H
#define AUTH_FILE_WATCH_H

#include <stdbool.h>

#include "base/defs.h"

/* A watch of nothing yet; -1. */
int file_watch_new(void) MUST_USE;

/*
 * Watch this file too, be it there or not, and the directories on the way to
 * it.  False: not every change could be seen.
 */
bool file_watch_add(int fd, const char *path) MUST_USE;

/* Whether nothing has happened.  Once false, it is of no use any more. */
bool file_watch_is_quiet(int fd) MUST_USE;

#endif
