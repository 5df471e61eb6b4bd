#include "auth/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"

enum {
	/* The names are for a directory of files (userdb). */
	FILE_EVENTS = IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF |
	    IN_CREATE | IN_DELETE | IN_MOVE,
	/* Not what is done to files in it, of which a log may be one. */
	DIR_EVENTS = IN_CREATE | IN_DELETE | IN_MOVE | IN_MOVE_SELF |
	    IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD,
	/* Of one on the way to it. */
	WAY_EVENTS = IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD,
	XFS_MAGIC = 0x58465342,
	ZFS_MAGIC = 0x2fc12fc1,
};

/* Where no other machine and no other layer writes. */
static const uint32_t local_systems[] = { EXT4_SUPER_MAGIC, XFS_MAGIC,
	BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, ZFS_MAGIC };

static bool
is_local(const char *path)
{
	struct statfs st;

	if (statfs(path, &st) != 0)
		return false;
	for (size_t i = 0; i < NELEMS(local_systems); i++)
		if ((uint32_t)st.f_type == local_systems[i])
			return true;
	return false;
}

/* Another name for it could be given another meaning unseen. */
static bool
is_real(const char *path)
{
	char *real = realpath(path, NULL);
	bool ok = real != NULL && strcmp(real, path) == 0;

	free(real);
	return ok;
}

/* Whether whatever is done to it is seen. */
static bool
is_seen(const char *path)
{
	return is_real(path) && is_local(path);
}

static bool
is_missing(void)
{
	return errno == ENOENT || errno == ENOTDIR;
}

/* There isn't even a link to something that may come into being elsewhere. */
static bool
is_absent(const char *path)
{
	struct stat st;

	return lstat(path, &st) != 0 && is_missing();
}

/* What is missing comes into being in the directory above it. */
static bool
add_missing(int fd, const char *above, const char *dir)
{
	return is_missing() && inotify_add_watch(fd, above, DIR_EVENTS) >= 0 &&
	    is_seen(above) && is_absent(dir);
}

/* The same of a file; of directories that are missing add_dirs() took care. */
static bool
is_awaited(const char *path)
{
	char *dir =
	    slice_dup(slice_of(path, (size_t)(strrchr(path, '/') - path)));
	bool ok = is_absent(path) &&
	    (dir[0] == '\0' || is_seen(dir) || is_absent(dir));

	free(dir);
	return ok;
}

/* From the root on: what is put in the place of one that is watched already
 * shows, and below it there is nothing else yet. */
static bool
add_dirs(int fd, const char *path)
{
	const char *end = path, *next;
	char *above = NULL, *dir;
	bool ok = true, there = true;

	for (; ok && there && end != NULL; end = next) {
		next = strchr(end + 1, '/');
		dir = slice_dup(
		    slice_of(path, end == path ? 1 : (size_t)(end - path)));
		there = inotify_add_watch(fd, dir,
			    next == NULL ? DIR_EVENTS : WAY_EVENTS) >= 0;
		ok = there || (above != NULL && add_missing(fd, above, dir));
		free(above);
		above = dir;
	}
	free(above);
	return ok;
}

/* The directories first: a file that takes the place of this one meanwhile is
 * seen there.  What is missing comes into being there, too. */
bool
file_watch_add(int fd, const char *path)
{
	if (path[0] != '/' || !add_dirs(fd, path))
		return false;
	if (inotify_add_watch(fd, path, FILE_EVENTS) < 0)
		return is_missing() && is_awaited(path);
	return is_seen(path);
}

int
file_watch_new(void)
{
	return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

bool
file_watch_is_quiet(int fd)
{
	char event[sizeof(struct inotify_event) + NAME_MAX + 1];
	ssize_t n = TEMP_FAILURE_RETRY(read(fd, event, sizeof(event)));

	return n < 0 && errno == EAGAIN;
}
