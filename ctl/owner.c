#include "ctl/owner.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"

static int
become(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (st.st_uid == 0)
		return 0;
	return setgroups(0, NULL) < 0 ||
		setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
		setresuid(st.st_uid, st.st_uid, st.st_uid) < 0
	    ? -1
	    : 0;
}

/* The directory of that name, through a link only if it's root's, and in a
 * directory where nobody else can put another in its place. */
static int
open_part(int at, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	struct stat link, dir;
	int fd = openat(at, name, flags | O_NOFOLLOW);

	if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR))
		return fd;
	if (fstatat(at, name, &link, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstat(at, &dir) < 0)
		return -1;
	if (!S_ISLNK(link.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	if (link.st_uid != 0 || dir.st_uid != 0 || dir.st_mode & S_IWOTH) {
		errno = ELOOP;
		return -1;
	}
	return openat(at, name, flags);
}

static int
walk(const char *path)
{
	struct slice rest = slice_str(path), part;
	int at = open(
	    path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (at >= 0 && slice_split(&rest, '/', &part)) {
		char *name;
		int next, error;

		if (part.n == 0)
			continue;
		name = mem_printf("%.*s", (int)part.n, (const char *)part.p);
		next = open_part(at, name);
		error = errno;
		free(name);
		(void)close(at);
		errno = error;
		at = next;
	}
	return at;
}

int
owner_open(const char *path)
{
	int fd, error;

	if (geteuid() != 0)
		return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*path == '\0') {
		errno = ENOENT;
		return -1;
	}
	fd = walk(path);
	if (fd >= 0 && become(fd) < 0) {
		error = errno;
		(void)close(fd);
		errno = error;
		fd = -1;
	}
	return fd;
}
