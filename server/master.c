#include "server/master.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/child.h"
#include "server/service_log.h"

enum { TICK_MS = 250 };

/* --- the log ------------------------------------------------------------- */

static void
note_drops(const char *ident, uint32_t dropped)
{
	if (dropped != 0)
		log_line_as(ident, LOG_LEVEL_WARN,
		    "%u log lines were dropped before this one", dropped);
}

static void
child_log_line(struct msg_in *in)
{
	uint32_t level = msg_get_u32(in);
	const char *ident = msg_get_str(in), *line = msg_get_str(in);
	uint32_t dropped = msg_get_u32(in);

	if (!msg_get_end(in) || level > LOG_LEVEL_TRACE)
		return;
	note_drops(ident, dropped);
	log_line_as(ident, (enum log_level)level, "%s", line);
}

/* --- messages of children ------------------------------------------------ */

static void
session_closed(struct child *c, struct msg_in *in)
{
	struct conn_record *r = conn_find(c->master, msg_get_u64(in));

	if (msg_get_end(in) && r != NULL && r->worker == c)
		conn_drop(c->master, r);
}

static void
conn_closed(struct child *c, struct msg_in *in)
{
	struct conn_record *r = conn_find(c->master, msg_get_u64(in));

	if (c->n_conns > 0)
		c->n_conns--;
	if (!msg_get_end(in) || r == NULL || r->login != c)
		return;
	if (r->worker == NULL)
		conn_drop(c->master, r);
	else
		r->login = NULL;
}

static void
child_ready(struct child *c)
{
	c->ready = true;
	if (c->kind == CHILD_LOGIN)
		master_accept_resume(c->master);
}

/* What a holder says; anything else of it is no message of its. */
static void
holder_says(struct child *c, struct msg_in *in)
{
	const char *text = msg_get_str(in);

	if (strncmp(text, "reload", 6) == 0)
		(void)master_reload(c->master);
	else if (strncmp(text, "holder-ready", 12) == 0)
		c->ready = true;
	else if (strncmp(text, "holder-failed", 13) == 0)
		log_error("%s: pid file: %s",
		    service_name((enum service)c->index), text + 14);
	else if (strncmp(text, "holder-stopped", 14) == 0)
		master_service_off(c->master, (enum service)c->index);
}

void
master_child_message(struct child *c, struct msg_in *in)
{
	/* messages.def has already said who may send what. */
	if (in->type == MSG_LOG)
		child_log_line(in);
	else if (in->type == MSG_READY)
		child_ready(c);
	else if (in->type == MSG_CONN_OPEN)
		master_conn_open(c, in);
	else if (in->type == MSG_CONN_CLOSE)
		conn_closed(c, in);
	else if (in->type == MSG_AUTH_WANTED)
		master_login_send_auth(c);
	else if (in->type == MSG_HANDOVER)
		master_handover(c, in);
	else if (in->type == MSG_SESSION_CLOSED)
		session_closed(c, in);
	else if (in->type == MSG_SEND)
		master_outbox_send(c, in);
	else if (in->type == MSG_WORKER_IDLE)
		master_worker_idle(c);
	else if (in->type == MSG_CONTROL && c->kind == CHILD_HOLDER)
		holder_says(c, in);
}

/* --- start, reload, stop ------------------------------------------------- */

static void
log_remark(
    void *arg, int severity, const char *file, int line, const char *text)
{
	(void)arg;
	if (severity == CONF_NOTE)
		return;
	log_line(severity == CONF_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
	    "%s:%d: %s", file, line, text);
}

int
master_reload(struct master *m)
{
	struct conf *fresh =
	    conf_load(conf_dir(m->conf), CONF_SERVER_FILES, log_remark, NULL);
	struct msg_out out;
	struct buf packed;
	struct child *c;

	if (fresh == NULL) {
		log_error("reload: errors; the running configuration is kept");
		return ERR_FORMAT;
	}
	conf_clients_clear(&m->clients);
	conf_free(&m->conf);
	m->conf = fresh;
	service_log_setup(m->conf);
	conns_set_limits(m);
	master_proxied_configure(m);
	m->access_look_ms = 0;
	master_login_renew_keys();
	buf_init(&packed, MSG_SIZE_MAX - 64);
	conf_pack(m->conf, &packed);
	LIST_FOREACH(c, &m->children, link) {
		if (c->peer == NULL || c->kind == CHILD_HOLDER)
			continue;
		if (c->kind == CHILD_LOGIN) {
			master_login_configure(c, false);
			continue;
		}
		msg_begin(&out, MSG_CONFIG, 0);
		msg_put_bytes(&out, buf_slice(&packed));
		peer_send(c->peer, &out);
	}
	buf_fini(&packed);
	log_info("configuration read again");
	return 0;
}

void
master_stop(struct master *m)
{
	struct msg_out out;
	struct child *c;

	if (m->stopping)
		return;
	m->stopping = true;
	m->stop_by_ms = clock_now() +
	    1000 * conf_num(m->conf, CONF_POSTERN_SHUTDOWN_TIMEOUT);
	log_info("stopping");
	for (int s = 0; s < N_SERVICES; s++)
		master_service_off(m, (enum service)s);
	LIST_FOREACH(c, &m->children, link) {
		if (c->kind == CHILD_HOLDER || c->peer == NULL || c->stopping)
			continue;
		c->stopping = true;
		master_handed_tell(c);
		msg_begin(&out, MSG_SHUTDOWN, 0);
		peer_send(c->peer, &out);
	}
	if (m->auth != NULL)
		peer_free(&m->auth);
}

static void
end_if_stopped(struct master *m)
{
	if (m->stopping && LIST_EMPTY(&m->children))
		(void)event_base_loopbreak(m->base);
}

static void
reap(struct master *m, pid_t pid, int status)
{
	struct child *c = master_child_by_pid(m, pid);

	if (c == NULL)
		return;
	/* Its last words, log lines above all, may still be on the way. */
	if (c->peer != NULL)
		peer_read_rest(c->peer);
	switch (c->kind) {
	case CHILD_LOGIN:
		if (!m->stopping)
			log_error("login: pid=%d ended by %s %d", (int)pid,
			    WIFSIGNALED(status) ? "signal" : "exit",
			    WIFSIGNALED(status) ? WTERMSIG(status)
						: WEXITSTATUS(status));
		master_login_died(c);
		break;
	case CHILD_WORKER:
		master_worker_died(c, status);
		break;
	case CHILD_HOLDER:
		master_holder_died(c);
		break;
	case CHILD_HOOK:
		master_hook_died(c, status);
		break;
	case CHILD_OUTBOX:
		master_outbox_died(c, status);
		break;
	}
	child_release(c);
}

static void
on_child_exit(evutil_socket_t sig, short what, void *arg)
{
	struct master *m = arg;
	int status;
	pid_t pid;

	(void)sig;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reap(m, pid, status);
	end_if_stopped(m);
}

static void
on_signal_stop(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	master_stop(arg);
}

static void
on_signal_reload(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)master_reload(arg);
}

static void
on_auth_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	master_auth_connect(arg);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	int64_t now = clock_now();
	struct child *c;

	(void)fd;
	(void)what;
	master_auth_poll(m);
	tickets_expire(m->tickets, now);
	master_access_tick(m, now);
	master_certificates_tick(m, now);
	master_handovers_retry(m, now);
	for (unsigned i = 0; i < m->n_logins; i++)
		if (m->logins[i] != NULL)
			master_handed_tell(m->logins[i]);
	if (!m->stopping) {
		/* Login processes that die at once: 1, 2, 4 … 32 ticks. */
		static unsigned ticks;
		unsigned pause = m->login_crashes > 5 ? 5 : m->login_crashes;

		if (++ticks % (1u << pause) == 0)
			(void)master_logins_start(m);
	}
	LIST_FOREACH(c, &m->children, link)
		if ((m->stopping && now > m->stop_by_ms) ||
		    (c->end_by_ms != 0 && now > c->end_by_ms))
			(void)kill(c->pid, SIGKILL);
	end_if_stopped(m);
}

static struct event *
signal_event(struct master *m, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(m->base, sig, fn, m);

	(void)event_add(ev, NULL);
	return ev;
}

static void
events_init(struct master *m)
{
	const struct timeval t = { 0, TICK_MS * 1000 };

	m->on_sigchld = signal_event(m, SIGCHLD, on_child_exit);
	m->on_sigterm = signal_event(m, SIGTERM, on_signal_stop);
	m->on_sigint = signal_event(m, SIGINT, on_signal_stop);
	m->on_sighup = signal_event(m, SIGHUP, on_signal_reload);
	m->auth_retry = event_new(m->base, -1, 0, on_auth_retry, m);
	m->tick = event_new(m->base, -1, EV_PERSIST, on_tick, m);
	(void)event_add(m->tick, &t);
}

/* Whether the name still is the open file: its last owner removes it. */
static bool
is_file(int fd, const char *path)
{
	struct stat named, open_one;

	return stat(path, &named) == 0 && fstat(fd, &open_one) == 0 &&
	    named.st_ino == open_one.st_ino && named.st_dev == open_one.st_dev;
}

/* LOGIN_CHROOT by default is where configure had the run directory, whatever
 * RUNDIR says: its parent may be missing as well. */
static int
make_with_parent(const char *path)
{
	char *copy;
	int r = mkdir(path, 0755);

	if (r < 0 && errno == ENOENT) {
		copy = mem_printf("%s", path);
		r = mkdir(dirname(copy), 0755);
		free(copy);
		if (r == 0 || errno == EEXIST)
			r = mkdir(path, 0755);
	}
	return r < 0 && errno != EEXIST ? -1 : 0;
}

/* One posternd a run directory: the lock lives as long as the process. */
static int
lock_rundir(struct master *m, struct err *e)
{
	const struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const char *dir = conf_str(m->conf, CONF_POSTERN_RUNDIR);
	const char *chroot_dir = conf_str(m->conf, CONF_POSTERN_LOGIN_CHROOT);
	char *path;
	int r = 0;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "RUNDIR %s", dir);
	if (geteuid() == 0 && make_with_parent(chroot_dir) != 0)
		return err_sys(e, "LOGIN_CHROOT %s", chroot_dir);
	path = mem_printf("%s/posternd.pid", dir);
	m->lock_fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (m->lock_fd < 0) {
		r = err_sys(e, "RUNDIR %s", dir);
		free(path);
		return r;
	}
	if (fcntl(m->lock_fd, F_SETLK, &whole) < 0 ||
	    !is_file(m->lock_fd, path))
		r = err_set(
		    e, ERR_BUSY, "another posternd runs with RUNDIR %s", dir);
	free(path);
	if (r != 0)
		return r;
	if (ftruncate(m->lock_fd, 0) < 0 ||
	    dprintf(m->lock_fd, "%d\n", (int)getpid()) < 0)
		return err_sys(e, "RUNDIR %s", dir);
	return 0;
}

static int
start_all(struct master *m, struct err *e)
{
	const char *user = conf_str(m->conf, CONF_POSTERN_LOGIN_USER);
	bool any = false;

	if (geteuid() == 0 && getpwnam(user) == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "LOGIN_USER: there is no user %s (useradd --system %s)",
		    user, user);
	if (lock_rundir(m, e) != 0 || master_control_open(m, e) != 0)
		return e->code;
	conns_set_limits(m);
	master_proxied_configure(m);
	for (int s = 0; s < N_SERVICES; s++) {
		if (!master_service_wanted(m, (enum service)s))
			continue;
		any = true;
		if (master_service_on(m, (enum service)s, e) != 0)
			return e->code;
	}
	if (!any && !m->opt.keep)
		return err_set(e, ERR_INVALID,
		    "no service is switched on: see IMAPDSTART, POP3DSTART, "
		    "IMAPDSSLSTART and POP3DSSLSTART");
	master_auth_connect(m);
	if (master_logins_start(m) != 0)
		return err_set(e, ERR_SYS, "can't start login processes");
	return 0;
}

/* The caller waits for us to serve, or for our end. */
static bool
all_ready(const struct master *m)
{
	const struct child *c;

	LIST_FOREACH(c, &m->children, link)
		if (!c->ready)
			return false;
	return true;
}

/* Names of ours in the run directory; the lock is still held. */
static void
tidy_rundir(const struct master *m)
{
	static const char *const names[] = { "control", "posternd.pid" };
	char *path;

	for (size_t i = 0; i < NELEMS(names); i++) {
		path = mem_printf(
		    "%s/%s", conf_str(m->conf, CONF_POSTERN_RUNDIR), names[i]);
		(void)unlink(path);
		free(path);
	}
}

static void
master_fini(struct master *m)
{
	if (m->on_control != NULL) {
		tidy_rundir(m);
		event_free(m->on_control);
		(void)close(m->control_fd);
	}
	event_free(m->on_sigchld);
	event_free(m->on_sigterm);
	event_free(m->on_sigint);
	event_free(m->on_sighup);
	event_free(m->auth_retry);
	event_free(m->tick);
	master_accept_fini(m);
	for (int s = 0; s < N_SERVICES; s++)
		access_free(&m->services[s].access);
	limits_free(&m->limits);
	tickets_free(&m->tickets);
	conf_clients_clear(&m->clients);
	conf_free(&m->conf);
	event_base_free(m->base);
	free(m);
}

/* A daemon that has started has no more to say to who started it, and must
 * not hold that pipe or terminal open. */
static void
leave_stderr(const struct master *m)
{
	if (strcmp(conf_str(m->conf, CONF_POSTERN_LOG), "stderr") != 0 &&
	    dup2(STDIN_FILENO, STDERR_FILENO) < 0)
		log_warn("standard error stays open");
}

int
master_main(const struct master_options *opt, struct conf *conf, int ready_fd)
{
	struct master *m = MEM_NEW(struct master);
	struct err e;
	uint64_t seed = 0;
	bool failed = false;

	child_set_limits();
	m->opt = *opt;
	m->conf = conf;
	m->base = event_base_new();
	LIST_INIT(&m->children);
	LIST_INIT(&m->waiting);
	if (getrandom(&seed, sizeof(seed), 0) < 0)
		log_warn("getrandom failed");
	m->limits = limits_new(seed);
	m->tickets = tickets_new();
	events_init(m);
	master_accept_init(m);
	if (start_all(m, &e) != 0) {
		log_error("%s", e.text);
		/* Who typed the command looks here, not into the log. */
		if (ready_fd >= 0)
			(void)fprintf(stderr, "posternd: %s\n", e.text);
		failed = true;
		master_stop(m);
	}
	while (!failed && !m->stopping && !all_ready(m))
		if (event_base_loop(m->base, EVLOOP_ONCE) != 0)
			break;
	if (!failed && !m->stopping && ready_fd >= 0 &&
	    write(ready_fd, "", 1) != 1)
		log_warn("nobody waits for the start");
	if (ready_fd >= 0) {
		(void)close(ready_fd);
		leave_stderr(m);
	}
	if (!LIST_EMPTY(&m->children))
		(void)event_base_dispatch(m->base);
	log_info("stopped");
	master_fini(m);
	return failed ? 1 : 0;
}
