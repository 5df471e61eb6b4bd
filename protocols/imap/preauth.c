/*
 * A command is gathered in the input buffer until all of it is there, the
 * literals in their places, and only then parsed and acted on: there is no
 * half-parsed state that a later line could mislead.  What may be gathered is
 * bounded (line_max for its lines together, literal_max for a literal, two
 * literals' worth in all), and the bound is checked when a literal is
 * announced, not when its bytes come.
 *
 * A synchronizing literal is a question (RFC 3501 4.3): a command that would
 * be refused anyway is refused right there, without asking for the bytes.
 */
#include "protocols/imap/preauth.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocols/imap/preauth_cmd.h"
#include "protocols/preauth_impl.h"

enum { PREAUTH_MAGIC = 0x696d6c67, LITERALS = 2, LITERAL_MINUS_MAX = 4096 };

static struct imap_preauth *
of(struct preauth *p)
{
	struct imap_preauth *c = CONTAINER_OF(p, struct imap_preauth, p);

	MAGIC_CHECK(c, PREAUTH_MAGIC);
	return c;
}

/* --- gathering ----------------------------------------------------------- */

/* Refuse what has been gathered, under its tag as far as that can be read. */
static enum preauth_event
refuse(struct imap_preauth *c, const char *text)
{
	struct imap_lex lx = imap_lex_of(buf_slice(&c->p.in));

	(void)imap_preauth_read_tag(c, &lx);
	return imap_preauth_answer(c, text);
}

/* Whether the line ends inside of a quoted string. */
static bool
quote_open(struct slice line)
{
	bool open = false;

	assert(line.p != NULL);
	for (size_t i = 0; i < line.n; i++) {
		if (open && line.p[i] == '\\')
			i++;
		else if (line.p[i] == '"')
			open = !open;
	}
	return open;
}

/* Done with the first n bytes of the input, which were a command. */
static void
finish(struct imap_preauth *c, size_t n)
{
	if (c->state == PRE_CLOSED || c->state == PRE_TLS)
		return; /* those have taken everything */
	preauth_take(&c->p, n);
	imap_preauth_forget_command(c);
}

/*
 * The line that ends at in[end] announces a literal.  Either it's waited for,
 * or the command is refused (*refused).
 */
static enum preauth_event
announced(struct imap_preauth *c, size_t end, const struct imap_literal *lit,
    bool *refused)
{
	const struct preauth_options *o = c->p.opt;

	*refused = lit->size > o->literal_max ||
	    (!lit->sync && lit->size > LITERAL_MINUS_MAX &&
		imap_preauth_literal_minus(c)) ||
	    c->literals + lit->size > LITERALS * o->literal_max;
	if (*refused) {
		(void)refuse(c, "BAD [TOOBIG] Literal too large.");
		/* RFC 7888 4: the bytes come all the same, and won't be
		 * waited for. */
		return lit->sync
		    ? PREAUTH_WAIT
		    : imap_preauth_hang_up(c, "Literal too large.");
	}
	*refused = lit->sync && imap_preauth_refused_early(c, end);
	if (*refused)
		return PREAUTH_WAIT;
	if (lit->sync)
		buf_puts(&c->p.out, "+ OK\r\n");
	c->have = end + (size_t)lit->size;
	c->literals += (size_t)lit->size;
	return PREAUTH_WAIT;
}

/* A line of the command: n bytes with its line end at in[have]. */
static enum preauth_event
gather_line(struct imap_preauth *c, size_t n)
{
	struct slice line =
	    slice_first(slice_skip(buf_slice(&c->p.in), c->have), n);
	size_t end = c->have + n;
	struct imap_literal lit;
	enum preauth_event e;
	bool refused = false;

	if (slice_has(line, '\0')) {
		/* RFC 3501 9: CHAR excludes NUL. */
		e = refuse(c, "BAD NUL in command.");
	} else if (imap_line_literal(line, &lit) && !quote_open(line)) {
		e = announced(c, end, &lit, &refused);
		if (!refused)
			return e;
	} else {
		e = imap_preauth_command(c, end);
	}
	finish(c, end);
	return e;
}

/*
 * Take the next line of the command, or wait for it.  The lines together may
 * measure line_max.
 */
static enum preauth_event
gather(struct imap_preauth *c, bool *more)
{
	struct slice in = buf_slice(&c->p.in), rest;
	size_t lf, room = c->p.opt->line_max;

	*more = in.n < c->have || in.n == 0;
	if (*more)
		return PREAUTH_WAIT;
	assert(in.p != NULL);
	if (!c->begun && c->commands++ >= c->p.opt->commands_max)
		return imap_preauth_hang_up(
		    c, "Too many commands without a login.");
	c->begun = true;
	assert(c->have >= c->literals);
	room -= c->have - c->literals < room ? c->have - c->literals : room;
	rest = slice_first(slice_skip(in, c->have), room);
	lf = slice_find(rest, '\n');
	if (lf < rest.n)
		return gather_line(c, lf + 1);
	if (rest.n < room) {
		*more = true;
		return PREAUTH_WAIT;
	}
	(void)refuse(c, "BAD Command line too long.");
	return imap_preauth_hang_up(c, "Command line too long.");
}

/* RFC 3501 6.2.2: a line of the exchange. */
static enum preauth_event
response(struct imap_preauth *c, bool *more)
{
	struct slice line;
	enum preauth_event e = PREAUTH_ABORT;
	enum parse got;
	size_t n;

	got = preauth_line(&c->p, &line, &n);
	*more = got == PARSE_MORE;
	if (*more)
		return PREAUTH_WAIT;
	if (got != PARSE_OK) {
		(void)imap_preauth_answer(c, "BAD Response too long.");
		return imap_preauth_hang_up(c, "Response too long.");
	}
	c->state = PRE_COMMAND;
	if (slice_eq(line, SLICE("*"))) {
		(void)imap_preauth_answer(c, "BAD Authentication cancelled.");
	} else if (!preauth_set_response(&c->p, line)) {
		(void)imap_preauth_answer(c, "BAD Invalid base64.");
	} else {
		c->state = PRE_DECIDING;
		e = PREAUTH_RESPONSE;
	}
	preauth_take(&c->p, n);
	return e;
}

static enum preauth_event
take_line(struct imap_preauth *c, bool *more)
{
	if (c->state == PRE_EXCHANGE)
		return response(c, more);
	if (!c->begun) {
		enum parse tls = preauth_tls_record(&c->p);
		if (tls == PARSE_OK)
			return imap_preauth_hang_up(
			    c, "TLS is not spoken here.");
		*more = tls == PARSE_MORE;
		if (*more)
			return PREAUTH_WAIT;
	}
	return gather(c, more);
}

/* --- the login process's calls ------------------------------------------- */

static void
greet(struct preauth *p, const char *refusal, bool for_good)
{
	struct imap_preauth *c = of(p);

	if (refusal != NULL) {
		/* RFC 3501 7.1.5: BYE as a greeting */
		buf_putf(&p->out, "* BYE [%s] %s\r\n",
		    for_good ? "ALERT" : "UNAVAILABLE", refusal);
		(void)imap_preauth_hang_up(c, NULL);
		return;
	}
	buf_puts(&p->out, "* OK [");
	imap_preauth_put_capability(c, &p->out);
	buf_putf(&p->out, "] %s ready.\r\n", p->opt->greeting_name);
}

static enum preauth_event
run(struct preauth *p)
{
	struct imap_preauth *c = of(p);
	enum preauth_event e = PREAUTH_WAIT;
	bool more = false;

	while (e == PREAUTH_WAIT && !more &&
	    (c->state == PRE_COMMAND || c->state == PRE_EXCHANGE))
		e = take_line(c, &more);
	/* limits that were raised meanwhile find a buffer of the old size */
	if (more && buf_len(&p->in) == p->in.max)
		(void)imap_preauth_hang_up(c, "Command line too long.");
	if (c->state == PRE_TLS && e == PREAUTH_WAIT)
		preauth_discard(p);
	if (!buf_ok(&p->out))
		(void)imap_preauth_hang_up(c, NULL);
	return c->state == PRE_CLOSED ? PREAUTH_CLOSE : e;
}

static void
challenge(struct preauth *p, struct slice base64)
{
	struct imap_preauth *c = of(p);

	assert(c->state == PRE_DECIDING);
	/* RFC 3501 7.5: the blank stays when there is nothing behind it. */
	buf_puts(&p->out, "+ ");
	buf_put(&p->out, base64);
	buf_puts(&p->out, "\r\n");
	preauth_drop_response(p);
	c->state = PRE_EXCHANGE;
}

/* RFC 5530 3: codes that tell a wrong password from our own trouble.  Of a
 * closed account the user must hear (RFC 3501 7.1), or the program asks for
 * the password again. */
static const struct {
	const char *code, *text;
} failures[] = {
	[PREAUTH_BAD_CREDENTIALS] = { "[AUTHENTICATIONFAILED]",
	    "Login failed." },
	[PREAUTH_UNAVAILABLE] = { "[UNAVAILABLE]",
	    "Temporary problem, please try again later" },
	[PREAUTH_UNUSABLE] = { "[CONTACTADMIN]",
	    "Your account is set up wrongly, tell your administrator." },
	[PREAUTH_LIMIT] = { "[LIMIT]", "Too many connections." },
	[PREAUTH_DISABLED] = { "[ALERT]", "This account may not use IMAP." },
	[PREAUTH_TIMEOUT] = { "[UNAVAILABLE]", "Disconnected for inactivity." },
	[PREAUTH_STOPPING] = { "[UNAVAILABLE]", "Server is shutting down." },
};

static void
failed(struct preauth *p, enum preauth_failure why, const char *reason)
{
	struct imap_preauth *c = of(p);

	if (c->state == PRE_CLOSED)
		return;
	assert(c->state == PRE_DECIDING || c->state == PRE_EXCHANGE);
	assert((size_t)why < NELEMS(failures));
	buf_putf(&p->out, "%s NO %s %s\r\n", p->tag, failures[why].code,
	    reason != NULL ? reason : failures[why].text);
	preauth_drop_response(p);
	c->state = PRE_COMMAND;
}

static void
tls_started(struct preauth *p)
{
	struct imap_preauth *c = of(p);

	preauth_discard(p);
	preauth_forget(p);
	imap_preauth_forget_command(c);
	p->tls = true;
	if (c->state == PRE_TLS)
		c->state = PRE_COMMAND;
}

static void
end(struct preauth *p, enum preauth_failure why)
{
	struct imap_preauth *c = of(p);

	if (c->state == PRE_CLOSED)
		return;
	assert((size_t)why < NELEMS(failures));
	/* Nothing may be said into the TLS handshake. */
	if (c->state != PRE_TLS && why == PREAUTH_TIMEOUT)
		buf_putf(&p->out, "* BYE %s\r\n", failures[why].text);
	else if (c->state != PRE_TLS)
		buf_putf(&p->out, "* BYE %s %s\r\n", failures[why].code,
		    failures[why].text);
	(void)imap_preauth_hang_up(c, NULL);
}

static void
imap_preauth_free(struct preauth *p)
{
	struct imap_preauth *c = of(p);

	preauth_fini(p);
	c->magic = 0;
	free(c);
}

static const struct preauth_ops ops = {
	.protocol = "IMAP",
	.service = "imap",
	.greet = greet,
	.run = run,
	.challenge = challenge,
	.failed = failed,
	.tls_started = tls_started,
	.end = end,
	.free = imap_preauth_free,
};

struct preauth *
imap_preauth_new(const struct preauth_options *opt)
{
	struct imap_preauth *c = MEM_NEW(struct imap_preauth);

	preauth_init(&c->p, &ops, opt,
	    opt->line_max + LITERALS * opt->literal_max + PREAUTH_INPUT_AHEAD);
	c->magic = PREAUTH_MAGIC;
	return &c->p;
}
