/*
 * master_auth: authdaemond, as the master sees it: a socket on which tickets
 * come, and a socket that it opens for login processes, who can't.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/master.h"

enum {
	SECRET_MAX = 128,
	/* Read for one handover; the loop goes on with what is left. */
	TICKETS_A_TURN = 64,
};

static int
dial(const struct master *m, const char *name, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *dir = conf_str(m->conf, CONF_AUTHDAEMONRC_authdaemonvar);
	int fd, n;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int keep = errno;

		(void)close(fd);
		errno = keep;
		fd = -1;
	}
	return fd;
}

/* Not before its tickets come here: a login would have none. */
int
master_auth_dial(const struct master *m)
{
	if (m->auth == NULL || !peer_poll(m->auth)) {
		errno = ENOTCONN;
		return -1;
	}
	return dial(m, "login", SOCK_STREAM);
}

static void
take_ticket(struct master *m, struct msg_in *in)
{
	struct account_record r = { 0 };
	struct slice ticket = msg_get_bytes(in);
	const char *service = msg_get_str(in), *addr = msg_get_str(in);

	r.uid = msg_get_u32(in);
	r.gid = msg_get_u32(in);
	r.user = mem_strdup(msg_get_str(in));
	r.home = mem_strdup(msg_get_str(in));
	r.maildir = mem_strdup(msg_get_str(in));
	r.quota = mem_strdup(msg_get_str(in));
	r.options = mem_strdup(msg_get_str(in));
	if (msg_get_end(in) && ticket.n == TICKET_SIZE) {
		tickets_add(m->tickets, ticket, service, addr, &r, clock_now());
		master_handovers_retry(m, clock_now());
	} else
		log_error("master: bad ticket from authdaemond");
	account_record_fini(&r);
}

static void
on_auth_message(struct peer *p, struct msg_in *in, void *arg)
{
	(void)p;
	if (in->type == MSG_TICKET)
		take_ticket(arg, in);
}

static void
retry_later(struct master *m)
{
	const struct timeval t = { 0, 200 * 1000 };

	(void)event_add(m->auth_retry, &t);
}

static void
on_auth_end(struct peer *p, const char *why, void *arg)
{
	struct master *m = arg;

	(void)p;
	log_warn("authdaemond: connection for tickets ended: %s", why);
	peer_free(&m->auth);
	retry_later(m);
}

static ssize_t
read_secret(const struct master *m, char to[SECRET_MAX])
{
	char *path = mem_printf(
	    "%s/secret", conf_str(m->conf, CONF_AUTHDAEMONRC_authdaemonvar));
	int fd = fsx_open_read(AT_FDCWD, path, NULL);
	ssize_t n = 0;

	free(path);
	if (fd < 0)
		return 0;
	n = fsx_pread(fd, to, SECRET_MAX, 0);
	(void)close(fd);
	return n;
}

/*
 * Without root, peer credentials prove nothing: authdaemond keeps a secret in
 * a file that only its own user can read.  Root is believed, and opens nothing
 * in a directory that is another's.
 */
static void
say_hello(struct master *m)
{
	char secret[SECRET_MAX];
	ssize_t n = geteuid() != 0 ? read_secret(m, secret) : 0;
	struct msg_out out;

	msg_begin(&out, MSG_TICKET_HELLO, 0);
	msg_put_bytes(&out, slice_of(secret, n > 0 ? (size_t)n : 0));
	peer_send(m->auth, &out);
	explicit_bzero(secret, sizeof(secret));
}

void
master_auth_poll(struct master *m)
{
	if (m->auth != NULL)
		(void)peer_poll(m->auth);
}

void
master_auth_fetch(struct master *m, struct slice ticket)
{
	for (int i = 0; i < TICKETS_A_TURN && m->auth != NULL &&
	     !tickets_have(m->tickets, ticket);
	     i++)
		if (!peer_poll_one(m->auth))
			return;
}

void
master_auth_listen(struct master *m, bool on)
{
	if (m->auth != NULL)
		peer_set_reading(m->auth, on);
}

void
master_auth_connect(struct master *m)
{
	static const struct peer_handler handler = { on_auth_message,
		on_auth_end };
	static int said; /* the last errno logged: not five times a second */
	int fd;

	if (m->auth != NULL || m->stopping)
		return;
	fd = dial(m, "tickets", SOCK_SEQPACKET);
	if (fd < 0) {
		if (said != errno)
			log_error("authdaemon: s_connect() failed: %s "
				  "[Hint: perhaps authdaemond is not running?]",
			    strerrordesc_np(errno));
		said = errno;
		retry_later(m);
		return;
	}
	if (said != 0)
		log_info("authdaemond: connected");
	said = 0;
	m->auth = peer_new(m->base, fd, ROLE_MASTER, ROLE_AUTH, &handler, m);
	master_auth_listen(m, !LIST_EMPTY(&m->waiting));
	say_hello(m);
	for (unsigned i = 0; i < m->n_logins; i++)
		if (m->logins[i] != NULL && m->logins[i]->peer != NULL)
			master_login_send_auth(m->logins[i]);
}
