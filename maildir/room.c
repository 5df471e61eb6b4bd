/*
 * Room for the index on a full disk, where EXPUNGE must work since it is what
 * makes room: taking a message out of the index is written too, and to more
 * blocks than a small message's file gives back.
 *
 * So each account keeps a file of its own that holds nothing.  When an expunge
 * finds the disk full the file's blocks are given up; so is the cache, which
 * is made again when it is wanted.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/cache.h"
#include "maildir/internal.h"

#define ROOM_NAME "postern.room"

/* The blocks of a transaction that takes messages out of one chunk, twice. */
enum { ROOM_BYTES = 128 * 1024 };

static int
open_room(struct account *a, int flags)
{
	return (int)TEMP_FAILURE_RETRY(openat(a->root_fd, ROOM_NAME,
	    O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600));
}

void
room_keep(struct account *a)
{
	struct stat st;
	int fd;

	a->room_given = true;
	if (fsx_stat(a->root_fd, ROOM_NAME, &st) == 0) {
		a->room_given = S_ISREG(st.st_mode) && st.st_size < ROOM_BYTES;
		if (!a->room_given)
			return;
	}
	if ((fd = open_room(a, O_CREAT)) < 0)
		return;
	/* all or nothing: what is left of a full disk belongs to the mail */
	if (fallocate(fd, 0, 0, ROOM_BYTES) == 0)
		a->room_given = false;
	else if (errno == EOPNOTSUPP)
		a->room_given = false;
	else if (ftruncate(fd, 0) < 0)
		log_debug("maildir: %s not given back", ROOM_NAME);
	(void)close(fd);
}

bool
room_give(struct account *a)
{
	int fd = open_room(a, 0);
	bool given = false;
	struct stat st;

	if (fd >= 0) {
		given = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		    st.st_size > 0 && ftruncate(fd, 0) == 0;
		(void)close(fd);
	}
	if (given)
		log_warn(
		    "maildir: disk full, using what was kept path=%s", a->path);
	a->room_given = true;
	return cache_discard(a) || given;
}

bool
room_made_for(struct account *a, int rc)
{
	return (rc == ERR_SPACE || rc == ERR_QUOTA) && room_give(a);
}
