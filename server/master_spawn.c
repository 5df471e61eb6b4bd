/*
 * master_spawn: children are started by fork and exec, never by fork alone,
 * so that no memory of the master goes along.
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/paths.h"
#include "server/child.h"
#include "server/master.h"

/* A child whose socket has closed is on its way out. */
enum { END_MS = 5000 };

/* In the child: only async-signal-safe calls. */
static NORETURN void
exec_child(const char *program, const char *const argv[], int control,
    int extra, bool foreground)
{
	/* Both may stand where the other has to go. */
	int c = fcntl(control, F_DUPFD, 10);
	int x = extra >= 0 ? fcntl(extra, F_DUPFD, 10) : -1;
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Who started a daemon through a pipe waits for its end. */
	if (!foreground && dup2(STDIN_FILENO, STDERR_FILENO) < 0)
		_exit(127);
	if (c < 0 || dup2(c, CHILD_CONTROL_FD) < 0)
		_exit(127);
	if (x >= 0 && dup2(x, CHILD_PAGE_FD) < 0)
		_exit(127);
	if (close_range(
		x >= 0 ? CHILD_PAGE_FD + 1 : CHILD_CONTROL_FD + 1, ~0u, 0) < 0)
		_exit(127);
	/* execv's argv is not const by history only. */
	(void)execv(program, (char *const *)(const void *)argv);
	_exit(127);
}

const char *
master_program(const char *name)
{
	const char *other = secure_getenv("POSTERN_LIBEXECDIR");
	static char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s",
	    other != NULL ? other : POSTERN_LIBEXECDIR, name);
	return path;
}

static void
on_child_message(struct peer *p, struct msg_in *m, void *arg)
{
	master_child_message(arg, m);
	(void)p;
}

/* The login process has the client still, and a worker its session. */
static void
on_child_lost(struct peer *p, struct msg_in *m, void *arg)
{
	struct msg_out out;

	if (m->type == MSG_SEND) {
		master_outbox_refuse(arg, msg_get_u64(m));
	} else if (m->type == MSG_HANDOVER) {
		msg_begin(&out, MSG_HANDOVER_DONE, 0);
		msg_put_u64(&out, msg_get_u64(m));
		msg_put_u32(&out, CONN_UNAVAILABLE);
		msg_put_str(&out, "");
		peer_send(p, &out);
	}
}

static void
on_child_end(struct peer *p, const char *why, void *arg)
{
	struct child *c = arg;

	/* What it was comes apart when its exit status is collected.  One
	 * that broke the rules is helped along, one that only closed its
	 * socket may finish what it does. */
	if (strcmp(why, "closed") == 0)
		c->end_by_ms = clock_now() + END_MS;
	else {
		log_error("master: child pid=%d ended: %s", (int)c->pid, why);
		(void)kill(c->pid, SIGKILL);
	}
	peer_free(&c->peer);
	(void)p;
}

struct child *
master_spawn(struct master *m, enum child_kind kind, const char *program,
    const char *const argv[], int extra_fd)
{
	static const struct peer_handler handler = { on_child_message,
		on_child_end };
	static const enum msg_role roles[] = { ROLE_LOGIN, ROLE_WORKER,
		ROLE_CONTROL };
	struct child *c;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("master: socketpair: %s", strerrorname_np(errno));
		return NULL;
	}
	if ((pid = fork()) == 0)
		exec_child(program, argv, pair[1], extra_fd, m->opt.foreground);
	(void)close(pair[1]);
	if (pid < 0) {
		log_error("master: fork: %s", strerrorname_np(errno));
		(void)close(pair[0]);
		return NULL;
	}
	c = MEM_NEW(struct child);
	c->master = m;
	c->kind = kind;
	c->pid = pid;
	c->peer =
	    peer_new(m->base, pair[0], ROLE_MASTER, roles[kind], &handler, c);
	peer_on_lost(c->peer, on_child_lost);
	LIST_INSERT_HEAD(&m->children, c, link);
	return c;
}

void
child_release(struct child *c)
{
	LIST_REMOVE(c, link);
	peer_free(&c->peer);
	if (c->page != NULL)
		(void)munmap(c->page, CHILD_PAGE_SIZE);
	free(c->only_account);
	free(c->hook_path);
	free(c);
}

struct child *
master_child_by_pid(struct master *m, pid_t pid)
{
	struct child *c;

	LIST_FOREACH(c, &m->children, link)
		if (c->pid == pid)
			return c;
	return NULL;
}
