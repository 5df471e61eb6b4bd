/*
 * master_accept: connections are accepted here and given to login processes,
 * with the verdict about them.
 *
 * Were login processes to accept, each connection would wake all that idle, and
 * the one that got it would ask here whether it may be greeted: four times that
 * a process wakes instead of two.  No byte of a client is read here.
 */
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/master.h"

enum {
	ACCEPTS_A_TURN = 16,
	/* Where clients mostly come alone, how often it is looked whether
	 * there is another behind one. */
	ALONE_TURNS = 8,
	/* For want of descriptors, or of a login process with room: clients
	 * wait in the listen queue. */
	PAUSE_MS = 100,
	/* A login process's descriptors that are no client's, and those of a
	 * session with TLS. */
	FDS_OWN = 64,
	FDS_PER_CONN = 2,
};

/* --- pauses -------------------------------------------------------------- */

static void
each_listener(struct master *m, void (*fn)(struct listener *l))
{
	for (int s = 0; s < N_SERVICES; s++)
		for (int i = 0; i < m->services[s].n_listeners; i++)
			fn(&m->services[s].listeners[i]);
}

static void
stop_listening(struct listener *l)
{
	(void)event_del(l->on_accept);
}

static void
go_on_listening(struct listener *l)
{
	(void)event_add(l->on_accept, NULL);
}

static void
pause_accepting(struct master *m)
{
	const struct timeval t = { 0, PAUSE_MS * 1000 };

	if (!m->accept_paused)
		each_listener(m, stop_listening);
	m->accept_paused = true;
	(void)event_add(m->accept_resume, &t);
}

void
master_accept_resume(struct master *m)
{
	if (!m->accept_paused)
		return;
	m->accept_paused = false;
	(void)event_del(m->accept_resume);
	each_listener(m, go_on_listening);
}

static void
on_accept_resume(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	master_accept_resume(arg);
}

/* --- accepting ----------------------------------------------------------- */

/*
 * The login process that has the fewest connections, so that those with TLS,
 * which stay, are spread evenly.  One that doesn't read gets none: they would
 * pile up here, with their descriptors.  NULL: none can have one now.
 */
static struct child *
choose_login(const struct master *m)
{
	struct child *best = NULL;

	for (unsigned i = 0; i < m->n_logins; i++) {
		struct child *c = m->logins[i];

		if (c == NULL || !c->ready || c->peer == NULL ||
		    peer_queued(c->peer) != 0 ||
		    c->n_conns + c->n_handed >= m->login_conns_max)
			continue;
		if (best == NULL || c->n_conns < best->n_conns)
			best = c;
	}
	return best;
}

static struct addr
take_sockaddr(const struct sockaddr_storage *ss, uint16_t *port)
{
	const struct sockaddr_in *four = (const void *)ss;
	const struct sockaddr_in6 *six = (const void *)ss;

	if (ss->ss_family == AF_INET) {
		*port = ntohs(four->sin_port);
		return addr_of_v4((const void *)&four->sin_addr);
	}
	*port = ntohs(six->sin6_port);
	return addr_of_v6(six->sin6_addr.s6_addr);
}

static int
take_local(int fd, struct addr *a, uint16_t *port)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		return ERR_SYS;
	*a = take_sockaddr(&ss, port);
	return 0;
}

/* False: there is none, or it can't be had now. */
static bool
accept_one(struct listener *l)
{
	struct master *m = l->master;
	struct child *login = choose_login(m);
	struct conn_ends ends = { .local = l->local,
		.local_port = l->local_port };
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	int fd;

	if (login == NULL) {
		pause_accepting(m);
		return false;
	}
	fd = accept4(
	    l->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			log_error("master: accept: %s", strerrordesc_np(errno));
			pause_accepting(m);
		}
		return errno == ECONNABORTED || errno == EINTR;
	}
	ends.client = take_sockaddr(&from, &ends.client_port);
	if (!l->everywhere ||
	    take_local(fd, &ends.local, &ends.local_port) == 0)
		master_conn_accepted(login, l->service, fd, &ends);
	(void)close(fd);
	return true;
}

/*
 * Most clients come alone, and a call that finds no second one is saved: if
 * there is one, it is told of in the next turn of the loop.
 */
static void
on_client_comes(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	if (l->alone > 0) {
		l->alone--;
		(void)accept_one(l);
		return;
	}
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!accept_one(l)) {
			l->alone = i < 2 ? ALONE_TURNS : 0;
			return;
		}
}

/* --- sockets ------------------------------------------------------------- */

void
master_listen(struct master *m, enum service s, int fd)
{
	static const struct addr any,
	    any_v4 = { .b = { [10] = 0xff, [11] = 0xff } };
	struct service_state *state = &m->services[s];
	struct listener *l = &state->listeners[state->n_listeners++];

	*l = (struct listener){ .master = m, .service = s, .fd = fd };
	l->everywhere = take_local(fd, &l->local, &l->local_port) != 0 ||
	    addr_eq(&l->local, &any) || addr_eq(&l->local, &any_v4);
	l->on_accept =
	    event_new(m->base, fd, EV_READ | EV_PERSIST, on_client_comes, l);
	assert(l->on_accept != NULL);
	if (!m->accept_paused)
		go_on_listening(l);
}

void
master_unlisten(struct master *m, enum service s)
{
	struct service_state *state = &m->services[s];

	for (int i = 0; i < state->n_listeners; i++) {
		event_free(state->listeners[i].on_accept);
		(void)close(state->listeners[i].fd);
	}
	state->n_listeners = 0;
}

/* LOGIN_MAX_CONNECTIONS, or as many as a login process has descriptors for:
 * it has the limits of the master. */
static unsigned
conns_max(const struct conf *conf)
{
	int64_t max = conf_num(conf, CONF_POSTERN_LOGIN_MAX_CONNECTIONS);
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur > FDS_OWN + FDS_PER_CONN &&
	    (files.rlim_cur - FDS_OWN) / FDS_PER_CONN < (rlim_t)max)
		max = (int64_t)((files.rlim_cur - FDS_OWN) / FDS_PER_CONN);
	return (unsigned)max;
}

void
master_accept_init(struct master *m)
{
	m->login_conns_max = conns_max(m->conf);
	/* Workers' sessions don't outlive us, but an id that was shown to
	 * somebody should not be another session's soon. */
	m->last_conn_id = (uint64_t)clock_wall();
	m->accept_resume = event_new(m->base, -1, 0, on_accept_resume, m);
	assert(m->accept_resume != NULL);
}

void
master_accept_fini(struct master *m)
{
	for (int s = 0; s < N_SERVICES; s++)
		master_unlisten(m, (enum service)s);
	event_free(m->accept_resume);
}
