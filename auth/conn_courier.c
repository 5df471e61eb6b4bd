/*
 * A connection to Courier's socket: one request, one answer, the end.
 *
 * The answer is composed whole before its first byte is written; that of
 * ENUMERATE is sent as it comes.  A refusal of AUTH and PASSWD is held back
 * until a fixed time after the request, so that it doesn't tell an unknown user
 * from a wrong password; PRE, which mail delivery asks and which tells exactly
 * that, is answered at once.
 */
#include <stdlib.h>

#include "auth/front.h"
#include "auth/protocol_courier.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum {
	/* Of a list: with so much unsent the helper has to wait, and so long
	 * at most, as it has other clients. */
	LIST_HIGH = 1024 * 1024,
	LIST_HOLD_MS = 4000,
	OUT_MAX = LIST_HIGH + MSG_SIZE_MAX,
};

struct courier_conn {
	struct front *front;
	struct conn *conn;
	struct question *question;
	enum query_op op;
	bool is_ours; /* root or our own user asks */
	bool asked;   /* the request was taken; what follows is ignored */
	struct buf out;
};

/* A part of a list. */
static void
send_part(struct courier_conn *cc, struct slice text)
{
	buf_put(&cc->out, text);
	conn_flush(cc->conn);
	if (cc->conn->closed || buf_len(&cc->out) < LIST_HIGH)
		return;
	asking_hold(cc->question, true);
	conn_set_timer(cc->conn, LIST_HOLD_MS);
}

static void
on_drained(struct conn *c)
{
	struct courier_conn *cc = c->arg;

	if (cc->question == NULL)
		return;
	conn_set_timer(c, -1);
	asking_hold(cc->question, false);
}

static void
on_answer(void *arg, const struct answer *a, int64_t begun)
{
	struct courier_conn *cc = arg;
	struct answer whole = *a;
	int64_t wait = 0;

	if (a->verdict == VERDICT_MORE) {
		send_part(cc, a->extra);
		return;
	}
	cc->question = NULL;
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

	if (cc->asked) {
		conn_consume(c, c->n_in);
		return;
	}
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

	/* Before the request, and in the middle of a list: too slow.  Else the
	 * refusal is due. */
	if (cc->asked && cc->question == NULL)
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
	front_check_stop(cc->front);
	free(cc);
}

static const struct conn_ops ops = {
	.on_input = on_input,
	.on_eof = on_eof,
	.on_timer = on_timer,
	.on_stop = on_stop,
	.on_drained = on_drained,
	.on_free = on_free,
};

void
courier_conn_new(struct front *f, int fd)
{
	struct courier_conn *cc = MEM_NEW(struct courier_conn);

	cc->front = f;
	cc->is_ours = front_peer_is_ours(fd);
	buf_init_secret(&cc->out, OUT_MAX);
	cc->conn =
	    conn_new(&f->conns, fd, &ops, COURIER_INPUT_MAX, &cc->out, cc);
	conn_set_timer(cc->conn, FRONT_COURIER_READ_MS);
}
