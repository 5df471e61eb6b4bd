/*
 * master_home: AUTH_MKHOMEDIR_SKEL's home directories.
 *
 * Root makes a directory here under a name that comes from the user table,
 * and gives it away: it must not be led elsewhere.  So the path is walked
 * one name at a time, and each directory on it has to be root's, and writable
 * for nobody else; then nobody else can change what a name in it means.  A
 * symbolic link in such a directory was made by root and is followed, its
 * target being walked in the same way.  What lies below a directory of
 * somebody else is made by the worker, with that user's rights.  The skeleton
 * is copied by the worker in both cases.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/master.h"
#include "server/worker_home.h"

enum { LINKS_MAX = 8 };

/* The rest of the way: target before what was still to be walked. */
static int
follow_link(int dir, const char *name, char **rest, struct err *e)
{
	char target[PATH_MAX], *longer;
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(e, "home directory: %s", name);
	target[n] = '\0';
	longer = mem_printf("%s/%s", target, *rest);
	free(*rest);
	*rest = longer;
	return 0;
}

/* One name further; the descriptor, or ERR_*. */
static int
step_into(int dir, const char *name, struct stat *st, struct err *e)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd >= 0 && fstat(fd, st) == 0)
		return fd;
	r = err_sys(e, "home directory: %s", name);
	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int
check_dir(int fd, const char *home, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "home directory %s", home);
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0)
		return err_set(e, ERR_DENIED,
		    "home directory %s: not made by root, as a directory "
		    "above it is not root's alone",
		    home);
	return 0;
}

/* The directory that shall hold the home, and the name in it: *rest. */
static int
walk(const char *home, char **rest, struct err *e)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), next, r;
	unsigned links = 0;
	struct stat st;

	*rest = mem_strdup(home);
	if (fd < 0)
		return err_sys(e, "/");
	for (;;) {
		char *name = *rest + strspn(*rest, "/"), *slash, *after;

		if (**rest == '/') { /* of a link's target, too */
			(void)close(fd);
			fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		}
		if (fd < 0 || (r = check_dir(fd, home, e)) != 0)
			break;
		slash = strchr(name, '/');
		if (slash == NULL || slash[strspn(slash, "/")] == '\0') {
			after = slice_dup(slice_first(slice_str(name),
			    slash != NULL ? (size_t)(slash - name)
					  : strlen(name)));
			free(*rest);
			*rest = after;
			return fd;
		}
		*slash = '\0';
		after = mem_strdup(slash + 1 + strspn(slash + 1, "/"));
		if ((next = step_into(fd, name, &st, e)) < 0) {
			free(after);
			r = next;
			break;
		}
		name = mem_strdup(name);
		free(*rest);
		*rest = after;
		r = 0;
		if (S_ISLNK(st.st_mode)) {
			(void)close(next);
			r = ++links > LINKS_MAX
			    ? err_set(e, ERR_LIMIT,
				  "home directory %s: too many links", home)
			    : follow_link(fd, name, rest, e);
		} else {
			(void)close(fd);
			fd = next;
		}
		free(name);
		if (r != 0)
			break;
	}
	if (fd >= 0)
		(void)close(fd);
	return fd < 0 ? err_sys(e, "/") : r;
}

static int
make_in(int dir, const char *home, const char *name, uid_t uid, gid_t gid,
    struct err *e)
{
	int fd, r = 0;

	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, ERR_INVALID, "home directory %s", home);
	if (mkdirat(dir, name, HOME_MODE) < 0)
		return errno == EEXIST ? 0
				       : err_sys(e, "home directory %s", home);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, gid) < 0 ||
	    fchmod(fd, HOME_MODE | HOME_MAKING) < 0) {
		r = err_sys(e, "home directory %s", home);
		(void)unlinkat(dir, name, AT_REMOVEDIR);
	}
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int
master_home_make(const char *home, uid_t uid, gid_t gid, struct err *e)
{
	char *name = NULL, safe[300];
	int dir, r;

	assert(uid != 0 && gid != 0);
	dir = walk(home, &name, e);
	r = dir < 0 ? dir : make_in(dir, home, name, uid, gid, e);
	if (dir >= 0)
		(void)close(dir);
	if (r == 0)
		log_info("home directory %s made for uid=%u gid=%u",
		    log_safe(slice_str(home), safe, sizeof(safe)), uid, gid);
	free(name);
	return r;
}
