/*
 * What sendmail is given, and what becomes of it.
 *
 * The program runs as the user, with an environment of its own and no other
 * descriptor than its three; no shell has a part in it.  The file is copied
 * through a pipe, as a header field may come before it.  What it leaves
 * running when it ends well (a delivery in the background) is its own; what
 * didn't end in time is killed with all that belongs to its session.
 */
#include "server/outbox.h"

#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defs.h"
#include "base/num.h"
#include "server/child.h"

enum { PIECE = 16384 };

struct run {
	pid_t pid;
	int message, to, from, process;
	char report[OUTBOX_REPORT_MAX];
	size_t n_report;
	char piece[PIECE];
	size_t at, n; /* of the piece: written, there */
};

/* In the child: become the program. */
static NORETURN void
become(const struct outbox *o, int in, int out)
{
	char *const env[] = { (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:"
						  "/sbin:/bin",
		NULL };
	const char *const argv[] = { "sendmail", "-oi", "-t", "-f", o->sender,
		NULL };
	sigset_t none;

	(void)setsid();
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(out, STDERR_FILENO) >= 0 &&
	    close_range(STDERR_FILENO + 1, ~0u, 0) == 0) {
		(void)execve(
		    o->program, (char *const *)(const void *)argv, env);
		(void)dprintf(STDERR_FILENO, "%s: %s\n", o->program,
		    strerrordesc_np(errno));
	}
	_exit(OUTBOX_NOT_RUN);
}

static bool
start(struct run *r, const struct outbox *o)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0)
		return false;
	if (pipe2(out, O_CLOEXEC) < 0) {
		(void)close(in[0]);
		(void)close(in[1]);
		return false;
	}
	if ((r->pid = fork()) == 0)
		become(o, in[0], out[1]);
	(void)close(in[0]);
	(void)close(out[1]);
	r->to = in[1];
	r->from = out[0];
	r->process = r->pid > 0 ? pidfd_open(r->pid, 0) : -1;
	return r->process >= 0 &&
	    fcntl(r->to, F_SETFL, O_WRONLY | O_NONBLOCK) == 0 &&
	    fcntl(r->from, F_SETFL, O_RDONLY | O_NONBLOCK) == 0;
}

/* The next piece of the file, when the last one is written; false: it can't
 * be read. */
static bool
refill(struct run *r)
{
	ssize_t n =
	    TEMP_FAILURE_RETRY(read(r->message, r->piece, sizeof(r->piece)));

	r->at = 0;
	r->n = n > 0 ? (size_t)n : 0;
	return n >= 0;
}

static void
end_of_message(struct run *r)
{
	(void)close(r->to);
	r->to = -1;
}

/* False: the program must not have half a message for a whole one. */
static bool
write_some(struct run *r)
{
	ssize_t n;

	if (r->at == r->n && !refill(r))
		return false;
	if (r->n == 0) {
		end_of_message(r);
		return true;
	}
	n = write(r->to, r->piece + r->at, r->n - r->at);
	if (n > 0)
		r->at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		end_of_message(r); /* it reads no more; its status tells */
	return true;
}

/* False: nothing is there now. */
static bool
read_some(struct run *r)
{
	char beyond[256];
	size_t room = sizeof(r->report) - r->n_report;
	ssize_t n = room != 0 ? read(r->from, r->report + r->n_report, room)
			      : read(r->from, beyond, sizeof(beyond));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (room != 0)
		r->n_report += (size_t)n;
	return true;
}

static int
ended(struct run *r)
{
	int status = 0;

	/* bounded: others may hold the pipe, and go on writing */
	for (int k = 0; k < 64 && read_some(r); k++)
		;
	(void)waitpid(r->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
kill_it(struct run *r, int status)
{
	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL);
	(void)waitpid(r->pid, NULL, 0);
	return status;
}

static int
feed(struct run *r, const struct outbox *o)
{
	int64_t left, until = clock_now() + 1000 * (int64_t)o->seconds;

	while ((left = until - clock_now()) > 0) {
		struct pollfd fds[] = { { r->process, POLLIN, 0 },
			{ r->from, POLLIN, 0 }, { r->to, POLLOUT, 0 } };

		if (poll(fds, NELEMS(fds), (int)left) < 0 && errno != EINTR)
			break;
		if (fds[1].revents != 0 && !read_some(r) &&
		    (fds[1].revents & POLLIN) == 0) {
			(void)close(r->from);
			r->from = -1;
		}
		if (fds[2].revents != 0 && !write_some(r))
			return kill_it(r, OUTBOX_NOT_RUN);
		if (fds[0].revents != 0)
			return ended(r);
	}
	return kill_it(r, OUTBOX_TIMEOUT);
}

int
outbox_run(const struct outbox *o, int message, int report)
{
	struct run *r;
	int status = OUTBOX_NOT_RUN;

	if (!outbox_may_send(o) || lseek(message, 0, SEEK_SET) < 0 ||
	    (r = calloc(1, sizeof(*r))) == NULL)
		return status;
	r->message = message;
	r->to = r->from = r->process = -1;
	if (o->header[0] != '\0')
		r->n = (size_t)snprintf(r->piece, sizeof(r->piece), "%s: %s\n",
		    o->header, o->sender);
	(void)signal(SIGPIPE, SIG_IGN);
	if (start(r, o))
		status = feed(r, o);
	else if (r->pid > 0)
		status = kill_it(r, status);
	if (r->n_report != 0)
		(void)!write(report, r->report, r->n_report);
	if (r->to >= 0)
		(void)close(r->to);
	if (r->from >= 0)
		(void)close(r->from);
	if (r->process >= 0)
		(void)close(r->process);
	free(r);
	return status;
}

int
outbox_main(char *argv[])
{
	struct outbox o = {
		.program = argv[3], .sender = argv[4], .header = argv[5]
	};
	uint32_t uid, gid;
	struct err e;

	(void)umask(077);
	/* privileges of a program that is set-gid, as Postfix's is, count */
	if (!num_u32(slice_str(argv[0]), &uid) ||
	    !num_u32(slice_str(argv[1]), &gid) ||
	    !num_u32(slice_str(argv[2]), &o.seconds) ||
	    child_become_user(uid, gid, &e) != 0 || chdir("/") < 0)
		return OUTBOX_NOT_RUN;
	return outbox_run(&o, STDIN_FILENO, STDOUT_FILENO);
}
