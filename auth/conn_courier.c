/*
 * A connection to Courier's socket: one request, one answer, the end.
 *
 * The answer is composed whole before its first byte is written.  A refusal
 * of AUTH and PASSWD is held back until a fixed time after the request, so
 * that it doesn't tell an unknown user from a wrong password; PRE, which
 * mail delivery asks and which tells exactly that, is answered at once.
 */
#include <stdlib.h>

#include "auth/front.h"
#include "auth/protocol_courier.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { LIST_MAX = 64 * 1024 * 1024 };

struct courier_conn {
	struct front *front;
	struct conn *conn;
	struct question *question;
	enum query_op op;
	bool is_ours; /* root or our own user asks */
	bool asked;   /* the request was taken; what follows is ignored */
	struct buf out;
	struct buf list; /* parts of an enumeration */
};

static void
on_answer(void *arg, const struct answer *a, int64_t begun)
{
	struct courier_conn *cc = arg;
	struct answer whole = *a;
	int64_t wait = 0;

	if (a->verdict == VERDICT_MORE) {
		buf_put(&cc->list, a->extra);
		return;
	}
	cc->question = NULL;
	if (cc->op == QUERY_ENUMERATE)
		whole.extra = buf_slice(&cc->list);
	/* What the client sent itself it may see again; what is stored isn't
	 * everybody's business. */
	if (cc->op != QUERY_LOGIN && !cc->is_ours &&
	    !cc->front->pre_passwords) {
		whole.field[ACCOUNT_PASSWD] = slice_of("", 0);
		whole.field[ACCOUNT_PASSWD2] = slice_of("", 0);
	}
	courier_reply(cc->op, &whole, &cc->out);
	if (a->verdict == VERDICT_REJECTED && cc->op != QUERY_LOOKUP)
		wait = begun + cc->front->failure_ms - clock_now();
	if (wait > 0)
		conn_set_timer(cc->conn, wait);
	else
		conn_finish(cc->conn);
}

static void
answer_at_once(struct courier_conn *cc, enum verdict v)
{
	struct answer a = { .verdict = v };

	on_answer(cc, &a, clock_now());
}

static void
ask(struct courier_conn *cc, const struct courier_request *req)
{
	char service[64];

	cc->asked = true;
	cc->op = req->query.op;
	log_debug("received auth request, service=%s",
	    log_safe(req->query.service, service, sizeof(service)));
	/* The client may say more or go; neither changes the answer. */
	conn_set_timer(cc->conn, -1);
	conn_stop(cc->conn);
	if (req->refused) {
		answer_at_once(cc, VERDICT_REJECTED);
		return;
	}
	cc->question =
	    asking_ask(cc->front->asking, &req->query, on_answer, cc);
	if (cc->question == NULL)
		answer_at_once(cc, VERDICT_TEMPORARY);
}

static void
on_input(struct conn *c)
{
	struct courier_conn *cc = c->arg;
	struct courier_request req;

	switch (courier_parse(conn_input(c), &req)) {
	case PARSE_OK:
		ask(cc, &req);
		conn_consume(c, c->n_in);
		break;
	case PARSE_MORE:
		/* The time is for each piece. */
		conn_set_timer(c, FRONT_COURIER_READ_MS);
		if (c->n_in == c->in_max)
			conn_finish(c);
		break;
	case PARSE_BAD:
	case PARSE_LIMIT:
	case PARSE_LITERAL:
		conn_finish(c);
		break;
	}
}

/* After a whole request that's only a client that closes its half early. */
static void
on_eof(struct conn *c)
{
	struct courier_conn *cc = c->arg;

	if (!cc->asked)
		conn_close(c);
}

static void
on_timer(struct conn *c)
{
	struct courier_conn *cc = c->arg;

	/* Before the request: too slow.  After it: the refusal is due. */
	if (cc->asked)
		conn_finish(c);
	else
		conn_close(c);
}

static void
on_stop(struct conn *c)
{
	struct courier_conn *cc = c->arg;

	if (!cc->asked)
		conn_finish(c);
}

static void
on_free(struct conn *c)
{
	struct courier_conn *cc = c->arg;

	if (cc->question != NULL)
		asking_cancel(cc->question);
	buf_fini(&cc->out);
	buf_fini(&cc->list);
	front_check_stop(cc->front);
	free(cc);
}

static const struct conn_ops ops = {
	.on_input = on_input,
	.on_eof = on_eof,
	.on_timer = on_timer,
	.on_stop = on_stop,
	.on_free = on_free,
};

void
courier_conn_new(struct front *f, int fd)
{
	struct courier_conn *cc = MEM_NEW(struct courier_conn);

	cc->front = f;
	cc->is_ours = front_peer_is_ours(fd);
	buf_init_secret(&cc->out, LIST_MAX);
	buf_init(&cc->list, LIST_MAX);
	cc->conn =
	    conn_new(&f->conns, fd, &ops, COURIER_INPUT_MAX, &cc->out, cc);
	conn_set_timer(cc->conn, FRONT_COURIER_READ_MS);
}
