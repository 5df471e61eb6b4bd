/*
 * master_service: switching the four services on and off.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocols/session.h"
#include "server/conf/conf_addrs.h"
#include "server/conf/conf_words.h"
#include "server/master.h"
#include "server/service_log.h"

enum {
	BACKLOG = 1024,
	/*
	 * What the kernel takes of us beyond what the client has room for.  By
	 * default it is 4 MB in the end, some of it half a minute after the
	 * client has stopped reading, which then looks as if it read.
	 */
	UNSENT_MAX = 128 * 1024,
};

struct service_keys {
	enum conf_key address, port, pidfile, start;
};

/* TCPDOPTS of a service's protocol. */
int
master_service_tcpdopts(const struct master *m, enum service s,
    struct conf_tcpdopts *out, struct err *e)
{
	enum conf_key key =
	    service_is_pop3(s) ? CONF_POP3D_TCPDOPTS : CONF_IMAPD_TCPDOPTS;

	return conf_tcpdopts_parse(out,
	    conf_service_str(m->conf, (enum conf_file)s, key), NULL, NULL, e);
}

static const struct service_keys keys[N_SERVICES] = {
	[SERVICE_IMAPD] = { CONF_IMAPD_ADDRESS, CONF_IMAPD_PORT,
	    CONF_IMAPD_PIDFILE, CONF_IMAPD_IMAPDSTART },
	[SERVICE_IMAPD_SSL] = { CONF_IMAPD_SSL_SSLADDRESS,
	    CONF_IMAPD_SSL_SSLPORT, CONF_IMAPD_SSL_SSLPIDFILE,
	    CONF_IMAPD_SSL_IMAPDSSLSTART },
	[SERVICE_POP3D] = { CONF_POP3D_ADDRESS, CONF_POP3D_PORT,
	    CONF_POP3D_PIDFILE, CONF_POP3D_POP3DSTART },
	[SERVICE_POP3D_SSL] = { CONF_POP3D_SSL_SSLADDRESS,
	    CONF_POP3D_SSL_SSLPORT, CONF_POP3D_SSL_SSLPIDFILE,
	    CONF_POP3D_SSL_POP3DSSLSTART },
};

bool
master_service_wanted(const struct master *m, enum service s)
{
	if (m->opt.services != 0)
		return (m->opt.services & 1u << s) != 0;
	return conf_bool(m->conf, keys[s].start);
}

const char *
master_service_pidfile(const struct master *m, enum service s)
{
	return conf_str(m->conf, keys[s].pidfile);
}

/* Connections inherit these from the socket that they come to. */
static void
set_options(int fd)
{
	const int on = 1, unsent = UNSENT_MAX;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(
	    fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static int
listen_on(const struct conf_addr *a, int backlog, struct err *e)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_port = htons(a->port) };
	struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_port = htons(a->port) };
	bool is_four = inet_pton(AF_INET, a->addr, &four.sin_addr) == 1;
	const int on = 1, off = 0;
	int fd, r;

	if (!is_four && a->addr[0] != '\0' &&
	    inet_pton(AF_INET6, a->addr, &six.sin6_addr) != 1)
		return err_set(e, ERR_INVALID, "%s is no address", a->addr);
	fd = socket(is_four ? AF_INET : AF_INET6,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && !is_four && a->addr[0] == '\0') {
		/* A machine without IPv6: all its addresses are IPv4. */
		is_four = true;
		fd = socket(
		    AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return err_sys(e, "socket");
	set_options(fd);
	if (!is_four)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		    a->addr[0] == '\0' ? &off : &on, sizeof(on));
	r = is_four ? bind(fd, (const struct sockaddr *)&four, sizeof(four))
		    : bind(fd, (const struct sockaddr *)&six, sizeof(six));
	if (r < 0 || listen(fd, backlog) < 0) {
		r = err_sys(e, "listen on %s port %u",
		    a->addr[0] != '\0' ? a->addr : "all addresses", a->port);
		(void)close(fd);
		return r;
	}
	return fd;
}

static int
open_listeners(struct master *m, enum service s, struct err *e)
{
	struct conf_tcpdopts opts;
	struct conf_addrs addrs;
	int fd, backlog;

	if (master_service_tcpdopts(m, s, &opts, e) != 0)
		return e->code;
	backlog = opts.backlog != 0 ? (int)opts.backlog : BACKLOG;

	if (conf_addrs_parse(&addrs, conf_str(m->conf, keys[s].address),
		conf_str(m->conf, keys[s].port), e) != 0)
		return e->code;
	for (size_t i = 0; i < addrs.n && i < LISTENERS_MAX; i++) {
		if ((fd = listen_on(&addrs.item[i], backlog, e)) < 0) {
			master_unlisten(m, s);
			return fd;
		}
		master_listen(m, s, fd);
	}
	return 0;
}

static int
start_holder(struct master *m, enum service s)
{
	const char *argv[] = { master_program("holder"), service_name(s),
		master_service_pidfile(m, s), NULL };
	struct child *c = master_spawn(m, CHILD_HOLDER, argv[0], argv, -1);

	if (c == NULL)
		return ERR_SYS;
	c->index = s;
	m->services[s].holder = c;
	return 0;
}

int
master_service_on(struct master *m, enum service s, struct err *e)
{
	struct service_state *state = &m->services[s];
	int r;

	if (state->on)
		return 0;
	/* Rules that nobody could read might have kept somebody out. */
	if ((r = master_access_load(m, s, e)) != 0 ||
	    (r = open_listeners(m, s, e)) != 0)
		return r;
	if (start_holder(m, s) != 0) {
		master_unlisten(m, s);
		return err_set(e, ERR_SYS, "can't start the holder process");
	}
	state->on = true;
	log_line_as(service_ident(s), LOG_LEVEL_INFO, "service started");
	return 0;
}

static void
tell_children(struct master *m, enum service s)
{
	struct msg_out out;
	struct child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->kind == CHILD_HOLDER || c->peer == NULL)
			continue;
		msg_begin(&out, MSG_SERVICE_STOP, 0);
		msg_put_u32(&out, s);
		peer_send(c->peer, &out);
	}
}

static bool
any_service_on(const struct master *m)
{
	for (int s = 0; s < N_SERVICES; s++)
		if (m->services[s].on)
			return true;
	return false;
}

void
master_service_off(struct master *m, enum service s)
{
	struct service_state *state = &m->services[s];

	if (!state->on)
		return;
	state->on = false;
	master_unlisten(m, s);
	conns_end_service(m, s, SESSION_SHUTDOWN);
	tell_children(m, s);
	if (state->holder != NULL && state->holder->peer != NULL)
		peer_free(&state->holder->peer); /* it sees the end */
	log_line_as(service_ident(s), LOG_LEVEL_INFO, "service stopped");
	if (!any_service_on(m) && !m->opt.keep)
		master_stop(m);
}

void
master_holder_died(struct child *c)
{
	struct master *m = c->master;
	struct service_state *state = &m->services[c->index];

	/* One that was started since then is not the one that died. */
	if (state->holder != c)
		return;
	state->holder = NULL;
	master_service_off(m, (enum service)c->index);
}
