#include "config.h"

#include "auth/keeper.h"

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/front.h"
#include "auth/helper.h"
#include "auth/log_target.h"
#include "auth/pam.h"
#include "auth/sockets.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/log_out.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum {
	SOCKETS_MAX = 32,
	HELPERS_MAX = 4096,
	SLOW_NICE = 5,
	FIRST_SOCK = 3,	       /* of a child's sockets */
	SECRET_LEN = 32,       /* hex digits */
	FRONT_PAUSE_MS = 1000, /* after one that died */
};

struct bound {
	int fd;
	enum socket_kind kind;
	char *path;
	bool wanted; /* while reloading */
};

struct keeper {
	struct keeper_options o;
	struct settings settings;
	uid_t uid; /* of the other processes; (uid_t)-1: as we are */
	gid_t gid;
	char *user;
	struct bound bound[SOCKETS_MAX];
	int n_bound;
	pid_t front_pid; /* 0: none */
	int front;	 /* socket, or -1 */
	int64_t front_after;
	pid_t helper[HELPERS_MAX];
	int n_helpers;
	int signals;
	sigset_t old_mask;
	struct secret secret;
	uint8_t *space;
	bool stopping;
};

/* --- who to be ---------------------------------------------------------- */

static bool
find_user(struct keeper *k)
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
	if (k->user != NULL && strcmp(k->user, name) != 0)
		log_warn("AUTH_USER: counts at the next start");
	if (k->user == NULL)
		k->user = mem_strdup(name);
	k->uid = pw->pw_uid;
	k->gid = pw->pw_gid;
	return true;
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

/*
 * What every new process does first: only its own sockets (from descriptor 3
 * on) stay open, signals as at the beginning, the log anew.
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
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	log_target_forget();
	log_target_open(&k->settings, k->o.foreground);
	/* The keeper ends its children; a ^C at the terminal doesn't. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &k->old_mask, NULL);
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

/* --- sockets ------------------------------------------------------------ */

static struct bound *
find_bound(struct keeper *k, const char *path)
{
	for (int i = 0; i < k->n_bound; i++)
		if (strcmp(k->bound[i].path, path) == 0)
			return &k->bound[i];
	return NULL;
}

static bool
send_listener(struct keeper *k, const struct bound *b)
{
	struct msg_out m;

	if (k->front < 0)
		return true;
	msg_begin(&m, MSG_AUTHD_LISTENER, 0);
	msg_put_u32(&m, b->kind);
	msg_put_str(&m, b->path);
	m.fd = b->fd;
	return msg_send(k->front, &m) == 0;
}

static bool
want_socket(struct keeper *k, const char *path, enum socket_kind kind,
    mode_t mode, uid_t uid, gid_t gid)
{
	struct bound *b = find_bound(k, path);
	struct err e;
	int fd;

	if (b != NULL) {
		b->wanted = true;
		return true;
	}
	if (k->n_bound == SOCKETS_MAX) {
		log_error("%s: too many sockets", path);
		return false;
	}
	fd = socket_listen(path, kind, mode, uid, gid, &e);
	if (fd < 0) {
		log_error("%s", e.text);
		return false;
	}
	b = &k->bound[k->n_bound++];
	*b = (struct bound){ fd, kind, mem_strdup(path), true };
	return send_listener(k, b);
}

/* The sockets of authdaemonvar. */
static bool
want_own_sockets(struct keeper *k)
{
	static const struct {
		const char *name;
		enum socket_kind kind;
		mode_t mode;
	} own[] = {
		{ "socket", SOCKET_COURIER, 0777 },
		{ "login", SOCKET_LOGIN, 0666 },
		{ "tickets", SOCKET_TICKETS, 0600 },
	};
	const char *var = settings_var(&k->settings);
	bool ok = true;

	for (size_t i = 0; i < NELEMS(own); i++) {
		char *path = mem_printf("%s/%s", var, own[i].name);

		ok = want_socket(
			 k, path, own[i].kind, own[i].mode, k->uid, k->gid) &&
		    ok;
		free(path);
	}
	return ok;
}

/* Those of AUTH_SASL_SOCKETS; one that can't be had doesn't stop the rest. */
static void
want_sasl_sockets(struct keeper *k)
{
	struct sasl_socket s;
	struct err e;
	int r;

	for (int n = 0;
	     (r = settings_sasl_socket(&k->settings, n, &s, &e)) != 0; n++) {
		if (r < 0)
			log_error("%s", e.text);
		else
			(void)want_socket(
			    k, s.path, SOCKET_SASL, s.mode, s.uid, s.gid);
	}
}

static void
drop_bound(struct keeper *k, int i)
{
	struct bound *b = &k->bound[i];
	struct msg_out m;

	if (k->front >= 0) {
		msg_begin(&m, MSG_AUTHD_UNLISTEN, 0);
		msg_put_str(&m, b->path);
		if (msg_send(k->front, &m) != 0)
			log_error("%s: can't be given up", b->path);
	}
	(void)unlink(b->path);
	(void)close(b->fd);
	free(b->path);
	*b = k->bound[--k->n_bound];
}

static bool
make_sockets(struct keeper *k)
{
	bool ok;

	for (int i = 0; i < k->n_bound; i++)
		k->bound[i].wanted = false;
	ok = want_own_sockets(k);
	want_sasl_sockets(k);
	for (int i = k->n_bound - 1; i >= 0; i--)
		if (!k->bound[i].wanted)
			drop_bound(k, i);
	return ok;
}

/* --- the secret --------------------------------------------------------- */

static bool
make_secret(int dirfd)
{
	uint8_t raw[SECRET_LEN / 2];
	struct buf text;
	bool ok;

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return false;
	buf_init(&text, SECRET_LEN + 1);
	for (size_t i = 0; i < sizeof(raw); i++)
		buf_putf(&text, "%02x", raw[i]);
	buf_putc(&text, '\n');
	ok = fsx_replace(dirfd, "secret.tmp", "secret", buf_slice(&text), 0600,
		 false) == 0;
	secret_wipe(text.p, text.cap);
	buf_fini(&text);
	return ok;
}

/* Read the file `secret`, which only this user may; make it if it lacks. */
static bool
load_secret(struct keeper *k)
{
	int dirfd = open(
	    settings_var(&k->settings), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t text[256];
	struct stat st;
	ssize_t n = -1;
	int fd = -1;

	if (dirfd < 0)
		return false;
	fd = fsx_open_read(dirfd, "secret", &st);
	if (fd < 0 && errno == ENOENT && make_secret(dirfd))
		fd = fsx_open_read(dirfd, "secret", &st);
	if (fd >= 0 && st.st_uid == getuid() && (st.st_mode & 077) == 0)
		n = fsx_pread(fd, text, sizeof(text), 0);
	if (n > 0)
		secret_set(&k->secret, slice_of(text, (size_t)n));
	else
		log_error("%s/secret: must be a file of mode 0600 of this "
			  "user, with a secret in it",
		    settings_var(&k->settings));
	secret_wipe(text, sizeof(text));
	if (fd >= 0)
		(void)close(fd);
	(void)close(dirfd);
	return n > 0;
}

/* The helpers' own secret, for the same salts after a restart. */
static void
set_salt_secret(struct keeper *k)
{
	secret_set(&k->settings.salt_secret, secret_slice(&k->secret));
}

/* --- the front ---------------------------------------------------------- */

/* A time key, in ms. */
static void
put_ms(struct msg_out *m, const struct conf *c, enum conf_key key)
{
	msg_put_u32(m, (uint32_t)(conf_num(c, key) * 1000));
}

static bool
send_config(struct keeper *k)
{
	const struct conf *c = k->settings.postern;
	struct msg_out m;
	enum log_level level = LOG_LEVEL_ALERT;

	while (level < LOG_LEVEL_TRACE && log_enabled(level + 1))
		level++;
	msg_begin(&m, MSG_AUTHD_CONFIG, 0);
	msg_put_u32(&m, (uint32_t)conf_num(c, CONF_POSTERN_AUTH_FAILURE_DELAY));
	msg_put_u32(
	    &m, (uint32_t)conf_num(c, CONF_POSTERN_AUTH_TIMEOUT) * 1000 - 500);
	msg_put_u32(&m, settings_helpers(&k->settings));
	msg_put_u32(&m, level);
	msg_put_u32(&m, settings_has_clear(&k->settings));
	msg_put_u32(&m, conf_bool(c, CONF_POSTERN_AUTH_PRE_PASSWORDS));
	put_ms(&m, c, CONF_POSTERN_AUTH_PENALTY);
	put_ms(&m, c, CONF_POSTERN_AUTH_CACHE_TIME);
	put_ms(&m, c, CONF_POSTERN_AUTH_CACHE_FAILED_TIME);
	put_ms(&m, c, CONF_POSTERN_AUTH_CACHE_OUTAGE_TIME);
	msg_put_bytes(&m, secret_slice(&k->secret));
	msg_put_str(&m, conf_str(c, CONF_POSTERN_AUTH_TRUSTED));
	return msg_send(k->front, &m) == 0;
}

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

/* A file that was rotated is another one; the front can't open it. */
static bool
send_log(struct keeper *k)
{
	struct msg_out m;
	int fd = log_out_file();

	if (fd < 0)
		return true;
	msg_begin(&m, MSG_AUTHD_LOG, 0);
	m.fd = fd;
	return msg_send(k->front, &m) == 0;
}

static void
spawn_front(struct keeper *k)
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
		become_user(k);
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
	for (int i = 0; i < k->n_bound; i++)
		if (!send_listener(k, &k->bound[i]))
			log_error("the front doesn't take its sockets");
	if (!send_config(k))
		log_error("the front doesn't take its settings");
}

static void
lose_front(struct keeper *k)
{
	if (k->front >= 0)
		(void)close(k->front);
	k->front = -1;
	k->front_after = clock_now() + FRONT_PAUSE_MS;
}

/* --- helpers ------------------------------------------------------------ */

static void reload(struct keeper *k, bool all);

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
	pid_t pid = k->n_helpers < HELPERS_MAX ? fork() : -1;

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
		become_user(k);
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

static void
spawn_helper(struct keeper *k, bool slow)
{
	int own = -1, other = -1, pam = -1, pam_other = -1;
	pid_t pid = -1;

	/* A changed authmysqlrc is noticed by a helper, read here. */
	if (settings_changed(&k->settings))
		reload(k, false);
	if (k->n_helpers < HELPERS_MAX && make_pair(&own, &other) &&
	    (!settings_lists(&k->settings, "authpam") ||
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

static void
kill_helper(struct keeper *k, pid_t pid)
{
	for (int i = 0; i < k->n_helpers; i++)
		if (k->helper[i] == pid)
			(void)kill(pid, SIGKILL);
}

/* --- what happens ------------------------------------------------------- */

static void
log_start(const struct keeper *k)
{
	const struct conf *c = k->settings.conf;

	log_info("modules=\"%s\", daemons=%u",
	    conf_str(c, CONF_AUTHDAEMONRC_authmodulelist),
	    settings_helpers(&k->settings));
}

/*
 * Read the configuration again; one with an error changes nothing.  all: on
 * SIGHUP, everything; else only what the next helper needs.
 */
static void
reload(struct keeper *k, bool all)
{
	struct settings fresh;

	if (!settings_load(&fresh, k->o.dir)) {
		log_error("configuration: the one before stays in force");
		/* Or every helper would think that it is out of date. */
		settings_stamp(&k->settings);
		return;
	}
	if (strcmp(settings_var(&fresh), settings_var(&k->settings)) != 0)
		log_warn("authdaemonvar: counts at the next start");
	settings_free(&k->settings);
	k->settings = fresh;
	set_salt_secret(k);
	if (!all)
		return;
	log_target_open(&k->settings, k->o.foreground);
	(void)find_user(k);
	if (!make_sockets(k))
		log_error("not every socket is there");
	if (k->front >= 0 && (!send_config(k) || !send_log(k)))
		log_error("the front doesn't take its settings");
	log_start(k);
}

static void
log_death(const char *what, pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_error("%s %d: killed by signal %d", what, (int)pid,
		    WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_error("%s %d: exit status %d", what, (int)pid,
		    WEXITSTATUS(status));
}

static void
bury_children(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == k->front_pid) {
			log_death("front", pid, status);
			k->front_pid = 0;
			lose_front(k);
			continue;
		}
		for (int i = 0; i < k->n_helpers; i++)
			if (k->helper[i] == pid) {
				log_death("helper", pid, status);
				k->helper[i] = k->helper[--k->n_helpers];
				break;
			}
	}
}

static void
begin_stop(struct keeper *k)
{
	struct msg_out m;

	if (k->stopping)
		return;
	k->stopping = true;
	if (k->front < 0)
		return;
	msg_begin(&m, MSG_AUTHD_STOP, 0);
	if (msg_send(k->front, &m) != 0 && k->front_pid > 0)
		(void)kill(k->front_pid, SIGTERM);
}

static void
take_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		bury_children(k);
	else if (info.ssi_signo == SIGHUP)
		reload(k, true);
	else
		begin_stop(k);
}

static void
tell_ready(struct keeper *k)
{
	if (k->o.ready_fd < 0)
		return;
	if (write(k->o.ready_fd, "", 1) != 1)
		log_warn("nobody waits for the start");
	(void)close(k->o.ready_fd);
	k->o.ready_fd = -1;
}

static void
take_message(struct keeper *k)
{
	struct msg_in m;
	int r = msg_recv(k->front, ROLE_AUTH, ROLE_KEEPER, k->space, &m);

	if (r == ERR_BUSY)
		return;
	if (r != 1) {
		/* The front's end, or bytes that it wouldn't send: it is
		 * made anew. */
		if (k->front_pid > 0)
			(void)kill(k->front_pid, SIGKILL);
		lose_front(k);
	} else if (m.type == MSG_AUTHD_SPAWN) {
		spawn_helper(k, msg_get_u32(&m) != 0);
	} else if (m.type == MSG_AUTHD_KILL) {
		kill_helper(k, (pid_t)msg_get_u32(&m));
	} else if (m.type == MSG_AUTHD_READY) {
		tell_ready(k);
	}
}

/* --- life --------------------------------------------------------------- */

static bool
take_signals(struct keeper *k)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, &k->old_mask) != 0)
		return false;
	k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals >= 0;
}

static void
serve(struct keeper *k)
{
	while (!k->stopping || k->front_pid != 0) {
		int64_t wait = -1;
		struct pollfd p[2] = {
			{ .fd = k->signals, .events = POLLIN },
			{ .fd = k->front, .events = POLLIN },
		};

		if (k->front_pid == 0) {
			wait = k->front_after - clock_now();
			if (wait <= 0) {
				spawn_front(k);
				continue;
			}
		}
		if (poll(p, NELEMS(p), (int)wait) < 0)
			continue;
		if (p[0].revents != 0)
			take_signal(k);
		if (p[1].revents != 0 && k->front == p[1].fd && k->front >= 0)
			take_message(k);
	}
}

static void
finish(struct keeper *k)
{
	lose_front(k);
	while (k->n_bound > 0)
		drop_bound(k, k->n_bound - 1);
	/* The helpers' sockets ended with the front. */
	for (int i = 0; i < k->n_helpers; i++)
		(void)kill(k->helper[i], SIGKILL);
	secret_fini(&k->secret);
	settings_free(&k->settings);
	free(k->user);
	free(k->space);
	(void)close(k->signals);
}

int
keeper_run(const struct keeper_options *o, struct settings *s)
{
	struct keeper *k = MEM_NEW(struct keeper);
	int status = 1;

	k->o = *o;
	k->settings = *s;
	*s = (struct settings){ 0 };
	k->front = -1;
	k->signals = -1;
	k->space = mem_alloc(MSG_SIZE_MAX);
	if (find_user(k) && take_signals(k) && load_secret(k) &&
	    make_sockets(k)) {
		set_salt_secret(k);
		log_start(k);
		serve(k);
		status = 0;
	}
	finish(k);
	free(k);
	return status;
}
