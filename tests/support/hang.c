/*
 * hang: a disk that hangs for one account, for LD_PRELOAD.
 *
 * Layer:  tests.
 * As long as the file $HANG_WHILE is there, fsync(), fdatasync() and syncfs()
 * of a file whose path has $HANG_PATH in it don't return.  The first of them
 * makes $HANG_WHILE.seen.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
affected(int fd)
{
	const char *part = getenv("HANG_PATH");
	char link[64], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || part == NULL)
		return 0;
	path[n] = '\0';
	return strstr(path, part) != NULL;
}

static void
hang(int fd)
{
	const struct timespec pause = { 0, 1000000 };
	const char *file = getenv("HANG_WHILE");
	char seen[4096];
	int made;

	if (file == NULL || access(file, F_OK) != 0 || !affected(fd))
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

	hang(fd);
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
