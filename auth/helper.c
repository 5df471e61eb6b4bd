#include "auth/helper.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/answer.h"
#include "auth/module.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum {
	IDLE_MS = 60 * 1000,  /* how often modules may look after themselves */
	PART_MAX = 64 * 1024, /* of a long answer in one packet */
	SEND_WAIT_MS = 5000,
};

struct helper {
	int sock;
	const struct settings *settings;
	struct chain *chain;
	uint8_t space[MSG_SIZE_MAX];
	uint32_t id; /* of the question at work */
	struct buf part;
};

/* Send an answer; the front's socket may be full of parts for a moment. */
static bool
send_answer(struct helper *h, const struct answer *a)
{
	for (;;) {
		struct pollfd p = { .fd = h->sock, .events = POLLOUT };
		struct msg_out m;
		int r;

		answer_pack(a, h->id, &m);
		r = msg_send(h->sock, &m);
		if (r == 0)
			return true;
		if (r != ERR_BUSY || poll(&p, 1, SEND_WAIT_MS) <= 0)
			return false;
	}
}

static bool
send_verdict(struct helper *h, enum verdict v)
{
	struct answer a = { .verdict = v };

	return send_answer(h, &a);
}

static bool
flush_part(struct helper *h)
{
	struct answer a = { .verdict = VERDICT_MORE,
		.extra = buf_slice(&h->part) };
	bool ok = buf_len(&h->part) == 0 || send_answer(h, &a);

	buf_reset(&h->part);
	return ok;
}

static bool
on_enumerated(void *arg, struct slice text)
{
	struct helper *h = arg;

	if (buf_len(&h->part) + text.n > PART_MAX && !flush_part(h))
		return false;
	buf_put(&h->part, text);
	return buf_ok(&h->part);
}

static bool
answer_enumerate(struct helper *h, const struct query *q)
{
	enum verdict v;

	buf_reset(&h->part);
	v = chain_enumerate(h->chain, q, on_enumerated, h);
	return flush_part(h) && send_verdict(h, v);
}

static bool
answer_query(struct helper *h, const struct query *q)
{
	struct account account;
	struct answer a;
	enum verdict v;
	bool ok;

	if (q->op == QUERY_ENUMERATE)
		return answer_enumerate(h, q);
	if (!user_name_ok(q->user))
		return send_verdict(h, VERDICT_REJECTED);
	account_init(&account);
	v = chain_ask(h->chain, q, &account);
	a = answer_of_account(&account);
	a.verdict = v;
	ok = send_answer(h, &a);
	account_fini(&account);
	return ok;
}

static bool
serve_one(struct helper *h)
{
	struct msg_in m;
	struct query q;
	bool ok;
	int r = msg_recv(h->sock, ROLE_AUTH, ROLE_HELPER, h->space, &m);

	if (r == ERR_BUSY)
		return true;
	if (r != 1 || m.type != MSG_AUTHD_QUERY || !query_unpack(&m, &q))
		return false;
	h->id = m.id;
	if (settings_changed(h->settings)) {
		/* This process may not be able to read the new file: the
		 * keeper does, and makes a helper that knows it. */
		(void)send_verdict(h, VERDICT_STALE);
		ok = false;
	} else {
		ok = answer_query(h, &q);
	}
	secret_wipe(h->space, m.len);
	return ok;
}

/* The process that asks PAM for this one has ended: both are made anew. */
static bool
pam_is_gone(const struct helper *h)
{
	struct pollfd p = { .fd = h->settings->pam_sock };

	return p.fd >= 0 && poll(&p, 1, 0) > 0 &&
	    (p.revents & (POLLHUP | POLLERR)) != 0;
}

void
helper_run(int sock, const struct settings *s)
{
	struct helper *h = MEM_NEW(struct helper);
	struct pollfd p = { .fd = sock, .events = POLLIN };
	bool ok = true;

	h->sock = sock;
	h->settings = s;
	h->chain = chain_new(s);
	buf_init(&h->part, PART_MAX);
	while (ok) {
		int n = poll(&p, 1, IDLE_MS);

		if (n == 0)
			chain_idle(h->chain);
		else if (n > 0)
			ok = serve_one(h) && !pam_is_gone(h);
	}
	chain_free(&h->chain);
	buf_fini(&h->part);
	free(h);
	_exit(0);
}
