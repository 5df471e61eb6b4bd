/* The calls of calls.h: functions of the C library, so no checked variants. */
#undef _FORTIFY_SOURCE
/* With 64 bits both names of a function are here, and none may become the
 * other. */
#ifdef __LP64__
# undef _FILE_OFFSET_BITS
#endif
#include <sys/stat.h>
#include <sys/types.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/calls_impl.h"

#define REAL(ret, fn, ...)                                                     \
 static ret (*real_##fn)(__VA_ARGS__);                                         \
 if (real_##fn == NULL)                                                        \
 *(void **)(&real_##fn) = dlsym(RTLD_NEXT, #fn)

/* Those that have another name where an off_t is longer than a long. */
#ifdef __LP64__
# define REAL64(ret, fn, ...) REAL(ret, fn, __VA_ARGS__)
#else
# define REAL64(ret, fn, ...)                                                  \
  static ret (*real_##fn)(__VA_ARGS__);                                        \
  if (real_##fn == NULL)                                                       \
  *(void **)(&real_##fn) = dlsym(RTLD_NEXT, #fn "64")
#endif

/* --- descriptors ---------------------------------------------------------- */

static void
keep_file(int dirfd, const char *path, int node)
{
	char to[600];

	REAL(int, linkat, int, const char *, int, const char *, int);
	if (calls_keep() == NULL)
		return;
	(void)snprintf(to, sizeof(to), "%s/%d", calls_keep(), node);
	(void)real_linkat(dirfd, path, AT_FDCWD, to, 0);
}

static int
do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	bool creates = (flags & O_CREAT) != 0;
	struct calls_spot s;
	int fd;

	REAL64(int, openat, int, const char *, int, ...);
	if (calls_boot_id() != NULL &&
	    strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		path = calls_boot_id();
	if (!calls_locate(dirfd, path, &s))
		return real_openat(dirfd, path, flags, mode);
	creates = creates && s.node < 0;
	if (calls_gate(creates ? CALL_CREATE : CALL_OPEN, path) != 0)
		return -1;
	fd = real_openat(dirfd, path, flags, mode);
	if (fd < 0)
		return -1;
	if (creates) {
		s.node = calls_new_node();
		calls_set_entry(&s, s.node, false);
		keep_file(dirfd, path, s.node);
	}
	calls_fd_opened(fd, s.node, (flags & O_APPEND) != 0);
	if ((flags & O_TRUNC) != 0)
		calls_note_data(OP_TRUNCATE, fd, NULL, 0, 0);
	return fd;
}

#define MODE_ARG(flags, mode)                                                  \
 mode_t mode = 0;                                                              \
 if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                 \
  va_list ap;                                                                  \
  va_start(ap, flags);                                                         \
  mode = va_arg(ap, mode_t);                                                   \
  va_end(ap);                                                                  \
 }

int
open(const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dirfd, const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(dirfd, path, flags, mode);
}

int
close(int fd)
{
	int failed = 0, rc, keep;

	REAL(int, close, int);
	if (calls_has_fd(fd)) {
		failed = calls_gate(CALL_CLOSE, "");
		calls_fd_closed(fd);
	}
	keep = errno;
	rc = real_close(fd);
	if (failed == 0)
		return rc;
	errno = keep;
	return -1;
}

static int
do_fcntl(int fd, int cmd, long arg)
{
	bool dup = cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC;
	int rc;

	REAL64(int, fcntl, int, int, ...);
	if (dup && calls_has_fd(fd) && calls_gate(CALL_DUP, "") != 0)
		return -1;
	rc = real_fcntl(fd, cmd, arg);
	if (dup && rc >= 0 && calls_has_fd(fd))
		calls_fd_copied(fd, rc);
	return rc;
}

int
fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

/* --- bytes ---------------------------------------------------------------- */

static size_t
part(size_t n, int failed)
{
	return failed == SHORT_COUNT && n > 1 ? n / 2 : n;
}

ssize_t
read(int fd, void *p, size_t n)
{
	int failed = calls_has_fd(fd) ? calls_gate(CALL_READ, "") : 0;

	REAL(ssize_t, read, int, void *, size_t);
	return failed > 0 ? -1 : real_read(fd, p, part(n, failed));
}

ssize_t
pread(int fd, void *p, size_t n, off_t off)
{
	int failed = calls_has_fd(fd) ? calls_gate(CALL_READ, "") : 0;

	REAL64(ssize_t, pread, int, void *, size_t, off_t);
	/* of a file, only its end makes a count short: SQLite knows that */
	return failed > 0 ? -1 : real_pread(fd, p, n, off);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	int failed =
	    calls_has_fd(fd) ? calls_gate(CALL_WRITE, calls_fd_name(fd)) : 0;
	off_t off = 0;
	ssize_t rc;

	REAL(ssize_t, write, int, const void *, size_t);
	if (failed > 0)
		return -1;
	if (calls_has_fd(fd))
		off = lseek(fd, 0, calls_fd_appends(fd) ? SEEK_END : SEEK_CUR);
	rc = real_write(fd, p, part(n, failed));
	if (rc > 0 && calls_has_fd(fd))
		calls_note_data(OP_WRITE, fd, p, (uint64_t)rc, (uint64_t)off);
	return rc;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	int failed =
	    calls_has_fd(fd) ? calls_gate(CALL_WRITE, calls_fd_name(fd)) : 0;
	ssize_t rc;

	REAL64(ssize_t, pwrite, int, const void *, size_t, off_t);
	if (failed > 0)
		return -1;
	rc = real_pwrite(fd, p, part(n, failed), off);
	if (rc > 0 && calls_has_fd(fd))
		calls_note_data(OP_WRITE, fd, p, (uint64_t)rc, (uint64_t)off);
	return rc;
}

int
ftruncate(int fd, off_t size)
{
	int rc;

	REAL64(int, ftruncate, int, off_t);
	if (calls_has_fd(fd) &&
	    calls_gate(CALL_TRUNCATE, calls_fd_name(fd)) != 0)
		return -1;
	rc = real_ftruncate(fd, size);
	if (rc == 0 && calls_has_fd(fd))
		calls_note_data(OP_TRUNCATE, fd, NULL, (uint64_t)size, 0);
	return rc;
}

static int
do_sync(int fd, int (*real)(int))
{
	int rc;

	if (calls_has_fd(fd) && calls_gate(CALL_SYNC, calls_fd_name(fd)) != 0)
		return -1;
	rc = real(fd);
	if (rc == 0 && calls_has_fd(fd))
		calls_note_data(OP_SYNC, fd, NULL, 0, 0);
	return rc;
}

int
fsync(int fd)
{
	REAL(int, fsync, int);
	return do_sync(fd, real_fsync);
}

int
fdatasync(int fd)
{
	REAL(int, fdatasync, int);
	return do_sync(fd, real_fdatasync);
}

int
syncfs(int fd)
{
	int rc;

	REAL(int, syncfs, int);
	if (calls_has_fd(fd) && calls_gate(CALL_SYNC, "(disk)") != 0)
		return -1;
	/* the tree alone is anybody's business, and the disk is slow */
	rc = calls_has_fd(fd) ? 0 : real_syncfs(fd);
	if (rc == 0 && calls_has_fd(fd))
		calls_note_data(OP_SYNC_ALL, fd, NULL, 0, 0);
	return rc;
}

int
futimens(int fd, const struct timespec t[2])
{
	REAL(int, futimens, int, const struct timespec[2]);
	if (calls_has_fd(fd) && calls_gate(CALL_TIMES, "") != 0)
		return -1;
	return real_futimens(fd, t);
}

/* --- names ---------------------------------------------------------------- */

static int
do_rename(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	struct calls_spot a, b;
	bool watched = calls_locate(from_fd, from, &a), a_dir, b_dir;
	int rc;

	REAL(int, renameat2, int, const char *, int, const char *, unsigned);
	watched = calls_locate(to_fd, to, &b) && watched;
	if (watched && calls_gate(CALL_RENAME, from) != 0)
		return -1;
	rc = real_renameat2(from_fd, from, to_fd, to, flags);
	if (rc < 0 || !watched)
		return rc;
	a_dir = calls_node_is_dir(a.node);
	b_dir = b.node >= 0 && calls_node_is_dir(b.node);
	if ((flags & RENAME_EXCHANGE) != 0)
		calls_set_entry(&a, b.node, b_dir);
	else
		calls_set_entry(&a, -1, false);
	calls_set_entry(&b, a.node, a_dir);
	return 0;
}

int
rename(const char *from, const char *to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return do_rename(from_fd, from, to_fd, to, 0);
}

int
renameat2(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	return do_rename(from_fd, from, to_fd, to, flags);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	struct calls_spot a, b;
	bool watched = calls_locate(from_fd, from, &a);
	int rc;

	REAL(int, linkat, int, const char *, int, const char *, int);
	watched = calls_locate(to_fd, to, &b) && watched;
	if (watched && calls_gate(CALL_LINK, from) != 0)
		return -1;
	rc = real_linkat(from_fd, from, to_fd, to, flags);
	if (rc == 0 && watched)
		calls_set_entry(&b, a.node, false);
	return rc;
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	struct calls_spot s;
	bool watched = calls_locate(dirfd, path, &s);
	int rc;

	REAL(int, unlinkat, int, const char *, int);
	if (watched && calls_gate(CALL_UNLINK, path) != 0)
		return -1;
	rc = real_unlinkat(dirfd, path, flags);
	if (rc == 0 && watched)
		calls_set_entry(&s, -1, false);
	return rc;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
mkdirat(int dirfd, const char *path, mode_t mode)
{
	struct calls_spot s;
	bool watched = calls_locate(dirfd, path, &s);
	int rc;

	REAL(int, mkdirat, int, const char *, mode_t);
	if (watched && calls_gate(CALL_MKDIR, path) != 0)
		return -1;
	rc = real_mkdirat(dirfd, path, mode);
	if (rc == 0 && watched)
		calls_set_entry(&s, calls_new_node(), true);
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* --- looking -------------------------------------------------------------- */

int
fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	struct calls_spot s;

	REAL64(int, fstatat, int, const char *, struct stat *, int);
	if (calls_locate(dirfd, path, &s) && calls_gate(CALL_STAT, path) != 0)
		return -1;
	return real_fstatat(dirfd, path, st, flags);
}

int
fstat(int fd, struct stat *st)
{
	REAL64(int, fstat, int, struct stat *);
	if (calls_has_fd(fd) && calls_gate(CALL_FSTAT, "") != 0)
		return -1;
	return real_fstat(fd, st);
}

int
statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
	struct calls_spot s;
	int rc;

	REAL(int, statx, int, const char *, int, unsigned, struct statx *);
	if (calls_locate(dirfd, path, &s) && calls_gate(CALL_STAT, path) != 0)
		return -1;
	rc = real_statx(dirfd, path, flags, mask, stx);
	if (rc == 0 && calls_birth() != 0)
		stx->stx_btime.tv_sec = calls_birth();
	return rc;
}

struct dirent *
readdir(DIR *d)
{
	int fd = dirfd(d);
	struct dirent *entry;

	REAL64(struct dirent *, readdir, DIR *);
	do {
		if (calls_has_fd(fd) && calls_gate(CALL_READDIR, "") != 0)
			return NULL;
		entry = real_readdir(d);
	} while (entry != NULL && calls_hides(entry->d_name));
	return entry;
}

int
closedir(DIR *d)
{
	int fd = dirfd(d);

	REAL(int, closedir, DIR *);
	if (calls_has_fd(fd))
		calls_fd_closed(fd);
	return real_closedir(d);
}

/* --- the other names of the same functions -------------------------------- */

#ifdef __LP64__
int
open64(const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat64(int dirfd, const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(dirfd, path, flags, mode);
}

int
fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

ssize_t
pread64(int fd, void *p, size_t n, off_t off)
{
	return pread(fd, p, n, off);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t off)
{
	return pwrite(fd, p, n, off);
}

int
ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

int
fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
	return fstatat(dirfd, path, (struct stat *)st, flags);
}

int
fstat64(int fd, struct stat64 *st)
{
	return fstat(fd, (struct stat *)st);
}

struct dirent64 *
readdir64(DIR *d)
{
	return (struct dirent64 *)readdir(d);
}
#endif
