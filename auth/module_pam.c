/*
 * authpam: the system's users, by PAM.
 *
 * A helper has no right to look at the system's passwords.  Beside it stands
 * a process that has kept the keeper's rights (pam.c), and answers its
 * questions.
 */
#include <poll.h>
#include <stdlib.h>

#include "auth/module.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

enum { MAGIC = 0x3a111000 };

struct pam_module {
	uint32_t magic;
	int sock;
	uint32_t id;
	uint8_t *space;
};

static void *
module_open(const struct settings *settings)
{
	struct pam_module *m = MEM_NEW(struct pam_module);

	m->magic = MAGIC;
	m->sock = settings->pam_sock;
	m->space = mem_alloc(MSG_SIZE_MAX);
	return m;
}

static void
module_close(void *self)
{
	struct pam_module *m = self;

	MAGIC_CHECK(m, MAGIC);
	m->magic = 0;
	secret_wipe(m->space, MSG_SIZE_MAX);
	free(m->space);
	free(m);
}

static bool
send_query(struct pam_module *m, const struct module_call *call)
{
	struct query q = *call->query;
	int64_t left = call->deadline - clock_now();
	struct msg_out out;

	q.budget_ms = left > 0 ? (uint32_t)left : 0;
	query_pack(&q, ++m->id, &out);
	return msg_send(m->sock, &out) == 0;
}

/* The answer to this question; those to questions given up are dropped. */
static bool
next_answer(struct pam_module *m, int64_t deadline, struct answer *a)
{
	for (;;) {
		struct pollfd p = { .fd = m->sock, .events = POLLIN };
		int64_t left = deadline - clock_now();
		struct msg_in in;
		int r;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return false;
		r = msg_recv(m->sock, ROLE_HELPER, ROLE_AUTH, m->space, &in);
		if (r == ERR_BUSY)
			continue;
		if (r != 1 || in.type != MSG_AUTHD_ANSWER ||
		    !answer_unpack(&in, a))
			return false;
		if (in.id == m->id)
			return true;
	}
}

static enum verdict
fail(const char *what)
{
	log_error("authpam: %s", what);
	return VERDICT_TEMPORARY;
}

static enum verdict
check(void *self, const struct module_call *call, struct account *out)
{
	struct pam_module *m = self;
	struct answer a;

	MAGIC_CHECK(m, MAGIC);
	if (m->sock < 0)
		return fail("its process isn't there");
	if (!send_query(m, call) || !next_answer(m, call->deadline, &a))
		return fail("no answer");
	if (a.verdict != VERDICT_OK)
		return a.verdict;
	out->uid = a.uid;
	out->gid = a.gid;
	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++)
		account_set(out, f, a.field[f]);
	return VERDICT_OK;
}

static enum verdict
enumerate(
    void *self, const struct module_call *call, module_sink *sink, void *arg)
{
	struct pam_module *m = self;
	struct answer a = { .verdict = VERDICT_MORE };

	MAGIC_CHECK(m, MAGIC);
	if (m->sock < 0 || !send_query(m, call))
		return fail("its process isn't there");
	while (a.verdict == VERDICT_MORE) {
		if (!next_answer(m, call->deadline, &a))
			return fail("no answer");
		if (a.extra.n != 0 && !sink(arg, a.extra))
			return VERDICT_TEMPORARY;
	}
	return a.verdict;
}

const struct auth_module module_pam = {
	.name = "authpam",
	.open = module_open,
	.close = module_close,
	.check = check,
	.enumerate = enumerate,
};
