/*
 * login_conn: one client connection, from the master's giving it to its
 * handover or its end.
 *
 * A connection is freed at one place, from the loop (on_conn_dead), so no
 * callback frees what a caller up the stack still holds.
 */
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocols/imap/preauth.h"
#include "protocols/pop3/preauth.h"
#include "server/login_impl.h"
#include "server/net/proxy.h"
#include "server/service_log.h"

enum {
	RUNS_A_TURN = 64,
	DRAIN_MS = 10 * 1000,
	/* For the client to take our last words. */
	LINGER_MS = 2 * 1000,
	/* authdaemond and the master answer sooner, or are gone. */
	PEER_MS = 60 * 1000,
};

static const char *
ident(const struct conn *c)
{
	return service_ident(c->service);
}

static void
set_timer(struct conn *c, int64_t ms)
{
	const struct timeval t = clock_timeval(ms);

	(void)event_add(&c->on_timer, &t);
}

/* Call on_conn_io() while the client's socket is so; 0: not at all.  Nothing
 * is done where that was so before: each change is a system call. */
static void
watch(struct conn *c, short want)
{
	if (c->watched == want)
		return;
	(void)event_del(&c->on_io);
	c->watched = want;
	if (want == 0)
		return;
	(void)event_assign(&c->on_io, c->login->base, c->fd,
	    (short)(want | EV_PERSIST), event_get_callback(&c->on_io), c);
	(void)event_add(&c->on_io, NULL);
}

static int64_t
proxy_ms(const struct conn *c)
{
	const struct conf_tcpdopts *o = &c->login->tcpdopts[c->service];

	return 1000 *
	    (o->haproxy_timeout != 0
		    ? (int64_t)o->haproxy_timeout
		    : conf_num(c->login->conf, CONF_POSTERN_PROXY_TIMEOUT));
}

/* One function sets the state, and with it the time that it may take. */
void
conn_set_state(struct conn *c, enum conn_state state)
{
	const struct conf *conf = c->login->conf;
	int64_t login_ms = 1000 * conf_num(conf, CONF_POSTERN_LOGIN_TIMEOUT);
	int64_t left = c->began_ms + login_ms - clock_now();

	if (c->state == CONN_DEAD)
		return;
	c->state = state;
	switch (state) {
	case CONN_PROXY:
		set_timer(c, proxy_ms(c));
		break;
	case CONN_HANDSHAKE:
		set_timer(c,
		    1000 * conf_num(conf, CONF_POSTERN_TLS_HANDSHAKE_TIMEOUT));
		break;
	case CONN_TALK:
		set_timer(c, left > 0 ? left : 0);
		break;
	case CONN_WAIT_VERDICT:
	case CONN_WAIT_AUTH:
	case CONN_WAIT_HANDOVER:
		set_timer(c, PEER_MS);
		break;
	case CONN_DRAIN:
		set_timer(c, DRAIN_MS);
		break;
	case CONN_RELAY:
		(void)event_del(&c->on_timer);
		break;
	case CONN_DEAD:
		(void)event_del(&c->on_timer);
		watch(c, 0);
		event_active(&c->on_dead, EV_TIMEOUT, 1);
		break;
	}
}

static void
send_simple(struct conn *c, enum msg_type type)
{
	struct msg_out m;

	msg_begin(&m, type, 0);
	msg_put_u64(&m, c->id);
	peer_send(c->login->master, &m);
}

/* --- the end ------------------------------------------------------------- */

static void
on_conn_dead(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	auth_cancel(&c->auth);
	relay_free(&c->relay);
	if (c->ssl != NULL)
		tls_shutdown(c->ssl);
	tls_free(&c->ssl);
	if (c->fd >= 0) {
		(void)close(c->fd);
		/* A socket that the worker has is counted on by the master. */
		send_simple(c, MSG_CONN_CLOSE);
	}
	if (c->relay_peer >= 0)
		(void)close(c->relay_peer);
	if (c->pre != NULL)
		c->pre->ops->free(c->pre);
	buf_fini(&c->proxy);
	free(c->cert_user);
	(void)event_del(&c->on_io);
	(void)event_del(&c->on_timer);
	(void)event_del(&c->on_dead);
	TAILQ_REMOVE(&c->login->conns, c, link);
	LIST_REMOVE(c, by_id);
	c->login->n_conns--;
	c->magic = 0;
	free(c);
}

/* Nothing more will be read: send what is queued, then close. */
static void
drain(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	conn_set_state(c, CONN_DRAIN);
}

/*
 * All is said.  Closing a socket that has unread bytes makes the kernel send
 * a reset, which can take the last words away from the client: so only our
 * half is closed, and what comes is read until its end.
 */
static void
linger(struct conn *c)
{
	if (c->lingering)
		return;
	c->lingering = true;
	if (c->ssl != NULL)
		tls_shutdown(c->ssl);
	(void)shutdown(c->fd, SHUT_WR);
	set_timer(c, LINGER_MS);
}

void
conn_stop(struct conn *c, enum preauth_failure why)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	switch (c->state) {
	case CONN_TALK:
	case CONN_WAIT_AUTH:
		auth_cancel(&c->auth);
		c->pre->ops->end(c->pre, why);
		drain(c);
		conn_settle(c);
		break;
	case CONN_PROXY:
	case CONN_WAIT_VERDICT:
	case CONN_HANDSHAKE:
		conn_set_state(c, CONN_DEAD);
		break;
	case CONN_WAIT_HANDOVER:
	case CONN_DRAIN:
	case CONN_RELAY:
	case CONN_DEAD:
		break;
	}
}

/* --- the talk ------------------------------------------------------------ */

/* One event of the preauth; false when it waits for somebody. */
static bool
act(struct conn *c, enum preauth_event ev)
{
	switch (ev) {
	case PREAUTH_WAIT:
		return false;
	case PREAUTH_AUTH:
		conn_begin_auth(c);
		return false;
	case PREAUTH_RESPONSE:
		if (conn_continue_auth(c))
			return false;
		c->pre->ops->failed(c->pre, PREAUTH_UNAVAILABLE, NULL);
		return true;
	case PREAUTH_ABORT:
		auth_cancel(&c->auth);
		conn_log_failure(c);
		return true;
	case PREAUTH_STARTTLS:
		c->tls_next = true;
		return false;
	case PREAUTH_CLOSE:
		if (c->pre->logged_out)
			conn_log_logout(c);
		drain(c);
		return false;
	}
	return false;
}

void
conn_run(struct conn *c)
{
	for (int i = 0; c->state == CONN_TALK && !c->tls_next; i++) {
		enum preauth_event ev = c->pre->ops->run(c->pre);

		if (!act(c, ev) || i >= RUNS_A_TURN)
			break;
	}
	conn_settle(c);
}

void
conn_settle(struct conn *c)
{
	short want = 0;

	if (c->state == CONN_DEAD || c->state == CONN_RELAY ||
	    c->state == CONN_WAIT_HANDOVER) {
		watch(c, 0);
		return;
	}
	if (c->state != CONN_HANDSHAKE && !conn_send(c)) {
		conn_set_state(c, CONN_DEAD);
		return;
	}
	if (buf_len(&c->pre->out) == 0 && c->state == CONN_DRAIN)
		linger(c);
	if (buf_len(&c->pre->out) == 0 && c->tls_next) {
		/* RFC 3501 6.2.1: nothing that came in clear counts. */
		buf_reset(&c->pre->in);
		conn_begin_tls(c);
	}
	if (c->state == CONN_DEAD)
		return;
	if (c->want_write || c->read_wants_write)
		want |= EV_WRITE;
	if (c->state == CONN_PROXY || c->state == CONN_HANDSHAKE ||
	    c->state == CONN_DRAIN || (c->state == CONN_TALK && !c->tls_next))
		want |= EV_READ;
	watch(c, want);
	/* What OpenSSL has decrypted already makes no descriptor readable. */
	if ((want & EV_READ) != 0 && c->ssl != NULL && c->state == CONN_TALK &&
	    SSL_pending(c->ssl) > 0)
		event_active(&c->on_io, EV_READ, 1);
}

static void
talk_on(struct conn *c)
{
	for (int i = 0; i < RUNS_A_TURN && c->state == CONN_TALK; i++) {
		enum conn_received got = conn_receive(c);

		if (got == RECEIVED_END) {
			conn_log_gone(c);
			conn_set_state(c, CONN_DEAD);
			return;
		}
		conn_run(c);
		/* TLS may hold more than one read of decrypted bytes. */
		if (got == RECEIVED_NONE || c->ssl == NULL)
			return;
	}
}

/* What a client says while we only want to be rid of it. */
static void
discard(struct conn *c)
{
	if (conn_discard(c) == RECEIVED_END)
		conn_set_state(c, CONN_DEAD);
	else
		conn_settle(c);
}

/* --- the beginning ------------------------------------------------------- */

static bool
is_loopback(const char *addr)
{
	return strcmp(addr, "::1") == 0 ||
	    strncmp(addr, "::ffff:127.", 11) == 0;
}

const struct conf *
conn_conf(const struct conn *c)
{
	return c->view != NULL ? c->view->conf : c->login->conf;
}

/* Password commands in the clear: the setting rules if there is one, else
 * only clients on this machine may. */
static bool
clear_allowed(const struct conn *c)
{
	enum conf_key key = service_is_pop3(c->service)
	    ? CONF_POP3D_SSL_POP3_TLS_REQUIRED
	    : CONF_IMAPD_SSL_IMAP_TLS_REQUIRED;

	const enum conf_file file = (enum conf_file)c->service;

	if (conf_service_is_set(conn_conf(c), file, key))
		return !conf_service_bool(conn_conf(c), file, key);
	return is_loopback(c->client_addr);
}

static void
ask_verdict(struct conn *c)
{
	struct msg_out m;

	conn_set_state(c, CONN_WAIT_VERDICT);
	msg_begin(&m, MSG_CONN_OPEN, 0);
	msg_put_u64(&m, c->id);
	msg_put_str(&m, c->client_addr);
	msg_put_u32(&m, c->client_port);
	msg_put_str(&m, c->local_addr);
	msg_put_u32(&m, c->local_port);
	peer_send(c->login->master, &m);
}

/* Once it is known whose connection it is. */
static void
know_client(struct conn *c)
{
	c->pre->clear_allowed = clear_allowed(c);
	conn_log_open(c);
}

static void
proxy_on(struct conn *c)
{
	switch (conn_read_proxy(c)) {
	case PARSE_MORE:
		conn_settle(c);
		break;
	case PARSE_OK:
		know_client(c);
		watch(c, 0);
		ask_verdict(c);
		break;
	case PARSE_BAD:
	case PARSE_LITERAL:
	case PARSE_LIMIT:
		log_line_as(ident(c), LOG_LEVEL_WARN,
		    "ip=[%s], port=[%u], no PROXY header",
		    service_log_addr(c->client_addr), c->client_port);
		conn_set_state(c, CONN_DEAD);
		break;
	}
}

static void
on_conn_io(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->state == CONN_PROXY)
		proxy_on(c);
	else if (c->state == CONN_HANDSHAKE)
		conn_handshake(c);
	else if (c->state == CONN_TALK &&
	    ((what & EV_WRITE) == 0 || c->read_wants_write))
		talk_on(c);
	else if (c->state == CONN_TALK)
		conn_run(c);
	else if (c->state == CONN_DRAIN && (what & EV_READ) != 0)
		discard(c);
	else
		conn_settle(c);
}

static void
on_conn_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->state == CONN_TALK)
		conn_stop(c, PREAUTH_TIMEOUT);
	else
		conn_set_state(c, CONN_DEAD);
}

/* --- what the master says ------------------------------------------------ */

static const char *
verdict_words(const struct conn *c, enum conn_verdict v)
{
	switch (v) {
	case CONN_PER_ADDRESS:
		return "Too many connections from your address";
	case CONN_TOTAL:
		return "Too many connections";
	case CONN_STOPPING:
		return "The server is being shut down";
	case CONN_NO_ACCESS:
		return c->login->tcpdopts[c->service].deny_msg[0] != '\0'
		    ? c->login->tcpdopts[c->service].deny_msg
		    : "Your address may not connect here";
	case CONN_OK:
	case CONN_UNAVAILABLE:
	case CONN_REFUSED:
	case CONN_DENIED:
	case CONN_PROXIED:
	case CONN_FULL:
		break;
	}
	return "Temporary problem, please try again later";
}

void
conn_on_verdict(struct conn *c, enum conn_verdict v, const char *vars)
{
	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->state != CONN_WAIT_VERDICT)
		return;
	if (v != CONN_OK)
		c->refusal = verdict_words(c, v);
	c->denied = v == CONN_NO_ACCESS;
	if (*vars != '\0' &&
	    (c->view = login_view(c->login, c->service, vars)) != NULL) {
		c->pre->opt = &c->view->options;
		c->pre->clear_allowed = clear_allowed(c);
	}
	if (service_is_tls(c->service)) {
		conn_begin_tls(c);
		conn_settle(c);
		return;
	}
	conn_greet(c);
	conn_run(c);
}

static void
on_relay_end(void *arg)
{
	struct conn *c = arg;

	MAGIC_CHECK(c, CONN_MAGIC);
	conn_set_state(c, CONN_DEAD);
}

static void
handed_over(struct conn *c)
{
	struct login *l = c->login;

	if (c->ssl == NULL) {
		/* The worker's now, and counted on by the master. */
		(void)close(c->fd);
		c->fd = -1;
		conn_set_state(c, CONN_DEAD);
		return;
	}
	conn_set_state(c, CONN_RELAY);
	watch(c, 0);
	c->relay = relay_new(l->base, c->ssl, c->fd, c->relay_peer,
	    1000 * conf_num(l->conf, CONF_POSTERN_WRITE_TIMEOUT), on_relay_end,
	    c);
	/* A relay needs nothing of the time before. */
	c->pre->ops->free(c->pre);
	c->pre = NULL;
}

void
conn_on_handover(struct conn *c, enum conn_verdict v, const char *reason)
{
	struct preauth *p = c->pre;

	MAGIC_CHECK(c, CONN_MAGIC);
	if (c->state != CONN_WAIT_HANDOVER)
		return;
	if (v == CONN_OK) {
		handed_over(c);
		return;
	}
	if (c->relay_peer >= 0)
		(void)close(c->relay_peer);
	c->relay_peer = -1;
	if (v == CONN_STOPPING) {
		c->state = CONN_TALK;
		conn_stop(c, PREAUTH_STOPPING);
		return;
	}
	p->ops->failed(p,
	    v == CONN_DENIED ? PREAUTH_DISABLED : PREAUTH_UNAVAILABLE,
	    v == CONN_DENIED ? reason : NULL);
	conn_set_state(c, CONN_TALK);
	conn_run(c);
}

static void
copy_addr(char out[CONN_ADDR], const char *s)
{
	size_t n = strlen(s);

	assert(n < CONN_ADDR);
	memcpy(out, s, n + 1);
}

void
conn_begin(struct login *l, int fd, const struct conn_facts *f)
{
	struct conn *c = MEM_NEW(struct conn);

	c->magic = CONN_MAGIC;
	c->login = l;
	c->id = f->id;
	c->service = f->service;
	c->fd = fd;
	c->relay_peer = -1;
	c->began_ms = clock_now();
	copy_addr(c->client_addr, f->client_addr);
	copy_addr(c->local_addr, f->local_addr);
	c->client_port = f->client_port;
	c->local_port = f->local_port;
	c->pre = service_is_pop3(c->service)
	    ? pop3_preauth_new(&l->options[c->service])
	    : imap_preauth_new(&l->options[c->service]);
	c->pre->mechanisms = l->mechanisms;
	(void)event_assign(&c->on_io, l->base, fd, EV_READ, on_conn_io, c);
	(void)event_assign(&c->on_timer, l->base, -1, 0, on_conn_timer, c);
	(void)event_assign(&c->on_dead, l->base, -1, 0, on_conn_dead, c);
	TAILQ_INSERT_TAIL(&l->conns, c, link);
	LIST_INSERT_HEAD(&l->bucket[c->id % LOGIN_BUCKETS], c, by_id);
	l->n_conns++;
	if (f->verdict == CONN_PROXIED) {
		buf_init(&c->proxy, PROXY_V2_MAX);
		conn_set_state(c, CONN_PROXY);
		conn_settle(c);
		return;
	}
	know_client(c);
	if (f->verdict == CONN_FULL) {
		ask_verdict(c);
		return;
	}
	c->state = CONN_WAIT_VERDICT;
	conn_on_verdict(c, f->verdict, f->vars);
}

struct conn *
conn_by_id(struct login *l, uint64_t id)
{
	struct conn *c;

	LIST_FOREACH(c, &l->bucket[id % LOGIN_BUCKETS], by_id)
		if (c->id == id && c->state != CONN_DEAD)
			return c;
	return NULL;
}
