/*
 * watch: what is known of new/ and cur/ of mailboxes, and the events (inotify)
 * that tell of what comes and goes there.
 *
 * Layer:  maildir, uses base.
 * Memory: a struct watched_dir is its mailbox's, and owns its events.
 */
#ifndef MAILDIR_WATCH_H
#define MAILDIR_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

struct mailbox;
struct store;

enum { DIR_NEW, DIR_CUR };

/* A name that came or went, as a watch saw it. */
struct dir_event {
	char *name;
	bool present;
};

struct watched_dir {
	struct mailbox *m; /* the mailbox it belongs to */
	bool is_new;
	int wd; /* -1: not watched */
	struct watched_dir *next, **prev;

	/* What is known of the directory, when its mtime was the one below. */
	uint64_t ino;
	int64_t mtime_ns;
	bool clean;    /* it can't have changed since without another mtime */
	bool complete; /* the watch has seen all since it was fully known */
	/* the store's tick at a look that found it unchanged, while no event
	 * was read since; or 0 */
	uint64_t quiet;
	struct dir_event *events;
	size_t n_events, cap_events;
	int fd; /* for *at(); -1 */
	uint64_t fd_ino;
};

void watch_init(struct store *s);
void watch_fini(struct store *s);
/* Watch a directory if that can be; not an error if not. */
void watch_add(struct watched_dir *d);
void watch_remove(struct watched_dir *d);
/* Read all waiting events into the directories. */
void watch_drain(struct store *s);
void watch_drop_events(struct watched_dir *d);
/*
 * Whether new/ and cur/ of the mailbox are as they were when they were last
 * looked at a moment ago, which their watches say without another look.
 * Waiting events are read for that.  False where a look is needed to tell.
 */
bool watch_is_quiet(const struct mailbox *m) MUST_USE;
/* A name just came or went by what we do, as the index will say by the time
 * that events are read: or else the directory is distrusted. */
void watch_own(struct watched_dir *d, struct slice name, bool present);

#endif
