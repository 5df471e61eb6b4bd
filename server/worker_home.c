#include "server/worker_home.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	FILES_MAX = 1000,
	BYTES_MAX = 4 << 20,
	DEPTH_MAX = 8,
	PIECE = 16384,
};

/* Directories under way, deepest last. */
struct level {
	DIR *from;
	int to;
};

struct copy {
	struct level level[DEPTH_MAX];
	unsigned depth;
	unsigned files;
	size_t bytes;
	bool left_out;
	char at[NAME_MAX + 1]; /* the entry under way, for the log */
};

static bool
copy_bytes(struct copy *c, int from, int to)
{
	uint8_t piece[PIECE];
	ssize_t n;

	while ((n = TEMP_FAILURE_RETRY(read(from, piece, sizeof(piece)))) > 0) {
		c->bytes += (size_t)n;
		if (c->bytes > BYTES_MAX) {
			errno = EFBIG;
			return false;
		}
		for (ssize_t done = 0, w; done < n; done += w) {
			w = TEMP_FAILURE_RETRY(
			    write(to, piece + done, (size_t)(n - done)));
			if (w < 0)
				return false;
		}
	}
	return n == 0;
}

/* What is there already is somebody's, and stays. */
static bool
copy_file(struct copy *c, int from_dir, const char *name, int to_dir)
{
	int from = openat(from_dir, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	bool good = false;
	int to;

	if (from < 0)
		return false;
	if (fstat(from, &st) == 0 && S_ISREG(st.st_mode)) {
		to = openat(to_dir, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    st.st_mode & 0777);
		good = to < 0 ? errno == EEXIST : copy_bytes(c, from, to);
		if (to >= 0 && close(to) < 0)
			good = false;
	}
	(void)close(from);
	return good;
}

/* Go down into name of both, which from is open at; takes it. */
static bool
descend(struct copy *c, int from, int to_dir, const char *name, mode_t mode)
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
	c->depth++;
	return true;
}

static void
ascend(struct copy *c)
{
	struct level *l = &c->level[--c->depth];

	(void)closedir(l->from);
	(void)close(l->to);
}

static bool
copy_entry(struct copy *c, const char *name)
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
		return copy_file(c, from_dir, name, l->to);
	if (!S_ISDIR(st.st_mode)) {
		c->left_out = true;
		return true;
	}
	from = openat(
	    from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return from >= 0 && descend(c, from, l->to, name, st.st_mode);
}

static bool
copy_tree(struct copy *c, const char *home, const char *skeleton)
{
	int from = open(skeleton, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = from >= 0 && descend(c, from, AT_FDCWD, home, 0700);

	while (good && c->depth != 0) {
		const struct dirent *d;

		errno = 0;
		d = readdir(c->level[c->depth - 1].from);
		if (d == NULL) {
			good = errno == 0;
			ascend(c);
		} else if (strcmp(d->d_name, ".") != 0 &&
		    strcmp(d->d_name, "..") != 0) {
			good = copy_entry(c, d->d_name);
		}
	}
	return good;
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

void
home_furnish(const char *home, const char *skeleton)
{
	struct copy c = { .depth = 0 };
	char safe[300], from[300];
	mode_t before;

	(void)log_safe(slice_str(home), safe, sizeof(safe));
	(void)log_safe(slice_str(skeleton), from, sizeof(from));
	make_parents(home);
	before = umask(0); /* the skeleton's modes, but for the home: 0700 */
	if (!copy_tree(&c, home, skeleton))
		log_error("home directory %s from AUTH_MKHOMEDIR_SKEL %s: "
			  "%s%s%s",
		    safe, from, c.at, c.at[0] != '\0' ? ": " : "",
		    strerrordesc_np(errno));
	else
		log_info("home directory %s made from %s, files=%u%s", safe,
		    from, c.files,
		    c.left_out ? ", links and special files left out" : "");
	while (c.depth != 0)
		ascend(&c);
	(void)umask(before);
}
