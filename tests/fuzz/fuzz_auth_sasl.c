/*
 * Lines to a session of the SASL protocol, whose user table answers as the
 * input says: a line that begins with @ is a verdict for the oldest question,
 * one with + lets time pass; a first line of % and a character says what the
 * socket is like.  Every reply must be a whole line of the protocol.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/protocol_sasl.h"
#include "auth/scram.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ASKED_MAX = 64 };

struct table {
	struct sasl_request *asked[ASKED_MAX];
	size_t n;
};

static void
on_ask(void *arg, struct sasl_request *r, const struct query *q)
{
	static const struct answer busy = { .verdict = VERDICT_TEMPORARY };
	struct table *t = arg;

	if (!user_name_ok(q->user) || slice_has(q->password, '\0'))
		abort();
	if (t->n == ASKED_MAX)
		sasl_session_answer(r, &busy, 0);
	else
		t->asked[t->n++] = r;
}

static void
forget(struct table *t, size_t i)
{
	memmove(t->asked + i, t->asked + i + 1,
	    (t->n - i - 1) * sizeof(t->asked[0]));
	t->n--;
}

static void
on_forget(void *arg, struct sasl_request *r)
{
	struct table *t = arg;

	for (size_t i = 0; i < t->n; i++)
		if (t->asked[i] == r) {
			forget(t, i);
			return;
		}
	abort();
}

static bool
on_ticket(void *arg, struct sasl_request *r, const struct answer *a,
    uint8_t ticket[TICKET_LEN])
{
	(void)arg;
	(void)r;
	memset(ticket, 1, TICKET_LEN);
	return a->uid != 0;
}

static void
on_judged(void *arg, struct sasl_request *r, bool good)
{
	(void)arg;
	(void)good;
	if (!user_name_ok(secret_slice(&r->mech.user)))
		abort();
}

static const struct sasl_host login_host = {
	.ask = on_ask, .forget = on_forget, .ticket = on_ticket
};
static const struct sasl_host other_host = {
	.ask = on_ask, .forget = on_forget, .judged = on_judged
};

enum { NO_CLEAR = 1, NO_BINDING = 2, OTHER = 4, CLOSES = 8 };

/* The keys of "pencil" as a user table has them; made once. */
static struct slice
keys(void)
{
	static char text[256];

	if (text[0] == '\0') {
		struct scram_keys k = {
			.hash = SCRAM_SHA256, .iterations = 1, .salt_len = 1
		};
		struct buf b;

		buf_init(&b, sizeof(text) - 1);
		if (!scram_keys_make(&k, SLICE("pencil")))
			abort();
		scram_keys_put(&k, &b);
		memcpy(text, buf_slice(&b).p, buf_len(&b));
		buf_fini(&b);
	}
	return slice_str(text);
}

static void
answer(struct table *t, struct slice line, int64_t now)
{
	struct answer a = { .uid = (uint32_t)(line.n & 1) };
	struct sasl_request *r;

	if (t->n == 0)
		return;
	a.verdict =
	    line.n > 1 ? (enum verdict)(line.p[1] % VERDICT_N) : VERDICT_OK;
	a.field[ACCOUNT_ADDRESS] = slice_skip(line, 2);
	a.extra = keys();
	r = t->asked[0];
	forget(t, 0);
	sasl_session_answer(r, &a, now);
}

/* Lines of known verbs, without a byte that a field must not hold. */
static void
check_replies(struct slice out)
{
	static const char *const verbs[] = { "VERSION\t", "MECH\t", "SPID\t",
		"CUID\t", "COOKIE\t", "DONE", "OK\t", "FAIL\t", "CONT\t" };
	struct slice line;

	if (out.n != 0 && out.p[out.n - 1] != '\n')
		abort();
	while (out.n != 0) {
		bool known = false;

		(void)slice_split(&out, '\n', &line);
		for (size_t i = 0; i < NELEMS(verbs); i++)
			known =
			    known || slice_starts(line, slice_str(verbs[i]));
		if (!known || slice_has(line, '\0') || slice_has(line, '\r'))
			abort();
	}
}

static bool
take(struct sasl_session *s, struct table *t, struct slice line, int64_t *now)
{
	uint8_t *copy;
	bool ok;

	if (line.n != 0 && line.p[0] == '@') {
		answer(t, line, *now);
		return true;
	}
	if (line.n != 0 && line.p[0] == '+') {
		*now += (int64_t)line.n * 1000;
		(void)sasl_session_tick(s, *now);
		return true;
	}
	copy = mem_alloc(line.n + 1);
	if (line.n != 0)
		memcpy(copy, line.p, line.n);
	ok = sasl_session_line(s, copy, line.n, *now);
	free(copy);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size), line;
	struct sasl_options o = { .pid = 1,
		.cuid = 1,
		.failure_ms = 2000,
		.has_clear = true,
		.can_bind = true,
		.close_on_temporary = size % 2 != 0 };
	struct table t = { .n = 0 };
	struct sasl_session s;
	int64_t now = 0;
	unsigned how = 0;

	if (size > 1 && data[0] == '%') {
		(void)slice_split(&rest, '\n', &line);
		how = line.n > 1 ? line.p[1] : 0;
		o.has_clear = (how & NO_CLEAR) == 0;
		o.can_bind = (how & NO_BINDING) == 0;
		o.close_on_temporary = (how & CLOSES) != 0;
	}
	sasl_session_init(&s, &o, how & OTHER ? &other_host : &login_host, &t);
	while (slice_split(&rest, '\n', &line) && take(&s, &t, line, &now))
		continue;
	(void)sasl_session_tick(&s, now + SASL_REQUEST_MS + 1);
	check_replies(buf_slice(&s.out));
	sasl_session_fini(&s);
	return 0;
}
