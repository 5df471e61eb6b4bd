#include "server/worker_home.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defs.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	FILES_MAX = 1000,
	BYTES_MAX = 4 << 20,
	DEPTH_MAX = 8,
	BUFFER = 16384,
	/* of a step */
	STEP_FILES = 8,
	STEP_BYTES = 256 * 1024,
};

/*
 * What a file is called until all of it is there: a process that dies leaves
 * none that is cut short, which the next one would take for the user's own.
 * Whoever has the home's lock removes what such a process left.  Where the file
 * system has no locks several may be at it, each by a name of its own, and what
 * one that dies leaves stays.
 */
#define UNDER_WAY ".postern-home.tmp"

/* Directories under way, deepest last. */
struct level {
	DIR *from;
	int to;
};

struct home_copy {
	char *home, *skeleton;
	int home_fd; /* locked while it is being made; -1 */
	bool locked; /* or the file system can't */
	char under_way[80];
	int64_t until_ms; /* it is waited for; 0: it wasn't yet */
	bool begun, failed;
	int error; /* errno */
	struct level level[DEPTH_MAX];
	unsigned depth;
	int from, to;		 /* the file under way, or -1 */
	char name[NAME_MAX + 1]; /* that it gets, in the deepest one */
	unsigned files;
	size_t bytes;
	bool left_out;
	bool made;	       /* by another one */
	char at[NAME_MAX + 1]; /* the entry under way, for the log */
};

static bool
close_file(struct home_copy *c)
{
	bool good;

	(void)close(c->from);
	good = close(c->to) == 0;
	c->from = c->to = -1;
	return good;
}

/* It gets its name.  What has that already is somebody's, and stays. */
static bool
end_file(struct home_copy *c)
{
	int dir = c->level[c->depth - 1].to, error;

	if (close_file(c) &&
	    fsx_rename_new(dir, c->under_way, dir, c->name) == 0)
		return true;
	error = errno;
	if (fsx_unlink(dir, c->under_way) < 0 && error == EEXIST)
		return false;
	errno = error;
	return error == EEXIST;
}

/* Some of the file under way. */
static bool
copy_bytes(struct home_copy *c)
{
	uint8_t piece[BUFFER];
	ssize_t n = TEMP_FAILURE_RETRY(read(c->from, piece, sizeof(piece)));

	if (n <= 0)
		return n == 0 && end_file(c);
	c->bytes += (size_t)n;
	if (c->bytes > BYTES_MAX) {
		errno = EFBIG;
		return false;
	}
	for (ssize_t done = 0, w; done < n; done += w) {
		w = TEMP_FAILURE_RETRY(
		    write(c->to, piece + done, (size_t)(n - done)));
		if (w < 0)
			return false;
	}
	return true;
}

static bool
begin_file(struct home_copy *c, int from_dir, const char *name, int to_dir)
{
	int from = openat(from_dir, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st, there;
	bool good = false;
	int to;

	if (from < 0)
		return false;
	if (fstat(from, &st) == 0 && S_ISREG(st.st_mode)) {
		good = fstatat(to_dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0;
		to = good
		    ? -1
		    : openat(to_dir, c->under_way,
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  st.st_mode & 0777);
		if (to >= 0) {
			c->from = from;
			c->to = to;
			assert(strlen(name) < sizeof(c->name));
			memcpy(c->name, name, strlen(name) + 1);
			return true;
		}
	}
	(void)close(from);
	return good;
}

/* Go down into name of both, which from is open at; takes it. */
static bool
descend(
    struct home_copy *c, int from, int to_dir, const char *name, mode_t mode)
{
	struct level *l = &c->level[c->depth];

	if (c->depth == DEPTH_MAX) {
		(void)close(from);
		errno = ELOOP;
		return false;
	}
	if (mkdirat(to_dir, name, (mode & 0777) | 0700) < 0 &&
	    errno != EEXIST) {
		(void)close(from);
		return false;
	}
	l->to = openat(
	    to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	l->from = l->to >= 0 ? fdopendir(from) : NULL;
	if (l->from == NULL) {
		(void)close(from);
		if (l->to >= 0)
			(void)close(l->to);
		return false;
	}
	/* of one who died */
	if (c->locked)
		(void)!fsx_unlink(l->to, UNDER_WAY);
	c->depth++;
	return true;
}

static void
ascend(struct home_copy *c)
{
	struct level *l = &c->level[--c->depth];

	(void)closedir(l->from);
	(void)close(l->to);
}

static bool
copy_entry(struct home_copy *c, const char *name)
{
	const struct level *l = &c->level[c->depth - 1];
	int from_dir = dirfd(l->from), from;
	struct stat st;

	(void)log_safe(slice_str(name), c->at, sizeof(c->at));
	if (++c->files > FILES_MAX) {
		errno = EFBIG;
		return false;
	}
	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (S_ISREG(st.st_mode))
		return begin_file(c, from_dir, name, l->to);
	if (!S_ISDIR(st.st_mode)) {
		c->left_out = true;
		return true;
	}
	from = openat(
	    from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return from >= 0 && descend(c, from, l->to, name, st.st_mode);
}

/* The next entry; c->depth 0: that was all. */
static bool
next_entry(struct home_copy *c)
{
	const struct dirent *d;

	errno = 0;
	d = readdir(c->level[c->depth - 1].from);
	if (d == NULL) {
		if (errno != 0)
			return false;
		ascend(c);
		return true;
	}
	return strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
	    copy_entry(c, d->d_name);
}

/* Each directory on the way that is missing, with the user's rights. */
static void
make_parents(const char *home)
{
	char *path = mem_strdup(home);

	for (char *p = strchr(path + 1, '/'); p != NULL;
	     p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			break; /* what comes next will fail, and say so */
		*p = '/';
	}
	free(path);
}

static void
name_under_way(struct home_copy *c)
{
	static unsigned n;

	if (c->locked)
		(void)snprintf(
		    c->under_way, sizeof(c->under_way), "%s", UNDER_WAY);
	else
		(void)snprintf(c->under_way, sizeof(c->under_way),
		    UNDER_WAY ".%ld.%lld.%u", (long)getpid(),
		    (long long)clock_wall(), ++n);
}

/* Have the home, and its lock: HOME_MORE; HOME_WAITS: another has that;
 * HOME_DONE: all is there, or it failed. */
static enum home_step
take_home(struct home_copy *c)
{
	struct stat st;
	bool ours;

	make_parents(c->home);
	ours = mkdir(c->home, HOME_MODE) == 0;
	if (!ours && errno != EEXIST)
		return HOME_DONE;
	c->home_fd =
	    open(c->home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->home_fd < 0)
		return HOME_DONE;
	/* where there are no locks nobody waits */
	c->locked = flock(c->home_fd, LOCK_EX | LOCK_NB) == 0;
	if (!c->locked && errno == EWOULDBLOCK) {
		(void)close(c->home_fd);
		c->home_fd = -1;
		return HOME_WAITS;
	}
	name_under_way(c);
	if (ours)
		(void)fchmod(c->home_fd, HOME_MODE | HOME_MAKING);
	c->made = !ours && fstat(c->home_fd, &st) == 0 &&
	    (st.st_mode & HOME_MAKING) == 0;
	return c->made ? HOME_DONE : HOME_MORE;
}

static bool
begin(struct home_copy *c)
{
	int from;

	c->begun = true;
	from = open(c->skeleton, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return from >= 0 && descend(c, from, AT_FDCWD, c->home, HOME_MODE);
}

struct home_copy *
home_copy_new(const char *home, const char *skeleton)
{
	struct home_copy *c = MEM_NEW(struct home_copy);

	c->home = mem_strdup(home);
	c->skeleton = mem_strdup(skeleton);
	c->from = c->to = c->home_fd = -1;
	return c;
}

static void
tell(const struct home_copy *c)
{
	char safe[300], from[300];

	(void)log_safe(slice_str(c->home), safe, sizeof(safe));
	(void)log_safe(slice_str(c->skeleton), from, sizeof(from));
	if (c->failed)
		log_error("home directory %s from AUTH_MKHOMEDIR_SKEL %s: "
			  "%s%s%s",
		    safe, from, c->at, c->at[0] != '\0' ? ": " : "",
		    strerrordesc_np(c->error));
	else
		log_info("home directory %s made from %s, files=%u%s", safe,
		    from, c->files,
		    c->left_out ? ", links and special files left out" : "");
}

/* Whether somebody else has it, and it is still waited for. */
static bool
still_waits(struct home_copy *c, int64_t now_ms)
{
	char safe[300];

	if (c->until_ms == 0)
		c->until_ms = now_ms + HOME_WAIT_MS;
	if (now_ms < c->until_ms)
		return true;
	log_warn("home directory %s is still being made by another process",
	    log_safe(slice_str(c->home), safe, sizeof(safe)));
	return false;
}

/* A piece of the copy; false: c->failed. */
static bool
copy_some(struct home_copy *c)
{
	unsigned files = c->files;
	size_t bytes = c->bytes;
	bool good = c->begun || begin(c);

	while (good && (c->depth != 0 || c->from >= 0) &&
	    c->files - files < STEP_FILES && c->bytes - bytes < STEP_BYTES)
		good = c->from >= 0 ? copy_bytes(c) : next_entry(c);
	c->failed = !good;
	return good;
}

static enum home_step
step(struct home_copy *c, int64_t now_ms)
{
	enum home_step had = c->home_fd >= 0 ? HOME_MORE : take_home(c);
	struct stat st;

	if (had == HOME_WAITS)
		return still_waits(c, now_ms) ? HOME_WAITS : HOME_DONE;
	if (c->made)
		return HOME_DONE;
	c->failed = had == HOME_DONE;
	if (!c->failed && copy_some(c) && (c->depth != 0 || c->from >= 0))
		return HOME_MORE;
	c->error = errno;
	/* somebody may have locked the account meanwhile */
	if (c->home_fd >= 0 && fstat(c->home_fd, &st) == 0)
		(void)fchmod(
		    c->home_fd, st.st_mode & 07777 & ~(mode_t)HOME_MAKING);
	tell(c);
	return HOME_DONE;
}

enum home_step
home_copy_step(struct home_copy *c, int64_t now_ms)
{
	/* the skeleton's modes, but for the home's */
	mode_t before = umask(0);
	enum home_step result = step(c, now_ms);

	(void)umask(before);
	return result;
}

void
home_copy_free(struct home_copy **pc)
{
	struct home_copy *c = *pc;

	*pc = NULL;
	if (c == NULL)
		return;
	if (c->from >= 0) {
		(void)close_file(c);
		(void)!fsx_unlink(c->level[c->depth - 1].to, c->under_way);
	}
	while (c->depth != 0)
		ascend(c);
	if (c->home_fd >= 0)
		(void)close(c->home_fd);
	free(c->home);
	free(c->skeleton);
	free(c);
}
