#include "auth/front.h"

#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/sandbox.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/log_out.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum { ACCEPTS_MAX = 64, PAUSE_MS = 200 };

struct listener {
	struct front *front;
	int fd;
	enum socket_kind kind;
	char *path;
	struct event *readable;
	TAILQ_ENTRY(listener) link;
};
TAILQ_HEAD(listeners, listener);

/* The front as the keeper's messages change it. */
struct front_loop {
	struct front front;
	struct listeners listeners;
	struct event *keeper_readable, *sigterm, *pause, *stop;
	uint8_t *space;
	bool configured;
};

static struct front_loop *
loop_of(struct front *f)
{
	return CONTAINER_OF(f, struct front_loop, front);
}

/* --- accepting ---------------------------------------------------------- */

bool
front_peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	    (peer.uid == 0 || peer.uid == getuid());
}

static void
take_client(struct listener *l, int fd)
{
	struct front *f = l->front;

	if (l->kind == SOCKET_TICKETS) {
		tickets_accept(f->tickets, fd);
		return;
	}
	/* Tickets are for who comes from root's master, or, without root,
	 * for processes of the same user. */
	if (f->conns.n >= FRONT_CONNS_MAX ||
	    (l->kind == SOCKET_LOGIN && !front_peer_is_ours(fd))) {
		log_warn("%s: connection refused: %s", l->path,
		    f->conns.n >= FRONT_CONNS_MAX ? "too many"
						  : "not the master's");
		(void)close(fd);
		return;
	}
	if (l->kind == SOCKET_COURIER)
		courier_conn_new(f, fd);
	else
		sasl_conn_new(f, fd, l->kind == SOCKET_LOGIN);
}

static void
listeners_enable(struct front_loop *loop, bool on)
{
	struct listener *l;

	TAILQ_FOREACH(l, &loop->listeners, link)
		(void)(on ? event_add(l->readable, NULL)
			  : event_del(l->readable));
}

/* Out of descriptors or memory: let some connections end first. */
static void
pause_accepting(struct front_loop *loop, int sys)
{
	const struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };

	log_error("accept: %s", strerrordesc_np(sys));
	listeners_enable(loop, false);
	(void)evtimer_add(loop->pause, &tv);
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct front_loop *loop = arg;

	(void)fd;
	(void)what;
	if (!loop->front.stopping)
		listeners_enable(loop, true);
}

static void
on_listener_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int client =
		    accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			take_client(l, client);
		} else if (errno == EMFILE || errno == ENFILE ||
		    errno == ENOMEM || errno == ENOBUFS) {
			pause_accepting(loop_of(l->front), errno);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

static void
listener_free(struct front_loop *loop, struct listener *l)
{
	TAILQ_REMOVE(&loop->listeners, l, link);
	event_free(l->readable);
	(void)close(l->fd);
	free(l->path);
	free(l);
}

/* --- the keeper --------------------------------------------------------- */

static void
send_keeper(struct front *f, struct msg_out *m)
{
	/* A keeper that doesn't read is stopped or gone: what was wanted of
	 * it is wanted again later. */
	if (msg_send(f->keeper, m) != 0)
		log_error("the keeper doesn't take messages");
}

static void
host_spawn(void *arg, enum pool_class class)
{
	struct msg_out m;

	msg_begin(&m, MSG_AUTHD_SPAWN, 0);
	msg_put_u32(&m, class);
	send_keeper(arg, &m);
}

static void
host_kill(void *arg, uint32_t pid)
{
	struct msg_out m;

	msg_begin(&m, MSG_AUTHD_KILL, 0);
	msg_put_u32(&m, pid);
	send_keeper(arg, &m);
}

static const struct pool_host pool_host = { host_spawn, host_kill };

static void
host_rewatch(void *arg)
{
	struct msg_out m;

	msg_begin(&m, MSG_AUTHD_REWATCH, 0);
	send_keeper(arg, &m);
}

static const struct asking_host asking_host = { host_rewatch };

static void
take_listener(struct front_loop *loop, struct msg_in *m)
{
	uint32_t kind = msg_get_u32(m);
	const char *path = msg_get_str(m);
	struct listener *l;

	if (m->bad || kind >= SOCKET_N_KINDS) {
		(void)close(m->fd);
		return;
	}
	l = MEM_NEW(struct listener);
	l->front = &loop->front;
	l->fd = m->fd;
	l->kind = (enum socket_kind)kind;
	l->path = mem_strdup(path);
	l->readable = event_new(loop->front.base, l->fd, EV_READ | EV_PERSIST,
	    on_listener_readable, l);
	assert(l->readable != NULL);
	TAILQ_INSERT_TAIL(&loop->listeners, l, link);
	if (loop->configured && !loop->front.stopping)
		(void)event_add(l->readable, NULL);
}

static void
drop_listener(struct front_loop *loop, const char *path)
{
	struct listener *l, *next;

	for (l = TAILQ_FIRST(&loop->listeners); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		if (strcmp(l->path, path) == 0)
			listener_free(loop, l);
	}
}

static void
take_config(struct front_loop *loop, struct msg_in *m)
{
	struct front *f = &loop->front;
	uint32_t timeout_ms, n_helpers;
	struct asking_options o;
	struct msg_out ready;
	int64_t most;

	f->failure_ms = msg_get_u32(m);
	timeout_ms = msg_get_u32(m);
	n_helpers = msg_get_u32(m);
	log_set_level((enum log_level)msg_get_u32(m));
	f->has_clear = msg_get_u32(m) != 0;
	f->pre_passwords = msg_get_u32(m) != 0;
	o.penalty_ms = msg_get_u32(m);
	o.cache.good_ms = msg_get_u32(m);
	o.cache.bad_ms = msg_get_u32(m);
	o.cache.outage_ms = msg_get_u32(m);
	o.has_file = msg_get_u32(m) != 0;
	tickets_set_secret(f->tickets, msg_get_bytes(m));
	o.trusted = msg_get_bytes(m);
	/* All waits together: clients give up after 25 or 30 s. */
	most = FRONT_ANSWER_MS - (int64_t)timeout_ms - f->failure_ms;
	if (o.penalty_ms > most)
		o.penalty_ms = most > 0 ? most : 0;
	asking_configure(f->asking, &o);
	pool_configure(f->pool, n_helpers, timeout_ms);
	if (loop->configured)
		return;
	loop->configured = true;
	listeners_enable(loop, true);
	msg_begin(&ready, MSG_AUTHD_READY, 0);
	send_keeper(f, &ready);
}

void
front_check_stop(struct front *f)
{
	if (f->stopping && f->conns.n == 0)
		(void)event_base_loopbreak(f->base);
}

static void
stop(struct front_loop *loop)
{
	const struct timeval tv = { .tv_sec = FRONT_STOP_MS / 1000 };
	struct front *f = &loop->front;
	struct listener *l;
	struct conn *c, *next;

	if (f->stopping)
		return;
	/* Who has connected is served; after that nobody. */
	TAILQ_FOREACH(l, &loop->listeners, link)
		on_listener_readable(l->fd, EV_READ, l);
	f->stopping = true;
	listeners_enable(loop, false);
	(void)evtimer_del(loop->pause);
	/* What waits for a client is over; what waits for an answer isn't. */
	for (c = TAILQ_FIRST(&f->conns.alive); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		conn_stop_soon(c);
	}
	(void)evtimer_add(loop->stop, &tv);
	front_check_stop(f);
}

static void
on_stop_over(evutil_socket_t fd, short what, void *arg)
{
	struct front_loop *loop = arg;

	(void)fd;
	(void)what;
	(void)event_base_loopbreak(loop->front.base);
}

static void
on_sigterm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stop(arg);
}

static void
take_helper(struct front_loop *loop, struct msg_in *m)
{
	uint32_t pid = msg_get_u32(m), class = msg_get_u32(m);

	pool_add(loop->front.pool, m->fd, pid,
	    class == POOL_SLOW ? POOL_SLOW : POOL_QUICK);
}

static void
take_message(struct front_loop *loop, struct msg_in *m)
{
	if (m->type == MSG_AUTHD_LISTENER)
		take_listener(loop, m);
	else if (m->type == MSG_AUTHD_UNLISTEN)
		drop_listener(loop, msg_get_str(m));
	else if (m->type == MSG_AUTHD_CONFIG)
		take_config(loop, m);
	else if (m->type == MSG_AUTHD_HELPER)
		take_helper(loop, m);
	else if (m->type == MSG_AUTHD_LOG)
		log_out_take(m->fd);
	else if (m->type == MSG_AUTHD_WATCH)
		asking_take_watch(loop->front.asking, m->fd);
	else if (m->type == MSG_AUTHD_STOP)
		stop(loop);
}

/* What came without its descriptor, for which there was no room here, and is
 * asked for again some time later. */
static bool
may_be_lost(const struct msg_in *m)
{
	return m->type == MSG_AUTHD_WATCH || m->type == MSG_AUTHD_HELPER;
}

static void
on_keeper_readable(evutil_socket_t fd, short what, void *arg)
{
	struct front_loop *loop = arg;
	struct msg_in m;
	int r = msg_recv(fd, ROLE_KEEPER, ROLE_AUTH, loop->space, &m);

	(void)what;
	if (r == 1)
		take_message(loop, &m);
	else if (r == ERR_LIMIT && may_be_lost(&m))
		log_warn("%s: no descriptor left", msg_name(m.type));
	else if (r != ERR_BUSY)
		(void)event_base_loopbreak(loop->front.base);
	secret_wipe(loop->space, MSG_SIZE_MAX);
}

/* --- life --------------------------------------------------------------- */

static void
loop_init(struct front_loop *loop, int keeper_sock)
{
	struct front *f = &loop->front;

	/* Not with EVENT_BASE_FLAG_PRECISE_TIMER: it sets a timer of the system
	 * at each turn, and nothing here needs it to the millisecond. */
	f->base = event_base_new();
	assert(f->base != NULL);
	f->keeper = keeper_sock;
	conns_init(&f->conns, f->base);
	f->tickets = tickets_new(f->base);
	f->pool = pool_new(f->base, &pool_host, f);
	f->asking = asking_new(f->base, f->pool, &asking_host, f);
	TAILQ_INIT(&loop->listeners);
	loop->space = mem_alloc(MSG_SIZE_MAX);
	loop->keeper_readable = event_new(f->base, keeper_sock,
	    EV_READ | EV_PERSIST, on_keeper_readable, loop);
	loop->sigterm = evsignal_new(f->base, SIGTERM, on_sigterm, loop);
	loop->pause = evtimer_new(f->base, on_pause_over, loop);
	loop->stop = evtimer_new(f->base, on_stop_over, loop);
	assert(loop->keeper_readable != NULL && loop->sigterm != NULL &&
	    loop->pause != NULL && loop->stop != NULL);
	(void)event_add(loop->keeper_readable, NULL);
	(void)event_add(loop->sigterm, NULL);
}

static void
loop_fini(struct front_loop *loop)
{
	struct front *f = &loop->front;
	struct listener *l;

	f->stopping = false; /* nobody has to be told any more */
	while ((l = TAILQ_FIRST(&loop->listeners)) != NULL)
		listener_free(loop, l);
	conns_fini(&f->conns);
	asking_free(&f->asking);
	pool_free(&f->pool);
	tickets_free(&f->tickets);
	event_free(loop->keeper_readable);
	event_free(loop->sigterm);
	event_free(loop->pause);
	event_free(loop->stop);
	event_base_free(f->base);
	free(loop->space);
	free(loop);
}

void
front_run(int keeper_sock)
{
	struct front_loop *loop = MEM_NEW(struct front_loop);

	loop_init(loop, keeper_sock);
	if (!sandbox_front())
		log_warn("the front runs without a sandbox");
	(void)event_base_dispatch(loop->front.base);
	loop_fini(loop);
	libevent_global_shutdown();
	exit(0);
}
