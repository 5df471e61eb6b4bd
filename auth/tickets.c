/*
 * tickets: the master learns here who logged in, before login does.
 *
 * Whoever is on this socket can open every mailbox, so only root may, or
 * (where everything runs as one user and credentials prove nothing) a process
 * of the same user that knows the secret in the 0600 file.
 */
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <stdlib.h>
#include <unistd.h>

#include "auth/front.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum { TICKETS_MAGIC = 0x71c3e750, MASTERS_MAX = 16, HELLO_MS = 5000 };

struct master {
	struct tickets *tickets;
	int fd;
	bool trusted;
	struct event *readable;
	TAILQ_ENTRY(master) link;
};
TAILQ_HEAD(masters, master);

struct tickets {
	uint32_t magic;
	struct event_base *base;
	struct secret secret;
	struct masters masters;
	unsigned n;
	uint8_t *space;
};

struct tickets *
tickets_new(struct event_base *base)
{
	struct tickets *t = MEM_NEW(struct tickets);

	t->magic = TICKETS_MAGIC;
	t->base = base;
	t->space = mem_alloc(MSG_SIZE_MAX);
	TAILQ_INIT(&t->masters);
	return t;
}

static void
master_free(struct master *m)
{
	TAILQ_REMOVE(&m->tickets->masters, m, link);
	m->tickets->n--;
	event_free(m->readable);
	(void)close(m->fd);
	free(m);
}

void
tickets_free(struct tickets **t)
{
	struct master *m;

	if (*t == NULL)
		return;
	MAGIC_CHECK(*t, TICKETS_MAGIC);
	while ((m = TAILQ_FIRST(&(*t)->masters)) != NULL)
		master_free(m);
	secret_fini(&(*t)->secret);
	free((*t)->space);
	(*t)->magic = 0;
	free(*t);
	*t = NULL;
}

void
tickets_set_secret(struct tickets *t, struct slice secret)
{
	MAGIC_CHECK(t, TICKETS_MAGIC);
	secret_set(&t->secret, slice_trim(secret));
}

static bool
knows_secret(struct tickets *t, struct slice given)
{
	struct slice want = secret_slice(&t->secret);

	return want.n != 0 && secret_eq(slice_trim(given), want);
}

static void
on_master_readable(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	struct tickets *t = m->tickets;
	struct msg_in in;
	int r;

	MAGIC_CHECK(t, TICKETS_MAGIC);
	if ((what & EV_TIMEOUT) != 0) {
		log_warn("tickets: no TICKET_HELLO, closed");
		master_free(m);
		return;
	}
	r = msg_recv(fd, ROLE_MASTER, ROLE_AUTH, t->space, &in);
	if (r == ERR_BUSY)
		return;
	if (r == 1 && in.type == MSG_TICKET_HELLO &&
	    (m->trusted || knows_secret(t, msg_get_bytes(&in)))) {
		m->trusted = true;
		(void)event_remove_timer(m->readable);
		secret_wipe(t->space, MSG_SIZE_MAX);
		return;
	}
	if (r != 0)
		log_warn("tickets: a master that may not be one, closed");
	secret_wipe(t->space, MSG_SIZE_MAX);
	master_free(m);
}

/* Whether the peer may be a master at all, and whether that's enough. */
static bool
peer_may(int fd, bool *trusted)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	*trusted = peer.uid == 0;
	return peer.uid == 0 || peer.uid == getuid();
}

void
tickets_accept(struct tickets *t, int fd)
{
	const struct timeval hello = { .tv_sec = HELLO_MS / 1000 };
	struct master *m;
	bool trusted;

	MAGIC_CHECK(t, TICKETS_MAGIC);
	if (t->n >= MASTERS_MAX || !peer_may(fd, &trusted)) {
		log_warn("tickets: connection refused");
		(void)close(fd);
		return;
	}
	m = MEM_NEW(struct master);
	m->tickets = t;
	m->fd = fd;
	m->trusted = trusted;
	m->readable =
	    event_new(t->base, fd, EV_READ | EV_PERSIST, on_master_readable, m);
	assert(m->readable != NULL);
	(void)event_add(m->readable, trusted ? NULL : &hello);
	TAILQ_INSERT_TAIL(&t->masters, m, link);
	t->n++;
}

static void
put_ticket(struct msg_out *m, struct slice service, struct slice rip,
    const struct answer *a, const uint8_t ticket[TICKET_LEN])
{
	msg_begin(m, MSG_TICKET, 0);
	msg_put_bytes(m, slice_of(ticket, TICKET_LEN));
	msg_put_bytes(m, service);
	msg_put_bytes(m, rip);
	msg_put_u32(m, a->uid);
	msg_put_u32(m, a->gid);
	msg_put_bytes(m, a->field[ACCOUNT_ADDRESS]);
	msg_put_bytes(m, a->field[ACCOUNT_HOME]);
	msg_put_bytes(m, a->field[ACCOUNT_MAILDIR]);
	msg_put_bytes(m, a->field[ACCOUNT_QUOTA]);
	msg_put_bytes(m, a->field[ACCOUNT_OPTIONS]);
}

bool
tickets_push(struct tickets *t, struct slice service, struct slice rip,
    const struct answer *a, uint8_t ticket[TICKET_LEN])
{
	struct master *m, *next;
	bool sent = false;

	MAGIC_CHECK(t, TICKETS_MAGIC);
	if (getrandom(ticket, TICKET_LEN, 0) != TICKET_LEN)
		return false;
	for (m = TAILQ_FIRST(&t->masters); m != NULL; m = next) {
		struct msg_out out;
		int r;

		next = TAILQ_NEXT(m, link);
		if (!m->trusted)
			continue;
		put_ticket(&out, service, rip, a, ticket);
		r = msg_send(m->fd, &out);
		if (r == 0)
			sent = true;
		else if (r == ERR_BUSY)
			log_error("tickets: the master doesn't read");
		else
			master_free(m);
	}
	if (!sent)
		log_error("tickets: no master is there: is posternd running?");
	return sent;
}
