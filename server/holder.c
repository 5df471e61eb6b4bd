/*
 * holder: the program that a service's pid file names: holder SERVICE PIDFILE.
 *
 * Layer:  server; a program of its own, as it lives as long as the master and
 *         needs none of the libraries that posternd is linked with.
 *
 * Old scripts look at the pid file or signal the process in it; one posternd
 * serves everything, so each service has such a small process.  SIGTERM
 * switches the service off, SIGHUP reloads, and its end, however it comes,
 * is the service's.
 *
 * As Courier's: the pid file has the pid and a newline; a lock file beside it
 * is held with a POSIX write lock for as long as the service runs.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/child.h"
#include "server/ipc/msg.h"

static volatile sig_atomic_t got_term, got_hup;

static void
on_signal(int sig)
{
	if (sig == SIGHUP)
		got_hup = 1;
	else
		got_term = 1;
}

/* Lock, then write; 0 or -1 with errno. */
static int
pidfile_write(const char *path)
{
	const struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *lock = mem_printf("%s.lock", path);
	int lock_fd, fd = -1, keep;

	lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(lock);
	/* lock_fd stays open for the life of the process. */
	if (lock_fd < 0 || fcntl(lock_fd, F_SETLK, &whole) < 0)
		return -1;
	fd = open(
	    path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -1;
	if (dprintf(fd, "%d\n", (int)getpid()) < 0) {
		keep = errno;
		(void)close(fd);
		errno = keep;
		return -1;
	}
	return close(fd);
}

static void
tell_master(const char *verb, const char *service)
{
	char *text = mem_printf("%s %s", verb, service);
	struct msg_out out;

	msg_begin(&out, MSG_CONTROL, 0);
	msg_put_str(&out, text);
	free(text);
	if (msg_send(CHILD_CONTROL_FD, &out) != 0)
		got_term = 1;
}

static int
hold(const char *service, const char *pidfile)
{
	struct pollfd pfd = { CHILD_CONTROL_FD, POLLIN, 0 };
	struct sigaction sa = { .sa_handler = on_signal };
	uint8_t *space = mem_alloc(MSG_SIZE_MAX);
	sigset_t block, open_mask;
	struct msg_in in;
	char *text;
	int r = 1;

	(void)sigfillset(&block);
	(void)sigprocmask(SIG_BLOCK, &block, &open_mask);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
	if (*pidfile != '\0' && pidfile_write(pidfile) < 0) {
		text = mem_printf(
		    "holder-failed %s %s", service, strerrorname_np(errno));
		tell_master(text, "");
		free(text);
		return 1;
	}
	tell_master("holder-ready", service);
	while (!got_term && r != 0) {
		if (ppoll(&pfd, 1, NULL, &open_mask) > 0) {
			r = msg_recv(CHILD_CONTROL_FD, ROLE_MASTER,
			    ROLE_CONTROL, space, &in);
			if (r != ERR_BUSY && r != 1)
				r = 0;
		}
		if (got_hup)
			tell_master("reload", "");
		got_hup = 0;
	}
	if (got_term && r != 0)
		tell_master("holder-stopped", service);
	if (*pidfile != '\0')
		(void)unlink(pidfile);
	free(space);
	return 0;
}

int
main(int argc, char *argv[])
{
	if (argc != 3) {
		(void)fprintf(stderr, "holder: only posternd starts it\n");
		return 1;
	}
	return hold(argv[1], argv[2]);
}
