/*
 * master_outbox: an APPEND to OUTBOX, given to sendmail by a process of its
 * own (outbox.c).  The sender is the user whom the session belongs to: a
 * worker, which serves all accounts of its uid, can't name another one.  The
 * master reads neither the message nor what the program says of it.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/conf/conf_client.h"
#include "server/master.h"
#include "server/outbox.h"

/* After its own limit, in which it ends what it runs. */
enum { END_MS = 5 * 1000 };

/* report: a descriptor, which stays the caller's. */
static void
say(struct child *worker, uint64_t id, uint32_t status, int report)
{
	struct msg_out out;

	msg_begin(&out, MSG_SENT, 0);
	msg_put_u64(&out, id);
	msg_put_u32(&out, status);
	out.fd = report;
	/* the queue has a descriptor of its own until it is sent */
	peer_send(worker->peer, &out);
}

/* Takes report. */
static void
answer(struct child *worker, uint64_t id, uint32_t status, int report)
{
	say(worker, id, status, report);
	(void)close(report);
}

void
master_outbox_refuse(struct child *worker, uint64_t id)
{
	/* /dev/null (main.c): nothing is said */
	say(worker, id, OUTBOX_NOT_RUN, STDIN_FILENO);
}

/* In the child: only async-signal-safe calls. */
static NORETURN void
exec_outbox(const char *const argv[], int message, int report)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(STDIN_FILENO, STDERR_FILENO) < 0 ||
	    dup2(message, STDIN_FILENO) < 0 ||
	    dup2(report, STDOUT_FILENO) < 0 ||
	    close_range(STDERR_FILENO + 1, ~0u, 0) < 0)
		_exit(OUTBOX_NOT_RUN);
	(void)execv(MASTER_SELF, (char *const *)(const void *)argv);
	_exit(OUTBOX_NOT_RUN);
}

static void
start(struct child *worker, const struct conn_record *r, int message,
    const int report[2])
{
	struct master *m = worker->master;
	const enum conf_file f = (enum conf_file)r->service;
	int64_t seconds = conf_num(m->conf, CONF_POSTERN_SENDMAIL_TIMEOUT);
	char uid[16], gid[16], limit[32];
	const char *argv[] = { "posternd", "--sendmail", uid, gid, limit,
		conf_service_str(m->conf, f, CONF_IMAPD_SENDMAIL), r->user,
		conf_service_str(m->conf, f, CONF_IMAPD_HEADERFROM), NULL };
	struct child *c;
	pid_t pid;

	(void)snprintf(uid, sizeof(uid), "%u", worker->uid);
	(void)snprintf(gid, sizeof(gid), "%u", worker->gid);
	(void)snprintf(limit, sizeof(limit), "%lld", (long long)seconds);
	if ((pid = fork()) == 0)
		exec_outbox(argv, message, report[1]);
	(void)close(report[1]);
	if (pid < 0) {
		log_error("outbox: fork: %s", strerrorname_np(errno));
		answer(worker, r->id, OUTBOX_NOT_RUN, report[0]);
		return;
	}
	c = MEM_NEW(struct child);
	c->master = m;
	c->kind = CHILD_OUTBOX;
	c->pid = pid;
	c->ready = true;
	c->uid = worker->uid;
	c->conn_id = r->id;
	c->report = report[0];
	c->end_by_ms = clock_now() + 1000 * seconds + END_MS;
	LIST_INSERT_HEAD(&m->children, c, link);
}

/* Whether one more may run, and none runs for the session. */
static bool
has_room(struct master *m, uint64_t id)
{
	int64_t n = 0;
	struct child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->kind != CHILD_OUTBOX)
			continue;
		if (c->conn_id == id)
			return false;
		n++;
	}
	return n < conf_num(m->conf, CONF_POSTERN_SENDMAIL_MAX);
}

void
master_outbox_send(struct child *worker, struct msg_in *in)
{
	struct master *m = worker->master;
	uint64_t id = msg_get_u64(in);
	struct conn_record *r = conn_find(m, id);
	int report[2];

	if (!msg_get_end(in) || r == NULL || r->worker != worker ||
	    r->user == NULL)
		return;
	if (pipe2(report, O_CLOEXEC) < 0) {
		log_error("outbox: pipe: %s", strerrorname_np(errno));
		master_outbox_refuse(worker, id);
		return;
	}
	if (*conf_service_str(m->conf, (enum conf_file)r->service,
		CONF_IMAPD_OUTBOX) == '\0' ||
	    !has_room(m, id)) {
		log_warn("outbox: too many run already (SENDMAIL_MAX)");
		(void)close(report[1]);
		answer(worker, id, OUTBOX_BUSY, report[0]);
		return;
	}
	start(worker, r, in->fd, report);
}

void
master_outbox_died(struct child *c, int status)
{
	struct conn_record *r = conn_find(c->master, c->conn_id);
	uint32_t code = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status)
	    : WTERMSIG(status) == SIGKILL ? (uint32_t)OUTBOX_TIMEOUT
					  : 128 + (uint32_t)WTERMSIG(status);

	if (r != NULL && r->worker != NULL && r->worker->peer != NULL)
		answer(r->worker, c->conn_id, code, c->report);
	else {
		log_info("outbox: status %u, and its session has gone", code);
		(void)close(c->report);
	}
}
