#include "ctl/pid_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"

enum { POLL_NS = 50000000, POLLS_TO_KILL = 200 };

static int
open_lock(const char *pidfile, int flags)
{
	char *path = mem_printf("%s.lock", pidfile);
	int fd = (int)TEMP_FAILURE_RETRY(
	    open(path, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));

	free(path);
	return fd;
}

int
pid_lock_take(const char *pidfile)
{
	const struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(pidfile, O_CREAT), keep;

	if (fd < 0 || fcntl(fd, F_SETLK, &whole) == 0)
		return fd;
	keep = errno;
	(void)close(fd);
	errno = keep;
	return keep == EAGAIN || keep == EACCES ? PID_LOCK_HELD : -1;
}

int
pid_lock_write(const char *pidfile)
{
	char *tmp = mem_printf("%s.tmp%ld", pidfile, (long)getpid());
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	int rc = fsx_replace(
	    AT_FDCWD, tmp, pidfile, slice_of(text, (size_t)n), 0644, false);

	free(tmp);
	return rc;
}

/* Who holds the lock; 0: nobody; -1 with errno. */
static pid_t
holder(const char *pidfile)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(pidfile, 0), rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	rc = fcntl(fd, F_GETLK, &whole);
	(void)close(fd);
	if (rc < 0)
		return -1;
	return whole.l_type == F_UNLCK ? 0 : whole.l_pid;
}

/* Not an error if it has ended meanwhile. */
static int
send_signal(pid_t pid, int sig)
{
	return kill(pid, sig) < 0 && errno != ESRCH ? -1 : 0;
}

int
pid_lock_stop(const char *pidfile)
{
	const struct timespec pause = { 0, POLL_NS };
	pid_t pid = holder(pidfile);
	int sig = SIGTERM;

	while (pid > 0) {
		if (send_signal(pid, sig) < 0)
			return -1;
		for (int i = 0; i < POLLS_TO_KILL && pid > 0; i++) {
			(void)nanosleep(&pause, NULL);
			pid = holder(pidfile);
		}
		sig = SIGKILL;
	}
	return pid < 0 ? -1 : 0;
}

int
pid_lock_restart(const char *pidfile)
{
	pid_t pid = holder(pidfile);

	return pid <= 0 ? (int)pid : send_signal(pid, SIGHUP);
}
