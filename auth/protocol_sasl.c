#include "auth/protocol_sasl.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"

static struct sasl_bucket *
bucket_of(struct sasl_session *s, uint32_t id)
{
	return &s->bucket[id % SASL_N_BUCKETS];
}

static struct sasl_request *
request_find(struct sasl_session *s, uint32_t id)
{
	struct sasl_request *r;

	LIST_FOREACH(r, bucket_of(s, id), by_id)
		if (r->id == id)
			return r;
	return NULL;
}

/* What isn't base64 is nothing. */
static void
set_base64(struct secret *to, struct slice text)
{
	struct buf raw;

	buf_init_secret(&raw, MECH_MESSAGE_MAX);
	if (text.n != 0 && base64_decode(text, &raw))
		secret_set(to, buf_slice(&raw));
	buf_fini(&raw);
}

static struct sasl_request *
request_new(struct sasl_session *s, const struct sasl_line *line,
    const struct mech *mech, int64_t now)
{
	struct sasl_request *r = MEM_NEW(struct sasl_request);

	r->id = line->id;
	r->session = s;
	mech_state_init(&r->mech, mech);
	secret_set(&r->service, line->service);
	secret_set(&r->rip, line->rip);
	r->nologin = line->nologin;
	r->final_resp_ok = line->final_resp_ok;
	secret_set(&r->mech.certified, line->cert_username);
	secret_set(&r->mech.defdomain.domain, line->defdomain);
	secret_set(&r->mech.defdomain.separators, line->domainsep);
	set_base64(&r->mech.tls_exporter, line->tls_exporter);
	set_base64(&r->mech.tls_server_end_point, line->tls_server_end_point);
	r->started = r->judged = now;
	TAILQ_INSERT_TAIL(&s->requests, r, by_start);
	LIST_INSERT_HEAD(bucket_of(s, r->id), r, by_id);
	s->n_requests++;
	return r;
}

static void
request_free(struct sasl_request *r)
{
	struct sasl_session *s = r->session;

	if (r->asked)
		s->host->forget(s->arg, r);
	if (r->failure != NULL)
		TAILQ_REMOVE(&s->failures, r, by_failure);
	TAILQ_REMOVE(&s->requests, r, by_start);
	LIST_REMOVE(r, by_id);
	s->n_requests--;
	mech_state_fini(&r->mech);
	secret_fini(&r->service);
	secret_fini(&r->rip);
	free(r);
}

void
sasl_session_fini(struct sasl_session *s)
{
	struct sasl_request *r;

	MAGIC_CHECK(s, SASL_SESSION_MAGIC);
	while ((r = TAILQ_FIRST(&s->requests)) != NULL)
		request_free(r);
	buf_fini(&s->out);
	s->magic = 0;
}

/* --- what is said ------------------------------------------------------- */

/* Only what can work. */
static bool
is_offered(const struct sasl_session *s, const struct mech *m)
{
	return (m->needs != MECH_NEEDS_CLEAR || s->options.has_clear) &&
	    ((!m->plus && !m->certified) || s->options.can_bind);
}

/*
 * Before the client says anything, as Dovecot's server did up to 2.3: Exim
 * reads all of it first, and Postfix reads it after its own.
 */
static void
put_handshake(struct sasl_session *s)
{
	size_t n;
	const struct mech *const *all = mech_all(&n);

	/* MECH before SPID: Postfix takes an SPID that comes first for the
	 * sign of the wrong kind of socket. */
	buf_puts(&s->out, "VERSION\t1\t2\n");
	for (size_t i = 0; i < n; i++) {
		if (!is_offered(s, all[i]))
			continue;
		buf_puts(&s->out, "MECH\t");
		buf_put(&s->out, all[i]->name);
		buf_putf(&s->out, "\t%s\n", all[i]->flags);
	}
	buf_putf(&s->out, "SPID\t%u\nCUID\t%u\nCOOKIE\t", s->options.pid,
	    s->options.cuid);
	buf_put_hex(
	    &s->out, slice_of(s->options.cookie, sizeof(s->options.cookie)));
	buf_puts(&s->out, "\nDONE\n");
}

void
sasl_session_init(struct sasl_session *s, const struct sasl_options *options,
    const struct sasl_host *host, void *arg)
{
	*s = (struct sasl_session){ .magic = SASL_SESSION_MAGIC,
		.options = *options,
		.host = host,
		.arg = arg };
	buf_init(&s->out, SASL_OUTPUT_MAX);
	TAILQ_INIT(&s->requests);
	TAILQ_INIT(&s->failures);
	for (size_t i = 0; i < SASL_N_BUCKETS; i++)
		LIST_INIT(&s->bucket[i]);
	put_handshake(s);
}

static void
put_fail(
    struct sasl_session *s, uint32_t id, struct slice user, const char *fields)
{
	buf_putf(&s->out, "FAIL\t%u", id);
	if (user.n != 0) {
		buf_puts(&s->out, "\tuser=");
		sasl_put_value(&s->out, user);
	}
	buf_puts(&s->out, fields);
	buf_putc(&s->out, '\n');
}

/* A failure of ours is told at once, and ends the request. */
static void
fail_at_once(struct sasl_request *r, const char *fields)
{
	struct sasl_session *s = r->session;

	if (s->options.close_on_temporary)
		s->closing = true;
	else
		put_fail(s, r->id, secret_slice(&r->mech.user), fields);
	request_free(r);
}

static void
fail_temporarily(struct sasl_request *r)
{
	fail_at_once(r, "\ttemp\tcode=temp_fail");
}

/*
 * A permanent one is told at a fixed time after the last response, so that it
 * doesn't show how long the looking took.
 */
static void
fail_later(struct sasl_request *r, const char *fields)
{
	struct sasl_session *s = r->session;
	struct sasl_request *other;

	r->failure = fields;
	TAILQ_FOREACH_REVERSE(other, &s->failures, sasl_requests, by_failure)
	if (other->judged <= r->judged) {
		TAILQ_INSERT_AFTER(&s->failures, other, r, by_failure);
		return;
	}
	TAILQ_INSERT_HEAD(&s->failures, r, by_failure);
}

/* temp: a mail server may not bounce for it. */
static void
fail_unusable(struct sasl_request *r)
{
	fail_at_once(r, "\ttemp\tcode=unusable");
}

static void
put_challenge(struct sasl_request *r)
{
	struct buf *out = &r->session->out;

	/* The TAB must be there even when nothing follows it. */
	buf_putf(out, "CONT\t%u\t", r->id);
	base64_encode(buf_slice(&r->mech.challenge), out);
	buf_putc(out, '\n');
}

static void
succeed(struct sasl_request *r, const struct answer *a)
{
	struct sasl_session *s = r->session;
	uint8_t ticket[TICKET_LEN];
	bool has_ticket = s->host->ticket != NULL && !r->nologin;

	if (has_ticket && !s->host->ticket(s->arg, r, a, ticket)) {
		fail_temporarily(r);
		return;
	}
	buf_puts(&s->out, "OK\t");
	buf_putu(&s->out, r->id);
	buf_puts(&s->out, "\tuser=");
	sasl_put_value(&s->out,
	    a->field[ACCOUNT_ADDRESS].n != 0 ? a->field[ACCOUNT_ADDRESS]
					     : secret_slice(&r->mech.user));
	if (r->mech.mech->account != NULL && r->final_resp_ok) {
		buf_puts(&s->out, "\tresp=");
		base64_encode(buf_slice(&r->mech.challenge), &s->out);
	}
	if (has_ticket) {
		buf_puts(&s->out, "\tticket=");
		buf_put_hex(&s->out, slice_of(ticket, TICKET_LEN));
	}
	buf_putc(&s->out, '\n');
	request_free(r);
}

/* --- requests ------------------------------------------------------------ */

/*
 * Success.  A client that can't take the last message of the mechanism with
 * its OK gets it as a challenge, and answers with nothing.
 */
static void
accept_request(struct sasl_request *r)
{
	struct answer a = r->mech.mech->account(&r->mech);

	if (r->final_resp_ok || r->accepted) {
		succeed(r, &a);
		return;
	}
	r->accepted = true;
	put_challenge(r);
}

static void
ask(struct sasl_request *r)
{
	struct sasl_session *s = r->session;
	struct query q = { .op = r->mech.op,
		.service = secret_slice(&r->service),
		.mechanism = r->mech.mech->hash,
		.user = secret_slice(&r->mech.user),
		.password = secret_slice(&r->mech.password),
		.extra = secret_slice(&r->mech.extra),
		.rip = secret_slice(&r->rip) };

	r->asked = true;
	s->host->ask(s->arg, r, &q);
}

/* Tell of a verdict that no answer of the user table shows. */
static void
note_judgement(struct sasl_request *r, enum mech_next next)
{
	struct sasl_session *s = r->session;

	if (s->host->judged != NULL && r->mech.mech->answered != NULL &&
	    r->mech.user.n != 0 && (next == MECH_ACCEPT || next == MECH_REJECT))
		s->host->judged(s->arg, r, next == MECH_ACCEPT);
}

/* Go on as the mechanism says. */
static void
follow(struct sasl_request *r, enum mech_next next)
{
	note_judgement(r, next);
	switch (next) {
	case MECH_CHALLENGE:
		put_challenge(r);
		break;
	case MECH_ASK:
		ask(r);
		break;
	case MECH_ACCEPT:
		accept_request(r);
		break;
	case MECH_REJECT:
		fail_later(r, "");
		break;
	case MECH_REJECT_AUTHZ:
		fail_later(r, "\tauthz");
		break;
	case MECH_UNSURE:
		fail_temporarily(r);
		break;
	case MECH_UNUSABLE:
		fail_unusable(r);
		break;
	}
}

void
sasl_session_answer(
    struct sasl_request *r, const struct answer *a, int64_t begun)
{
	MAGIC_CHECK(r->session, SASL_SESSION_MAGIC);
	assert(r->asked);
	r->asked = false;
	r->judged = begun;
	secret_fini(&r->mech.password);
	switch (a->verdict) {
	case VERDICT_OK:
	case VERDICT_REJECTED:
	case VERDICT_UNSUPPORTED:
		if (r->mech.mech->answered != NULL)
			follow(r, r->mech.mech->answered(&r->mech, a));
		else if (a->verdict == VERDICT_OK)
			succeed(r, a);
		else
			follow(r, MECH_REJECT);
		break;
	case VERDICT_UNUSABLE:
		if (r->mech.mech->answered != NULL && a->extra.n != 0)
			follow(r, r->mech.mech->answered(&r->mech, a));
		else
			fail_unusable(r);
		break;
	case VERDICT_TEMPORARY:
	case VERDICT_MORE:
	case VERDICT_STALE:
	case VERDICT_SLOW:
	case VERDICT_N:
		fail_temporarily(r);
		break;
	}
}

/*
 * Exim, a client of version 1.0, writes an empty "resp=" when its own client
 * sent no initial response; since 1.2 that is an empty one.
 */
static bool
lacks_response(const struct sasl_session *s, const struct sasl_line *line)
{
	return !line->has_resp ||
	    (line->verb == SASL_AUTH && line->resp.n == 0 && s->minor < 2);
}

/* Hand a response, decoded, to the mechanism. */
static void
respond(struct sasl_request *r, const struct sasl_line *line, int64_t now)
{
	struct slice text = line->resp, response;
	struct buf raw;

	r->judged = now;
	if (r->accepted) {
		/* Whatever it says: it has heard. */
		accept_request(r);
		return;
	}
	if (lacks_response(r->session, line)) {
		follow(r, r->mech.mech->step(&r->mech, NULL));
		return;
	}
	/* "=" is the way of RFC 4954 4 to write an empty initial response. */
	if (line->verb == SASL_AUTH && slice_eq(text, SLICE("=")))
		text = slice_of("", 0);
	buf_init_secret(&raw, MECH_MESSAGE_MAX);
	if (base64_decode(text, &raw)) {
		response = buf_slice(&raw);
		if (response.p == NULL)
			response = slice_of("", 0);
		follow(r, r->mech.mech->step(&r->mech, &response));
	} else {
		fail_later(r, "");
	}
	buf_fini(&raw);
}

static bool
on_auth(struct sasl_session *s, const struct sasl_line *line, int64_t now)
{
	const struct mech *mech = mech_find(line->mechanism);

	if (request_find(s, line->id) != NULL) {
		s->why = "id of an open request used again";
		return false;
	}
	if (mech == NULL || !is_offered(s, mech)) {
		put_fail(s, line->id, slice_of("", 0),
		    "\treason=Unsupported authentication mechanism.");
		return true;
	}
	if (s->n_requests >= SASL_REQUESTS_MAX) {
		if (s->options.close_on_temporary)
			s->closing = true;
		else
			put_fail(s, line->id, slice_of("", 0),
			    "\ttemp\tcode=temp_fail");
		return true;
	}
	respond(request_new(s, line, mech, now), line, now);
	return true;
}

static bool
on_cont(struct sasl_session *s, const struct sasl_line *line, int64_t now)
{
	struct sasl_request *r = request_find(s, line->id);

	/* One that has just expired is answered as its end would have been. */
	if (r == NULL) {
		put_fail(s, line->id, slice_of("", 0), "");
		return true;
	}
	if (r->asked || r->failure != NULL) {
		s->why = "CONT for a request that waits for no response";
		return false;
	}
	respond(r, line, now);
	return true;
}

static bool
handshake(struct sasl_session *s, const struct sasl_line *line)
{
	if (s->state == SASL_GREETING) {
		if (line->verb != SASL_VERSION || line->major != 1) {
			s->why = "VERSION 1 expected";
			return false;
		}
		s->state = SASL_HANDSHAKE;
		s->minor = line->minor;
		return true;
	}
	if (line->verb == SASL_CPID)
		s->state = SASL_OPEN;
	else if (line->verb != SASL_OTHER) {
		s->why = "CPID expected";
		return false;
	}
	return true;
}

static bool
take_line(struct sasl_session *s, const struct sasl_line *line, int64_t now)
{
	struct sasl_request *r;

	if (s->state != SASL_OPEN)
		return handshake(s, line);
	switch (line->verb) {
	case SASL_AUTH:
		return on_auth(s, line, now);
	case SASL_CONT:
		return on_cont(s, line, now);
	case SASL_CANCEL:
		r = request_find(s, line->id);
		if (r != NULL)
			request_free(r);
		return true;
	case SASL_OTHER:
		return true;
	case SASL_VERSION:
	case SASL_CPID:
		break;
	}
	s->why = "handshake line after the handshake";
	return false;
}

bool
sasl_session_line(struct sasl_session *s, uint8_t *line, size_t n, int64_t now)
{
	struct sasl_line parsed;
	bool ok = false;

	MAGIC_CHECK(s, SASL_SESSION_MAGIC);
	if (s->closing)
		return true;
	s->why = "bad line";
	if (sasl_parse_line(line, n, &parsed) == PARSE_OK)
		ok = take_line(s, &parsed, now);
	secret_wipe(line, n);
	if (!buf_ok(&s->out)) {
		s->why = "replies are not being read";
		ok = false;
	}
	return ok;
}

int64_t
sasl_session_tick(struct sasl_session *s, int64_t now)
{
	struct sasl_request *r;
	int64_t next = -1, at;

	MAGIC_CHECK(s, SASL_SESSION_MAGIC);
	while ((r = TAILQ_FIRST(&s->failures)) != NULL) {
		at = r->judged + s->options.failure_ms;
		if (at > now) {
			next = at;
			break;
		}
		put_fail(s, r->id, secret_slice(&r->mech.user), r->failure);
		request_free(r);
	}
	while ((r = TAILQ_FIRST(&s->requests)) != NULL) {
		at = r->started + SASL_REQUEST_MS;
		if (at > now)
			return next < 0 || at < next ? at : next;
		request_free(r);
	}
	return next;
}
