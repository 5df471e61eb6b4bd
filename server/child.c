#include "config.h"

#include "server/child.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"

enum { LOG_QUEUE_MAX = 256 * 1024 };

static struct {
	struct peer *master;
	uint32_t dropped;
} child_log;

/*
 * What only tells what happened may wait for more of it, so that the master
 * isn't woken for each line.  What tells that something is wrong is sent at
 * once, and all that waits before it.
 */
static void
to_master(void *arg, enum log_level level, const char *ident, const char *line)
{
	struct msg_out m;

	(void)arg;
	if (peer_queued(child_log.master) > LOG_QUEUE_MAX) {
		child_log.dropped++;
		return;
	}
	msg_begin(&m, MSG_LOG, 0);
	msg_put_u32(&m, level);
	msg_put_str(&m, ident);
	msg_put_str(&m, line);
	msg_put_u32(&m, child_log.dropped);
	child_log.dropped = 0;
	if (level >= LOG_LEVEL_INFO)
		peer_send_lazily(child_log.master, &m);
	else
		peer_send(child_log.master, &m);
}

static void
on_fatal(int sig)
{
	if (child_log.master != NULL)
		peer_last_words(child_log.master);
	/* what it does by default, once we have returned */
	(void)raise(sig);
}

/* Sanitizers report of most of them themselves. */
static const int fatal[] = {
	SIGABRT,
#ifndef WITH_SANITIZERS
	SIGBUS,
	SIGFPE,
	SIGILL,
	SIGSEGV,
#endif
};

/* Lines that wait are sent when the process ends by a fault of its own: they
 * say who was here. */
static void
keep_last_words(void)
{
	struct sigaction act = { .sa_handler = on_fatal,
		.sa_flags = (int)SA_RESETHAND };

	(void)sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < NELEMS(fatal); i++)
		(void)sigaction(fatal[i], &act, NULL);
}

void
child_log_to(struct peer *p)
{
	if (p != NULL)
		keep_last_words();
	child_log.master = p;
	log_set_sink(p != NULL ? to_master : NULL, NULL);
}

static bool
ids_are(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
	    r == uid && e == uid && s == uid && rg == gid && eg == gid &&
	    sg == gid;
}

int
child_become_user(uid_t uid, gid_t gid, struct err *e)
{
	if (geteuid() == 0 && (uid != 0 || gid != 0)) {
		if (uid == 0 || gid == 0)
			return err_set(e, ERR_DENIED,
			    "refusing to run as uid %u gid %u", uid, gid);
		if (setgroups(0, NULL) < 0)
			return err_sys(e, "setgroups");
		if (setresgid(gid, gid, gid) < 0)
			return err_sys(e, "setresgid %u", gid);
		if (setresuid(uid, uid, uid) < 0)
			return err_sys(e, "setresuid %u", uid);
		if (getgroups(0, NULL) != 0 || setuid(0) == 0)
			return err_set(
			    e, ERR_DENIED, "privileges could be regained");
	}
	if (!ids_are(uid, gid))
		return err_set(e, ERR_DENIED,
		    "running as uid %u gid %u, not as %u and %u", getuid(),
		    getgid(), uid, gid);
	return 0;
}

int
child_drop_privileges(uid_t uid, gid_t gid, struct err *e)
{
	int rc = child_become_user(uid, gid, e);

	if (rc != 0)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "prctl");
	return 0;
}

int
child_change_root(const char *dir, struct err *e)
{
	if (geteuid() != 0)
		return 0;
	if (chdir(dir) < 0)
		return err_sys(e, "chdir %s", dir);
	if (chroot(".") < 0)
		return err_sys(e, "chroot %s", dir);
	return 0;
}

void
child_set_limits(void)
{
	struct rlimit files, none = { 0, 0 };

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGPIPE, SIG_IGN);
}
