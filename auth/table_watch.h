/*
 * table_watch: whether the user table's file is as it was.
 *
 * Layer:  auth, uses file_watch, settings.
 * Memory: a watch is a descriptor, as those of file_watch.
 *
 * For tables that one file is: an SQLite database with a rollback journal (a
 * write-ahead log's readers follow shared memory, whose changes nobody is told
 * of).  The keeper makes watches, as the front may open nothing.
 */
#ifndef AUTH_TABLE_WATCH_H
#define AUTH_TABLE_WATCH_H

#include <stdbool.h>

#include "auth/settings.h"
#include "base/defs.h"

/* Whether the first module asked has its accounts in such a file. */
bool table_watch_is_of_use(const struct settings *s) MUST_USE;

/*
 * Watch by fd (file_watch_new()) the table's file, authsqliterc, which says
 * where that is, and the directories on the way to them.  False: it can't be
 * done, which is logged for who looks for it.
 */
bool table_watch_add(int fd, const struct settings *s) MUST_USE;

#endif
