/*
 * hang: a disk, or a file system of another machine, that hangs, for
 * LD_PRELOAD.
 *
 * Layer:  tests.
 * As long as the file $HANG_WHILE is there, fsync(), fdatasync() and syncfs()
 * of a file whose path has $HANG_PATH in it don't return, nor do stat() and
 * inotify_add_watch() of a path that has $HANG_FILES in it.  The first of them
 * makes $HANG_WHILE.seen.
 */
#include <sys/stat.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
has_part(const char *path, const char *variable)
{
	const char *part = getenv(variable);

	return part != NULL && strstr(path, part) != NULL;
}

static int
affected(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return has_part(path, "HANG_PATH");
}

static void
hang(void)
{
	const struct timespec pause = { 0, 1000000 };
	const char *file = getenv("HANG_WHILE");
	char seen[4096];
	int made;

	if (file == NULL || access(file, F_OK) != 0)
		return;
	(void)snprintf(seen, sizeof(seen), "%s.seen", file);
	made = open(seen, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (made >= 0)
		(void)close(made);
	while (access(file, F_OK) == 0)
		(void)nanosleep(&pause, NULL);
}

static int
next(const char *name, int fd)
{
	union {
		void *found;
		int (*call)(int);
	} real = { dlsym(RTLD_NEXT, name) };

	if (affected(fd))
		hang();
	return real.call(fd);
}

int
fsync(int fd)
{
	return next("fsync", fd);
}

int
fdatasync(int fd)
{
	return next("fdatasync", fd);
}

int
syncfs(int fd)
{
	return next("syncfs", fd);
}

int
stat(const char *restrict path, struct stat *restrict st)
{
	if (has_part(path, "HANG_FILES"))
		hang();
	return fstatat(AT_FDCWD, path, st, 0);
}

int
stat64(const char *restrict path, struct stat64 *restrict st)
{
	if (has_part(path, "HANG_FILES"))
		hang();
	return fstatat64(AT_FDCWD, path, st, 0);
}

int
inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	union {
		void *found;
		int (*call)(int, const char *, uint32_t);
	} real = { dlsym(RTLD_NEXT, "inotify_add_watch") };

	if (has_part(path, "HANG_FILES"))
		hang();
	return real.call(fd, path, mask);
}
