#include "auth/pidfile.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"

static char *remembered;

static int
open_lock(const char *dir, int flags)
{
	char *path = mem_printf("%s/pid.lock", dir);
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0 && (flags & O_CREAT) != 0)
		log_error("%s: %s", path, strerrordesc_np(errno));
	free(path);
	return fd;
}

int
pidfile_lock(const char *dir)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(dir, O_RDWR | O_CREAT);

	if (fd < 0)
		return -1;
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return fd;
	if (errno == EACCES || errno == EAGAIN) {
		(void)close(fd);
		return PIDFILE_HELD;
	}
	log_error("%s/pid.lock: %s", dir, strerrordesc_np(errno));
	(void)close(fd);
	return -1;
}

bool
pidfile_write(const char *dir)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[32];
	bool ok;

	if (dirfd < 0) {
		log_error("%s: %s", dir, strerrordesc_np(errno));
		return false;
	}
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	/* We hold the lock: what is there was left by one who was killed. */
	(void)!fsx_unlink(dirfd, "pid.tmp");
	ok = fsx_replace(
		 dirfd, "pid.tmp", "pid", slice_str(text), 0644, false) == 0;
	if (!ok)
		log_error("%s/pid: %s", dir, strerrordesc_np(errno));
	(void)close(dirfd);
	return ok;
}

void
pidfile_remember(const char *dir)
{
	free(remembered);
	remembered = mem_printf("%s/pid", dir);
}

void
pidfile_remove(void)
{
	if (remembered == NULL)
		return;
	(void)unlink(remembered);
	free(remembered);
	remembered = NULL;
}

pid_t
pidfile_holder(const char *dir)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(dir, O_RDWR);
	pid_t pid = 0;

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		pid = lock.l_pid;
	(void)close(fd);
	return pid;
}
