#include "server/login.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/child.h"
#include "server/login_impl.h"
#include "server/sandbox.h"

enum {
	ACCEPTS_A_TURN = 16,
	/* After an accept() for want of descriptors, or of room. */
	PAUSE_MS = 100,
	/* Descriptors that are no client's, and those of a TLS session. */
	FDS_OWN = 64,
	FDS_PER_CONN = 2,
	STOP_MS = 5000,
};

/* --- accepting ----------------------------------------------------------- */

/* Addresses as text, IPv4 as IPv4-mapped IPv6, as Courier's log has them. */
static uint16_t
sockaddr_text(const struct sockaddr_storage *ss, char out[CONN_ADDR])
{
	const struct sockaddr_in *four = (const void *)ss;
	const struct sockaddr_in6 *six = (const void *)ss;

	if (ss->ss_family == AF_INET) {
		memcpy(out, "::ffff:", 8);
		(void)inet_ntop(
		    AF_INET, &four->sin_addr, out + 7, CONN_ADDR - 7);
		return ntohs(four->sin_port);
	}
	(void)inet_ntop(AF_INET6, &six->sin6_addr, out, CONN_ADDR);
	return ntohs(six->sin6_port);
}

static void
listeners_pause(struct login *l)
{
	const struct timeval t = { 0, PAUSE_MS * 1000 };

	if (l->accept_paused)
		return;
	l->accept_paused = true;
	for (unsigned i = 0; i < l->n_listeners; i++)
		(void)event_del(l->listeners[i].on_accept);
	(void)event_add(l->on_resume, &t);
}

static void
on_accept_resume(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;

	(void)fd;
	(void)what;
	l->accept_paused = false;
	for (unsigned i = 0; i < l->n_listeners; i++)
		(void)event_add(l->listeners[i].on_accept, NULL);
}

static void
on_listener_ready(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	char client[CONN_ADDR], local[CONN_ADDR];
	struct sockaddr_storage from, to;
	uint16_t port, local_port;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		socklen_t n = sizeof(from), to_n = sizeof(to);
		int conn;

		if (listener->login->n_conns >= listener->login->conns_max) {
			/* A sibling takes the next ones, or they wait. */
			listeners_pause(listener->login);
			return;
		}
		conn = accept4(fd, (struct sockaddr *)&from, &n,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM) {
				log_error("login: accept: %s",
				    strerrordesc_np(errno));
				listeners_pause(listener->login);
			}
			return;
		}
		if (getsockname(conn, (struct sockaddr *)&to, &to_n) < 0) {
			(void)close(conn);
			continue;
		}
		port = sockaddr_text(&from, client);
		local_port = sockaddr_text(&to, local);
		conn_accept(listener, conn, client, port, local, local_port);
	}
}

static void
take_listener(struct login *l, struct msg_in *in)
{
	struct listener *k;
	uint32_t service = msg_get_u32(in);

	(void)msg_get_u32(in);
	if (!msg_get_end(in) || service >= N_SERVICES ||
	    l->n_listeners >= LOGIN_LISTENERS_MAX) {
		log_error("login: bad LISTENER message");
		return;
	}
	k = &l->listeners[l->n_listeners++];
	*k = (struct listener){ l, (enum service)service, in->fd, NULL };
	in->fd = -1;
	k->on_accept = event_new(
	    l->base, k->fd, EV_READ | EV_PERSIST, on_listener_ready, k);
	if (l->started && !l->accept_paused)
		(void)event_add(k->on_accept, NULL);
}

static void
listener_close(struct listener *k)
{
	event_free(k->on_accept);
	(void)close(k->fd);
}

/*
 * Events hold pointers to their listeners, so the table must not move while
 * others are left: each survivor gets a fresh event.
 */
static void
stop_service(struct login *l, enum service s)
{
	struct listener kept[LOGIN_LISTENERS_MAX];
	struct conn *c, *next;
	unsigned n = 0;

	for (unsigned i = 0; i < l->n_listeners; i++) {
		struct listener *k = &l->listeners[i];

		if (k->service == s) {
			listener_close(k);
			continue;
		}
		event_free(k->on_accept);
		kept[n++] = *k;
	}
	l->n_listeners = n;
	for (unsigned i = 0; i < n; i++) {
		struct listener *k = &l->listeners[i];

		*k = kept[i];
		k->on_accept = event_new(
		    l->base, k->fd, EV_READ | EV_PERSIST, on_listener_ready, k);
		if (l->started && !l->accept_paused)
			(void)event_add(k->on_accept, NULL);
	}
	for (c = TAILQ_FIRST(&l->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->service == s)
			conn_stop(c, PREAUTH_STOPPING);
	}
}

/* --- the start ritual ---------------------------------------------------- */

/* LOGIN_USER, if there is one; else nobody. */
static int
login_ids(const struct conf *conf, uid_t *uid, gid_t *gid, struct err *e)
{
	const char *name = conf_str(conf, CONF_POSTERN_LOGIN_USER);
	const struct passwd *pw;

	*uid = geteuid();
	*gid = getegid();
	if (*uid != 0)
		return 0;
	/* One thread, before any other: the static buffer is ours. */
	pw = getpwnam(name); /* NOLINT(concurrency-mt-unsafe) */
	if (pw == NULL && !conf_is_set(conf, CONF_POSTERN_LOGIN_USER))
		pw = getpwnam("nobody"); /* NOLINT(concurrency-mt-unsafe) */
	if (pw == NULL)
		return err_set(
		    e, ERR_NOT_FOUND, "LOGIN_USER: no user %s", name);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int
close_sandbox(struct login *l, struct err *e)
{
	uid_t uid;
	gid_t gid;

	if (login_ids(l->conf, &uid, &gid, e) != 0 ||
	    child_change_root(
		conf_str(l->conf, CONF_POSTERN_LOGIN_CHROOT), e) != 0 ||
	    child_drop_privileges(uid, gid, e) != 0)
		return e->code;
	return sandbox_enter(SANDBOX_LOGIN, e);
}

/* LOGIN_MAX_CONNECTIONS, or as many as there are descriptors for. */
static void
set_conns_max(struct login *l)
{
	int64_t max = conf_num(l->conf, CONF_POSTERN_LOGIN_MAX_CONNECTIONS);
	struct rlimit files;

	if (l->started)
		return;
	l->conns_max = (unsigned)max;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur > FDS_OWN + FDS_PER_CONN &&
	    (files.rlim_cur - FDS_OWN) / FDS_PER_CONN < (rlim_t)max)
		l->conns_max =
		    (unsigned)((files.rlim_cur - FDS_OWN) / FDS_PER_CONN);
}

static void
start(struct login *l)
{
	bool first = !l->started;
	struct msg_out m;
	struct err e;

	if (login_apply(l, &e) != 0 || (first && close_sandbox(l, &e) != 0)) {
		log_error("login: %s", e.text);
		peer_flush(l->master, 1000);
		exit(1);
	}
	set_conns_max(l);
	if (!first)
		return;
	l->started = true;
	for (unsigned i = 0; i < l->n_listeners; i++)
		(void)event_add(l->listeners[i].on_accept, NULL);
	msg_begin(&m, MSG_READY, 0);
	peer_send(l->master, &m);
}

/* --- what the master says ------------------------------------------------ */

static void
take_configuration(struct login *l, struct slice packed)
{
	conf_free(&l->next_conf);
	l->next_conf = conf_unpack(packed);
	if (l->next_conf == NULL)
		log_error("login: bad CONFIG message");
}

static void
take_verdict(struct login *l, struct msg_in *in)
{
	struct conn *c = conn_by_id(l, msg_get_u64(in));
	uint32_t v = msg_get_u32(in);
	const char *vars = msg_get_str(in);

	if (c != NULL && msg_get_end(in))
		conn_on_verdict(c, (enum conn_verdict)v, vars);
}

static void
take_handover(struct login *l, struct msg_in *in)
{
	struct conn *c = conn_by_id(l, msg_get_u64(in));
	uint32_t v = msg_get_u32(in);
	const char *reason = msg_get_str(in);

	if (c != NULL && msg_get_end(in))
		conn_on_handover(c, (enum conn_verdict)v, reason);
}

static void
on_stop_tick(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;
	static int64_t by_ms;
	const struct timeval t = { 0, 50 * 1000 };

	(void)fd;
	(void)what;
	if (by_ms == 0)
		by_ms = clock_now() + STOP_MS;
	if (l->n_conns == 0 || clock_now() > by_ms)
		(void)event_base_loopbreak(l->base);
	else
		(void)event_base_once(
		    l->base, -1, EV_TIMEOUT, on_stop_tick, l, &t);
}

/* Relays go on until the worker has said goodbye, or for STOP_MS. */
static void
shut_down(struct login *l)
{
	if (l->stopping)
		return;
	l->stopping = true;
	for (int s = 0; s < N_SERVICES; s++)
		stop_service(l, (enum service)s);
	on_stop_tick(-1, 0, l);
}

static void
on_sigterm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	shut_down(arg);
}

static void
on_master_message(struct peer *p, struct msg_in *in, void *arg)
{
	struct login *l = arg;

	(void)p;
	if (in->type == MSG_CONN_VERDICT)
		take_verdict(l, in);
	else if (in->type == MSG_HANDOVER_DONE)
		take_handover(l, in);
	else if (in->type == MSG_CONFIG)
		take_configuration(l, msg_get_bytes(in));
	else if (in->type == MSG_TLS_MATERIAL)
		login_take_material(l, in);
	else if (in->type == MSG_LISTENER)
		take_listener(l, in);
	else if (in->type == MSG_AUTH_SOCKET) {
		auth_client_socket(l->auth, in->fd);
		in->fd = -1;
	} else if (in->type == MSG_AUTH_DOWN)
		auth_client_down(l->auth);
	else if (in->type == MSG_START)
		start(l);
	else if (in->type == MSG_SERVICE_STOP)
		stop_service(l, (enum service)msg_get_u32(in));
	else if (in->type == MSG_SHUTDOWN)
		shut_down(l);
}

/* A listener that is lost is one of other processes, too. */
static void
on_master_lost(struct peer *p, struct msg_in *in, void *arg)
{
	struct login *l = arg;

	(void)p;
	if (in->type == MSG_AUTH_SOCKET)
		auth_client_down(l->auth);
}

static void
on_master_end(struct peer *p, const char *why, void *arg)
{
	struct login *l = arg;

	(void)p;
	(void)why;
	child_log_to(NULL);
	(void)event_base_loopbreak(l->base);
}

static void
want_auth_socket(void *arg)
{
	struct login *l = arg;
	struct msg_out m;

	msg_begin(&m, MSG_AUTH_WANTED, 0);
	peer_send(l->master, &m);
}

/* Those names that are good without a TLS connection, or a certificate. */
static void
put_mechanisms(char *out, size_t n, const char *names, bool tls, bool cert)
{
	struct slice rest = slice_str(names), one;
	struct buf b;

	buf_init(&b, n);
	while (slice_split(&rest, ' ', &one)) {
		if ((!tls && slice_ends(one, SLICE("-PLUS"))) ||
		    (!cert && slice_ieq(one, SLICE("EXTERNAL"))))
			continue;
		if (buf_len(&b) != 0)
			buf_putc(&b, ' ');
		buf_put(&b, one);
	}
	memcpy(out, buf_cstr(&b), buf_len(&b) + 1);
	buf_fini(&b);
}

static void
take_mechanisms(void *arg, const char *names)
{
	struct login *l = arg;

	if (strlen(names) >= sizeof(l->mechanisms))
		return;
	put_mechanisms(
	    l->mechanisms, sizeof(l->mechanisms), names, false, false);
	put_mechanisms(
	    l->mechanisms_tls, sizeof(l->mechanisms_tls), names, true, false);
	put_mechanisms(
	    l->mechanisms_cert, sizeof(l->mechanisms_cert), names, true, true);
}

int
login_main(unsigned index)
{
	static const struct peer_handler handler = { on_master_message,
		on_master_end };
	struct login *l = MEM_NEW(struct login);
	const struct auth_client_hooks hooks = { want_auth_socket,
		take_mechanisms, l };

	/* Longer than authdaemond takes to say that its table is away, and
	 * that it delays a failure. */
	enum { AUTH_MS = 25 * 1000 };

	log_set_ident("login");
	child_set_limits();
	/* ^C and a hang-up reach all of a terminal; the master decides. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	TAILQ_INIT(&l->conns);
	l->index = index;
	/* Sessions of workers outlive a login process, and its successor must
	 * not give their ids again.  Milliseconds of the wall clock outrun any
	 * count of connections, and fit below the index until 2^48 of them. */
	l->next_id = (uint64_t)clock_wall();
	l->base = event_base_new();
	l->master = peer_new(
	    l->base, CHILD_CONTROL_FD, ROLE_LOGIN, ROLE_MASTER, &handler, l);
	peer_on_lost(l->master, on_master_lost);
	child_log_to(l->master);
	l->on_resume = event_new(l->base, -1, 0, on_accept_resume, l);
	l->on_sigterm = evsignal_new(l->base, SIGTERM, on_sigterm, l);
	(void)event_add(l->on_sigterm, NULL);
	l->auth = auth_client_new(l->base, &hooks, AUTH_MS);
	(void)event_base_dispatch(l->base);
	peer_flush(l->master, 1000);
	/* The process ends: what it holds ends with it. */
	return 0;
}
