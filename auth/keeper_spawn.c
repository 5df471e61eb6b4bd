/* The processes of authdaemond other than the keeper. */
#include "config.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/front.h"
#include "auth/helper.h"
#include "auth/keeper_impl.h"
#include "auth/log_target.h"
#include "auth/pam.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum {
	SLOW_NICE = 5,
	FIRST_SOCK = 3, /* of a child's sockets */
};

/* --- who to be ---------------------------------------------------------- */

bool
keeper_find_user(struct keeper *k)
{
	const char *name = settings_user(&k->settings);
	struct passwd *pw;

	k->uid = (uid_t)-1;
	k->gid = (gid_t)-1;
	if (getuid() != 0 || name[0] == '\0')
		return true;
	pw = getpwnam(name);
	if (pw == NULL) {
		log_error("AUTH_USER: no user named %s", name);
		return false;
	}
	k->user = mem_strdup(name);
	k->uid = pw->pw_uid;
	k->gid = pw->pw_gid;
	return true;
}

void
keeper_check_user(const struct keeper *k)
{
	const char *was = k->user != NULL ? k->user : "";

	if (getuid() == 0 && strcmp(settings_user(&k->settings), was) != 0)
		log_warn("AUTH_USER: counts at the next start");
}

/* Groups, gid, uid, in that order, and looked at afterwards. */
static bool
drop_rights(const struct keeper *k)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	if (k->uid != (uid_t)-1 && k->uid != 0) {
		if (initgroups(k->user, k->gid) != 0 ||
		    setresgid(k->gid, k->gid, k->gid) != 0 ||
		    setresuid(k->uid, k->uid, k->uid) != 0)
			return false;
		if (getuid() != k->uid || geteuid() != k->uid ||
		    getgid() != k->gid || getegid() != k->gid || setuid(0) == 0)
			return false;
	}
	/* After setuid(), which sets it anew: no core with passwords in it,
	 * no debugger of the same user. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

void
keeper_be_child(const struct keeper *k, const char *name)
{
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	/* The keeper ends its children; a ^C at the terminal doesn't. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &k->old_mask, NULL);
}

/*
 * What every process of its own does first: only its own sockets (from
 * descriptor 3 on) stay open, signals as at the beginning, the log anew.
 */
static void
become_child(struct keeper *k, const int *socks, int n, const char *name)
{
	/* First out of the way of each other. */
	int high[2];

	assert(n <= 2);
	for (int i = 0; i < n; i++)
		if ((high[i] = fcntl(socks[i], F_DUPFD_CLOEXEC, 16)) < 0)
			_exit(1);
	for (int i = 0; i < n; i++)
		if (dup3(high[i], FIRST_SOCK + i, O_CLOEXEC) < 0)
			_exit(1);
	if (close_range((unsigned)(FIRST_SOCK + n), ~0U, 0) != 0)
		_exit(1);
	log_target_forget();
	log_target_open(&k->settings, k->o.foreground);
	keeper_be_child(k, name);
	secret_fini(&k->secret);
}

/* All but the process for PAM go on with no rights but their user's. */
static void
become_user(const struct keeper *k)
{
	if (drop_rights(k))
		return;
	log_error("can't become user %s", k->user != NULL ? k->user : "?");
	_exit(1);
}

/* The same for one that looks at the configuration's files.  If the user may
 * not, a watch that was made before tells of changes. */
static void
become_user_who_looks(struct keeper *k)
{
	if (k->uid != (uid_t)-1 && k->uid != 0)
		settings_watch(&k->settings);
	become_user(k);
	if (settings_can_look(&k->settings))
		settings_end_watch(&k->settings);
}

/* The first front tells, for all helpers; another must not wait for files. */
static void
become_front_user(struct keeper *k)
{
	if (k->n_fronts != 0) {
		become_user(k);
		return;
	}
	become_user_who_looks(k);
	if (k->settings.watch < 0 && !settings_can_look(&k->settings))
		log_warn("AUTH_USER may not search %s, where changes can't be "
			 "watched: they count at the next SIGHUP",
		    k->settings.dir);
}

/* --- the front ---------------------------------------------------------- */

/* Sockets for another process: ours in *own, non-blocking. */
static bool
make_pair(int *own, int *other)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		log_error("socketpair: %s", strerrordesc_np(errno));
		return false;
	}
	*own = pair[0];
	*other = pair[1];
	return true;
}

void
keeper_spawn_front(struct keeper *k)
{
	int own, other;
	pid_t pid;

	/* If this doesn't work it is tried again, but not at once. */
	k->front_after = clock_now() + FRONT_PAUSE_MS;
	if (!make_pair(&own, &other))
		return;
	pid = fork();
	if (pid == 0) {
		become_child(k, &other, 1, "authd-front");
		become_front_user(k);
		settings_free(&k->settings);
		front_run(FIRST_SOCK);
	}
	(void)close(other);
	if (pid < 0) {
		log_error("fork: %s", strerrordesc_np(errno));
		(void)close(own);
		return;
	}
	k->front = own;
	k->front_pid = pid;
	k->n_fronts++;
	for (int i = 0; i < k->n_bound; i++)
		if (!keeper_send_listener(k, &k->bound[i]))
			log_error("the front doesn't take its sockets");
	if (!keeper_send_config(k))
		log_error("the front doesn't take its settings");
}

void
keeper_lose_front(struct keeper *k)
{
	if (k->front >= 0)
		(void)close(k->front);
	k->front = -1;
	keeper_want_no_helpers(k);
	k->front_after = clock_now() + FRONT_PAUSE_MS;
}

/* --- helpers ------------------------------------------------------------ */

static void
give_helper(struct keeper *k, int sock, pid_t pid, bool slow)
{
	struct msg_out m;

	if (k->front < 0)
		return;
	msg_begin(&m, MSG_AUTHD_HELPER, 0);
	msg_put_u32(&m, (uint32_t)pid);
	msg_put_u32(&m, slow);
	m.fd = sock;
	if (msg_send(k->front, &m) != 0)
		log_error("the front doesn't take its helper");
}

#ifdef WITH_AUTHPAM
/* The process beside a helper that has the rights to ask PAM. */
static bool
spawn_pam(struct keeper *k, int sock)
{
	pid_t pid = fork();

	if (pid == 0) {
		become_child(k, &sock, 1, "authd-pam");
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		settings_free(&k->settings);
		pam_run(FIRST_SOCK);
	}
	if (pid > 0)
		k->helper[k->n_helpers++] = pid;
	return pid > 0;
}
#else
static bool
spawn_pam(struct keeper *k, int sock)
{
	(void)k;
	(void)sock;
	return false;
}
#endif

static pid_t
fork_helper(struct keeper *k, int front, int pam, bool slow)
{
	const int socks[2] = { front, pam };
	pid_t pid = fork();

	if (pid == 0) {
		become_child(k, socks, pam >= 0 ? 2 : 1,
		    slow ? "authd-slow" : "authd-helper");
		become_user_who_looks(k);
		k->settings.slow = slow;
		/* A crowd with slow hashes leaves room for the others. */
		if (slow)
			(void)!nice(SLOW_NICE);
		k->settings.pam_sock = pam >= 0 ? FIRST_SOCK + 1 : -1;
		helper_run(FIRST_SOCK, &k->settings);
	}
	return pid;
}

static void
close_sock(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void
keeper_spawn_helper(struct keeper *k, bool slow)
{
	int own = -1, other = -1, pam = -1, pam_other = -1;
	bool asks_pam = settings_lists(&k->settings, "authpam");
	pid_t pid = -1;

	errno = EAGAIN; /* if there is no room */
	if (k->n_helpers + (asks_pam ? 2 : 1) <= HELPERS_MAX &&
	    make_pair(&own, &other) &&
	    (!asks_pam ||
		(make_pair(&pam, &pam_other) && spawn_pam(k, pam_other))))
		pid = fork_helper(k, other, pam, slow);
	if (pid > 0) {
		k->helper[k->n_helpers++] = pid;
		give_helper(k, own, pid, slow);
	} else {
		log_error("a helper can't be made: %s", strerrordesc_np(errno));
	}
	close_sock(own);
	close_sock(other);
	close_sock(pam);
	close_sock(pam_other);
}

void
keeper_kill_helper(struct keeper *k, pid_t pid)
{
	for (int i = 0; i < k->n_helpers; i++)
		if (k->helper[i] == pid)
			(void)kill(pid, SIGKILL);
}
