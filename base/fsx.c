#include "base/fsx.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static fsx_fault *fault_hook;

void
fsx_set_fault(fsx_fault *fault)
{
	fault_hook = fault;
}

static bool
fault(const char *call, const char *path)
{
	int e = fault_hook != NULL ? fault_hook(call, path) : 0;

	if (e == 0)
		return false;
	errno = e;
	return true;
}

/* A failing path must not lose errno to the close() of its descriptor. */
static int
close_fail(int fd)
{
	int keep = errno;

	(void)close(fd);
	errno = keep;
	return -1;
}

int
fsx_open_dir(int dirfd, const char *name)
{
	return (int)TEMP_FAILURE_RETRY(openat(
	    dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/*
 * Whether a path is its own real path: nothing in it is a link (which the
 * kernel tells by one call, while realpath() asks for each component), and it
 * is spelled as realpath() would.
 */
static bool
is_real(const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS };
	const char *at = path;
	long fd;

	while (*at == '/') {
		size_t n = strcspn(++at, "/");

		if (n == 0 || (at[0] == '.' && n == 1) ||
		    (at[0] == '.' && at[1] == '.' && n == 2))
			return false;
		at += n;
	}
	if (at == path || *at != '\0')
		return false;
	fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (fd < 0)
		return false;
	(void)close((int)fd);
	return true;
}

char *
fsx_real_path(const char *path)
{
	char *head, *slash, *real, *out;
	const char *rest;

	if (is_real(path))
		return mem_strdup(path);
	head = mem_strdup(path);
	while ((real = realpath(head, NULL)) == NULL && errno == ENOENT &&
	    (slash = strrchr(head, '/')) != NULL && slash != head)
		*slash = '\0';
	if (real == NULL) {
		free(head);
		return mem_strdup(path);
	}
	rest = path + strlen(head);
	out = mem_printf(
	    "%s%s", *rest != '\0' && strcmp(real, "/") == 0 ? "" : real, rest);
	free(real);
	free(head);
	return out;
}

/* fd, just opened, if it is a regular file. */
static int
regular(int fd, struct stat *st)
{
	if (fd < 0)
		return -1;
	if (fstat(fd, st) < 0)
		return close_fail(fd);
	if (!S_ISREG(st->st_mode)) {
		errno = EINVAL;
		return close_fail(fd);
	}
	return fd;
}

int
fsx_open_read(int dirfd, const char *name, struct stat *st)
{
	struct stat own;
	int fd = (int)TEMP_FAILURE_RETRY(openat(dirfd, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));

	return regular(fd, st != NULL ? st : &own);
}

int
fsx_open_change(int dirfd, const char *name)
{
	struct stat own;
	int fd = (int)TEMP_FAILURE_RETRY(openat(dirfd, name,
	    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));

	return regular(fd, &own);
}

/* Fail with errno as it is. */
static int
unlink_fail(int dirfd, const char *name)
{
	int keep = errno;

	(void)unlinkat(dirfd, name, 0);
	errno = keep;
	return -1;
}

static int
create(int dirfd, const char *name, mode_t mode)
{
	if (fault("create", name))
		return -1;
	return (int)TEMP_FAILURE_RETRY(openat(dirfd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
}

int
fsx_create(int dirfd, const char *name, mode_t mode)
{
	int fd = create(dirfd, name, mode);

	/* no umask worth having takes the owner's rights away */
	if (fd < 0 || (mode & 077) == 0 || fchmod(fd, mode) == 0)
		return fd;
	(void)close_fail(fd);
	return unlink_fail(dirfd, name);
}

int
fsx_mkdir(int dirfd, const char *name, mode_t mode)
{
	return fault("mkdir", name) ? -1 : mkdirat(dirfd, name, mode);
}

int
fsx_rename(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return fault("rename", from) ? -1
				     : renameat(from_dirfd, from, to_dirfd, to);
}

int
fsx_rename_new(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	if (fault("rename", from))
		return -1;
	if (renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without the flag: link says EEXIST as well. */
	if (linkat(from_dirfd, from, to_dirfd, to, 0) < 0)
		return -1;
	return unlinkat(from_dirfd, from, 0);
}

int
fsx_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	return fault("rename", a)
	    ? -1
	    : renameat2(a_dirfd, a, b_dirfd, b, RENAME_EXCHANGE);
}

int
fsx_link(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return fault("link", from) ? -1
				   : linkat(from_dirfd, from, to_dirfd, to, 0);
}

int
fsx_unlink(int dirfd, const char *name)
{
	return fault("unlink", name) ? -1 : unlinkat(dirfd, name, 0);
}

int
fsx_rmdir(int dirfd, const char *name)
{
	return fault("rmdir", name) ? -1 : unlinkat(dirfd, name, AT_REMOVEDIR);
}

int
fsx_stat(int dirfd, const char *name, struct stat *st)
{
	return fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW);
}

int
fsx_birth(int dirfd, const char *name, int64_t *wall_ms)
{
	struct statx stx;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &stx) < 0)
		return -1;
	if ((stx.stx_mask & STATX_BTIME) == 0) {
		errno = ENOTSUP;
		return -1;
	}
	*wall_ms = stx.stx_btime.tv_sec * INT64_C(1000) +
	    stx.stx_btime.tv_nsec / 1000000;
	return 0;
}

int
fsx_fsync(int fd)
{
	return fault("fsync", "") ? -1 : (int)TEMP_FAILURE_RETRY(fsync(fd));
}

int
fsx_fdatasync(int fd)
{
	return fault("fdatasync", "") ? -1
				      : (int)TEMP_FAILURE_RETRY(fdatasync(fd));
}

int
fsx_syncfs(int fd)
{
	return fault("syncfs", "") ? -1 : (int)TEMP_FAILURE_RETRY(syncfs(fd));
}

int
fsx_set_mtime(int fd, int64_t wall_ms)
{
	struct timespec t = { (time_t)(wall_ms / 1000),
		(long)(wall_ms % 1000 * 1000000) };

	if (t.tv_nsec < 0) {
		t.tv_nsec += 1000000000;
		t.tv_sec--;
	}
	return futimens(fd, (const struct timespec[2]){ t, t });
}

/* Whether there is nothing more to read. */
static bool
at_end(int fd)
{
	uint8_t one;

	return TEMP_FAILURE_RETRY(read(fd, &one, 1)) == 0;
}

int
fsx_read_all(int fd, struct buf *out)
{
	enum { PIECE = 16384 };

	for (;;) {
		size_t room = out->max - buf_len(out);
		uint8_t *to;
		ssize_t n;

		if (room == 0 && at_end(fd))
			return 0;
		to = buf_reserve(out, room != 0 && room < PIECE ? room : PIECE);
		if (to == NULL) {
			errno = EFBIG;
			return -1;
		}
		n = TEMP_FAILURE_RETRY(
		    read(fd, to, room < PIECE ? room : PIECE));
		if (n <= 0)
			return (int)n;
		buf_advance(out, (size_t)n);
	}
}

int
fsx_write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n;

		if (fault("write", ""))
			return -1;
		n = TEMP_FAILURE_RETRY(write(fd, s.p, s.n));
		if (n < 0)
			return -1;
		s = slice_skip(s, (size_t)n);
	}
	return 0;
}

int
fsx_write_zeros(int fd, off_t at, size_t n)
{
	static const char zeros[16384];

	while (n > 0) {
		size_t some = n < sizeof(zeros) ? n : sizeof(zeros);
		ssize_t m;

		if (fault("write", ""))
			return -1;
		m = TEMP_FAILURE_RETRY(pwrite(fd, zeros, some, at));
		if (m < 0)
			return -1;
		at += m;
		n -= (size_t)m;
	}
	return 0;
}

ssize_t
fsx_pread(int fd, void *p, size_t n, off_t off)
{
	return TEMP_FAILURE_RETRY(pread(fd, p, n, off));
}

int
fsx_close(int fd)
{
	/* Linux releases the descriptor even when close() says EINTR. */
	return close(fd) < 0 && errno != EINTR ? -1 : 0;
}

/* A whole new file, or none. */
static int
write_new(
    int dirfd, const char *name, struct slice bytes, mode_t mode, bool sync)
{
	int fd = create(dirfd, name, mode);

	if (fd < 0)
		return -1;
	if (fsx_write_all(fd, bytes) < 0 || (sync && fsx_fsync(fd) < 0)) {
		(void)close_fail(fd);
		return unlink_fail(dirfd, name);
	}
	return fsx_close(fd) < 0 ? unlink_fail(dirfd, name) : 0;
}

int
fsx_replace(int dirfd, const char *tmp_name, const char *name,
    struct slice bytes, mode_t mode, bool sync)
{
	if (write_new(dirfd, tmp_name, bytes, mode, sync) < 0)
		return -1;
	if (fsx_rename(dirfd, tmp_name, dirfd, name) < 0)
		return unlink_fail(dirfd, tmp_name);
	/* too late to go back: the new file is there */
	return sync ? fsx_fsync(dirfd) : 0;
}

int
fsx_replace_synced(int tmp_dirfd, const char *tmp_name, int dirfd,
    const char *name, struct slice bytes, mode_t mode, bool only_new)
{
	int rc;

	if (write_new(tmp_dirfd, tmp_name, bytes, mode, true) < 0)
		return -1;
	rc = only_new ? fsx_rename_new(tmp_dirfd, tmp_name, dirfd, name)
		      : fsx_rename(tmp_dirfd, tmp_name, dirfd, name);
	if (rc < 0) {
		(void)unlink_fail(tmp_dirfd, tmp_name);
		return only_new && errno == EEXIST ? 0 : -1;
	}
	return fsx_fsync(dirfd);
}
