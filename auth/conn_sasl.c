/*
 * A connection of the SASL protocol: lines in, a session of protocol_sasl.h,
 * replies out.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <unistd.h>

#include "auth/front.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct sasl_conn {
	struct front *front;
	struct conn *conn;
	struct sasl_session session;
};

/* After whatever happened in the session: send, set the timer, or end. */
static void
settle(struct sasl_conn *sc)
{
	struct conn *c = sc->conn;
	int64_t now = clock_now(), next;

	if (c->closed || c->lingering)
		return;
	next = sasl_session_tick(&sc->session, now);
	if (sc->session.closing || !buf_ok(&sc->session.out)) {
		/* Closed both ways: Postfix tries its next request on the old
		 * connection, and makes a new one only if it can't write. */
		conn_close_drained(c);
		return;
	}
	conn_flush(c);
	if (sc->session.state != SASL_OPEN)
		return;
	conn_set_timer(c, next < 0 ? -1 : next > now ? next - now : 1);
	if (sc->front->stopping && sc->session.n_requests == 0)
		conn_close_drained(c);
}

static void
on_line(struct sasl_conn *sc, size_t n)
{
	struct conn *c = sc->conn;

	if (sasl_session_line(&sc->session, c->in, n, clock_now()))
		return;
	log_warn("sasl: client closed: %s", sc->session.why);
	conn_close(c);
}

static void
on_input(struct conn *c)
{
	struct sasl_conn *sc = c->arg;

	while (!c->closed && !sc->session.closing) {
		size_t at = slice_find(conn_input(c), '\n');

		if (at == c->n_in) {
			if (c->n_in < c->in_max)
				break;
			log_warn("sasl: client closed: line too long");
			conn_close(c);
			return;
		}
		on_line(sc, at);
		if (!c->closed)
			conn_consume(c, at + 1);
	}
	settle(sc);
}

static void
on_eof(struct conn *c)
{
	conn_close(c);
}

static void
on_timer(struct conn *c)
{
	struct sasl_conn *sc = c->arg;

	if (sc->session.state != SASL_OPEN)
		conn_close(c);
	else
		settle(sc);
}

static void
on_stop(struct conn *c)
{
	struct sasl_conn *sc = c->arg;

	if (sc->session.state != SASL_OPEN)
		conn_close(c);
	else
		settle(sc);
}

static void
on_drained(struct conn *c)
{
	settle(c->arg);
}

static void
on_free(struct conn *c)
{
	struct sasl_conn *sc = c->arg;

	sasl_session_fini(&sc->session);
	front_check_stop(sc->front);
	free(sc);
}

static const struct conn_ops ops = {
	.on_input = on_input,
	.on_eof = on_eof,
	.on_timer = on_timer,
	.on_stop = on_stop,
	.on_drained = on_drained,
	.on_free = on_free,
};

/* --- what the session asks for ------------------------------------------ */

static void
on_answer(void *arg, const struct answer *a, int64_t begun)
{
	struct sasl_request *r = arg;
	struct sasl_conn *sc = r->session->arg;

	r->asked_as = NULL;
	sasl_session_answer(r, a, begun);
	settle(sc);
}

static void
host_ask(void *arg, struct sasl_request *r, const struct query *q)
{
	static const struct answer busy = { .verdict = VERDICT_TEMPORARY };
	struct sasl_conn *sc = arg;

	r->asked_as = asking_ask(sc->front->asking, q, on_answer, r);
	if (r->asked_as == NULL)
		sasl_session_answer(r, &busy, clock_now());
}

static void
host_forget(void *arg, struct sasl_request *r)
{
	(void)arg;
	if (r->asked_as != NULL)
		asking_cancel(r->asked_as);
}

static void
host_judged(void *arg, struct sasl_request *r, bool good)
{
	struct sasl_conn *sc = arg;

	asking_note(sc->front->asking, secret_slice(&r->mech.user),
	    secret_slice(&r->rip), good);
}

static bool
host_ticket(void *arg, struct sasl_request *r, const struct answer *a,
    uint8_t ticket[TICKET_LEN])
{
	struct sasl_conn *sc = arg;

	return tickets_push(sc->front->tickets, secret_slice(&r->service),
	    secret_slice(&r->rip), a, ticket);
}

static const struct sasl_host login_host = {
	.ask = host_ask,
	.forget = host_forget,
	.judged = host_judged,
	.ticket = host_ticket,
};
static const struct sasl_host sasl_host = {
	.ask = host_ask,
	.forget = host_forget,
	.judged = host_judged,
};

void
sasl_conn_new(struct front *f, int fd, bool login)
{
	struct sasl_conn *sc = MEM_NEW(struct sasl_conn);
	struct sasl_options o = { .pid = (uint32_t)getpid(),
		.cuid = ++f->next_cuid,
		.failure_ms = f->failure_ms,
		.has_clear = f->has_clear,
		.can_bind = login,
		.close_on_temporary = !login };

	if (getrandom(o.cookie, sizeof(o.cookie), 0) !=
	    (ssize_t)sizeof(o.cookie)) {
		(void)close(fd);
		free(sc);
		return;
	}
	sc->front = f;
	sasl_session_init(
	    &sc->session, &o, login ? &login_host : &sasl_host, sc);
	sc->conn = conn_new(
	    &f->conns, fd, &ops, SASL_LINE_MAX + 1, &sc->session.out, sc);
	conn_set_timer(sc->conn, FRONT_HANDSHAKE_MS);
	conn_flush(sc->conn);
}
