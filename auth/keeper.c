#include "auth/keeper.h"

#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/keeper_impl.h"
#include "auth/log_target.h"
#include "auth/table_watch.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/log_out.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum { SECRET_LEN = 32 }; /* hex digits */

/* --- the secret --------------------------------------------------------- */

static bool
make_secret(int dirfd)
{
	uint8_t raw[SECRET_LEN / 2];
	struct buf text;
	bool ok;

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return false;
	buf_init_secret(&text, SECRET_LEN + 1);
	buf_put_hex(&text, slice_of(raw, sizeof(raw)));
	buf_putc(&text, '\n');
	/* As pidfile_write() does. */
	(void)!fsx_unlink(dirfd, "secret.tmp");
	ok = fsx_replace(dirfd, "secret.tmp", "secret", buf_slice(&text), 0600,
		 false) == 0;
	buf_fini(&text);
	return ok;
}

/* Read the file `secret`, which only this user may; make it if it lacks. */
static bool
load_secret(struct keeper *k)
{
	int dirfd = open(k->var, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
		    k->var);
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

/* --- what the front is told ---------------------------------------------- */

/* A time key, in ms. */
static void
put_ms(struct msg_out *m, const struct conf *c, enum conf_key key)
{
	msg_put_u32(m, (uint32_t)(conf_num(c, key) * 1000));
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

bool
keeper_send_config(struct keeper *k)
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
	msg_put_u32(&m, table_watch_is_of_use(&k->settings));
	msg_put_bytes(&m, secret_slice(&k->secret));
	msg_put_str(&m, conf_str(c, CONF_POSTERN_AUTH_TRUSTED));
	return msg_send(k->front, &m) == 0;
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

void
keeper_apply_reload(struct keeper *k)
{
	log_target_open(&k->settings, k->o.foreground);
	if (strcmp(settings_var(&k->settings), k->var) != 0)
		log_warn("authdaemonvar: counts at the next start");
	keeper_check_user(k);
	if (!keeper_make_sockets(k))
		log_error("not every socket is there");
	if (k->front >= 0 && (!keeper_send_config(k) || !send_log(k)))
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
			keeper_lose_front(k);
			continue;
		}
		if (pid == k->reader.pid) {
			keeper_take_read(k, status);
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
		keeper_want_reload(k);
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
		keeper_lose_front(k);
	} else if (m.type == MSG_AUTHD_SPAWN) {
		keeper_want_helper(k, msg_get_u32(&m) != 0);
	} else if (m.type == MSG_AUTHD_KILL) {
		keeper_kill_helper(k, (pid_t)msg_get_u32(&m));
	} else if (m.type == MSG_AUTHD_REWATCH) {
		keeper_want_watch(k);
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
		int64_t wait = keeper_check_read(k), pause;
		struct pollfd p[2] = {
			{ .fd = k->signals, .events = POLLIN },
			{ .fd = k->front, .events = POLLIN },
		};

		if (k->front_pid == 0) {
			pause = k->front_after - clock_now();
			if (pause <= 0) {
				keeper_spawn_front(k);
				continue;
			}
			if (wait < 0 || pause < wait)
				wait = pause;
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
	keeper_lose_front(k);
	keeper_end_read(k);
	keeper_drop_sockets(k);
	/* The helpers' sockets ended with the front. */
	for (int i = 0; i < k->n_helpers; i++)
		(void)kill(k->helper[i], SIGKILL);
	secret_fini(&k->secret);
	settings_free(&k->settings);
	free(k->user);
	free(k->var);
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
	k->var = mem_strdup(settings_var(&k->settings));
	k->front = -1;
	k->signals = -1;
	k->reader.image = -1;
	k->reader.watch = -1;
	k->space = mem_alloc(MSG_SIZE_MAX);
	if (keeper_find_user(k) && take_signals(k) && load_secret(k) &&
	    keeper_make_sockets(k)) {
		set_salt_secret(k);
		log_start(k);
		serve(k);
		status = 0;
	}
	finish(k);
	free(k);
	return status;
}
