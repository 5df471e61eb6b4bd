#include "server/login.h"

#include <errno.h>
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

enum { STOP_MS = 5000, READY_MS = 2000 };

static void
stop_service(struct login *l, enum service s)
{
	struct conn *c, *next;

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

static void
say_ready(struct login *l)
{
	struct msg_out m;

	if (l->ready)
		return;
	l->ready = true;
	msg_begin(&m, MSG_READY, 0);
	peer_send(l->master, &m);
}

static void
on_ready_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	say_ready(arg);
}

/* Clients come from now on: unless authdaemond hangs, not before it has told
 * its mechanisms, which the greeting names. */
static void
start(struct login *l)
{
	const struct timeval t = { READY_MS / 1000, 0 };
	bool first = !l->started;
	struct err e;

	if (login_apply(l, &e) != 0 || (first && close_sandbox(l, &e) != 0)) {
		log_error("login: %s", e.text);
		peer_flush(l->master, 1000);
		exit(1);
	}
	if (!first)
		return;
	l->started = true;
	if (!auth_client_is_greeting(l->auth))
		say_ready(l);
	else
		(void)event_base_once(
		    l->base, -1, EV_TIMEOUT, on_ready_timeout, l, &t);
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
take_connection(struct login *l, struct msg_in *in)
{
	struct conn_facts f = { .id = msg_get_u64(in) };
	uint32_t service = msg_get_u32(in), verdict;

	f.service = (enum service)service;
	f.client_addr = msg_get_str(in);
	f.client_port = (uint16_t)msg_get_u32(in);
	f.local_addr = msg_get_str(in);
	f.local_port = (uint16_t)msg_get_u32(in);
	verdict = msg_get_u32(in);
	f.verdict = (enum conn_verdict)verdict;
	f.vars = msg_get_str(in);
	if (!msg_get_end(in) || service >= N_SERVICES || !l->started ||
	    strlen(f.client_addr) >= CONN_ADDR ||
	    strlen(f.local_addr) >= CONN_ADDR) {
		log_error("login: bad CONNECTION message");
		return;
	}
	conn_begin(l, in->fd, &f);
	in->fd = -1;
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
take_handed_over(struct login *l, struct msg_in *in)
{
	struct slice ids = msg_get_bytes(in);
	struct conn *c;
	uint64_t id;

	for (; ids.n >= sizeof(id); ids = slice_skip(ids, sizeof(id))) {
		memcpy(&id, ids.p, sizeof(id));
		if ((c = conn_by_id(l, id)) != NULL)
			conn_on_handover(c, CONN_OK, "");
	}
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
	if (in->type == MSG_CONNECTION)
		take_connection(l, in);
	else if (in->type == MSG_CONN_VERDICT)
		take_verdict(l, in);
	else if (in->type == MSG_HANDOVER_DONE)
		take_handover(l, in);
	else if (in->type == MSG_HANDED_OVER)
		take_handed_over(l, in);
	else if (in->type == MSG_CONFIG)
		take_configuration(l, msg_get_bytes(in));
	else if (in->type == MSG_TLS_MATERIAL)
		login_take_material(l, in);
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

static void
on_master_lost(struct peer *p, struct msg_in *in, void *arg)
{
	struct login *l = arg;
	struct msg_out m;

	if (in->type == MSG_AUTH_SOCKET)
		auth_client_down(l->auth);
	if (in->type == MSG_CONNECTION) {
		/* the client's end has closed, and the master counts it */
		msg_begin(&m, MSG_CONN_CLOSE, 0);
		msg_put_u64(&m, msg_get_u64(in));
		peer_send(p, &m);
	}
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

	if (l->started)
		say_ready(l);
	if (strlen(names) >= sizeof(l->mechanisms))
		return;
	login_greetings_forget(l);
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
	l->base = event_base_new();
	l->master = peer_new(
	    l->base, CHILD_CONTROL_FD, ROLE_LOGIN, ROLE_MASTER, &handler, l);
	peer_on_lost(l->master, on_master_lost);
	child_log_to(l->master);
	l->on_sigterm = evsignal_new(l->base, SIGTERM, on_sigterm, l);
	(void)event_add(l->on_sigterm, NULL);
	l->auth = auth_client_new(l->base, &hooks, AUTH_MS);
	(void)event_base_dispatch(l->base);
	peer_flush(l->master, 1000);
	/* The process ends: what it holds ends with it. */
	return 0;
}
