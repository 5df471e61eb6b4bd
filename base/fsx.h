/*
 * fsx: the system calls on files, in the only forms the store uses.
 *
 * Layer:  base, uses err.
 * Every name is relative to a directory descriptor and no symbolic link is
 * followed in its last part.  All calls restart on EINTR.  Tests put
 * themselves between these functions and the kernel by fsx_set_fault().
 */
#ifndef BASE_FSX_H
#define BASE_FSX_H

#include <sys/stat.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

/*
 * Called before each changing call with its name ("rename", "fsync", …) and
 * path or "".  A non-zero return is the errno the call fails with instead of
 * being made; the function may also end the process.  NULL: no faults.
 */
typedef int fsx_fault(const char *call, const char *path);
void fsx_set_fault(fsx_fault *fault);

/* All return 0 or a descriptor, or -1 with errno set. */

/* Open a directory below dirfd (AT_FDCWD allowed): O_DIRECTORY|O_NOFOLLOW. */
int fsx_open_dir(int dirfd, const char *name) MUST_USE;
/*
 * Open a regular file for reading: O_NOFOLLOW|O_NONBLOCK, and anything but a
 * regular file fails with EINVAL, so that a FIFO or a device can stop nobody.
 * st, unless NULL, is filled.
 */
int fsx_open_read(int dirfd, const char *name, struct stat *st) MUST_USE;
/* The same for writing into what it holds, too. */
int fsx_open_change(int dirfd, const char *name) MUST_USE;
/*
 * An absolute path without symbolic links, to be freed.  What isn't there yet
 * stands behind what is, as it was given; a path that can't be followed
 * (ELOOP, EACCES, …) stays as it is.
 */
char *fsx_real_path(const char *path) __attribute__((returns_nonnull)) MUST_USE;
/* Create a file that isn't there (O_EXCL) for writing; its mode is this one,
 * whatever the umask of the process. */
int fsx_create(int dirfd, const char *name, mode_t mode) MUST_USE;
int fsx_mkdir(int dirfd, const char *name, mode_t mode) MUST_USE;
int fsx_rename(
    int from_dirfd, const char *from, int to_dirfd, const char *to) MUST_USE;
/* Let the two change places, at once; EINVAL, ENOSYS: the file system can't. */
int fsx_exchange(
    int a_dirfd, const char *a, int b_dirfd, const char *b) MUST_USE;
/* Rename that fails with EEXIST instead of replacing. */
int fsx_rename_new(
    int from_dirfd, const char *from, int to_dirfd, const char *to) MUST_USE;
int fsx_link(
    int from_dirfd, const char *from, int to_dirfd, const char *to) MUST_USE;
int fsx_unlink(int dirfd, const char *name) MUST_USE;
int fsx_rmdir(int dirfd, const char *name) MUST_USE;
/* lstat below dirfd. */
int fsx_stat(int dirfd, const char *name, struct stat *st) MUST_USE;
/*
 * When the file came into being, in ms since 1970: no byte of it is older, and
 * nothing can set that time.  ENOTSUP: the file system doesn't know.
 */
int fsx_birth(int dirfd, const char *name, int64_t *wall_ms) MUST_USE;
int fsx_fsync(int fd) MUST_USE;
int fsx_fdatasync(int fd) MUST_USE;
/*
 * All of the file system that fd is on.  From Linux 5.8 on it fails if anything
 * of it could not be written since fd was opened or this last failed for it.
 */
int fsx_syncfs(int fd) MUST_USE;
/* Set atime and mtime, in ms since 1970. */
int fsx_set_mtime(int fd, int64_t wall_ms) MUST_USE;
/* Write all of s, however many calls it takes. */
int fsx_write_all(int fd, struct slice s) MUST_USE;
/* n zeros, written, at that place. */
int fsx_write_zeros(int fd, off_t at, size_t n) MUST_USE;
/* Append all that is left to read to out; EFBIG if it has no room for that. */
int fsx_read_all(int fd, struct buf *out) MUST_USE;
/* Read up to n bytes at offset off; the count, 0 at the end, or -1. */
ssize_t fsx_pread(int fd, void *p, size_t n, off_t off) MUST_USE;
/* close() whose failure counts (delayed ENOSPC on network file systems). */
int fsx_close(int fd) MUST_USE;

/*
 * Replace name in dirfd by a file with these bytes: written under tmp_name
 * (same file system), synced if sync, renamed over, and the directory synced if
 * sync.  The old file stays whole if anything but that last fails.
 */
int fsx_replace(int dirfd, const char *tmp_name, const char *name,
    struct slice bytes, mode_t mode, bool sync) MUST_USE;
/*
 * The same, synced, with the two names in directories of their own; only the
 * one of name is synced.  only_new: if name is there, it stays as it is, and
 * that is no error.
 */
int fsx_replace_synced(int tmp_dirfd, const char *tmp_name, int dirfd,
    const char *name, struct slice bytes, mode_t mode, bool only_new) MUST_USE;

#endif
