#include "protocols/pop3/preauth.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocols/pop3/capa.h"
#include "protocols/preauth_impl.h"

enum { PREAUTH_MAGIC = 0x70336c67 };

enum state {
	COMMAND,  /* waits for a command */
	DECIDING, /* authdaemond, or the handover, has it */
	RESPONSE, /* waits for the answer to a challenge */
	TLS,	  /* waits for tls_started */
	CLOSED,
};

struct pop3_preauth {
	struct preauth p; /* must be first */
	uint32_t magic;
	enum state state;
	unsigned commands;  /* taken so far */
	struct secret name; /* of USER; unset when none was given */
};

/* A command of the AUTHORIZATION state: arg is what stands behind its blank,
 * p NULL if there is none.  Returns PREAUTH_WAIT to go on with the next. */
typedef enum preauth_event verb_fn(struct pop3_preauth *c, struct slice arg);

static struct pop3_preauth *
of(struct preauth *p)
{
	struct pop3_preauth *c = CONTAINER_OF(p, struct pop3_preauth, p);

	MAGIC_CHECK(c, PREAUTH_MAGIC);
	return c;
}

static void
reply(struct pop3_preauth *c, const char *line)
{
	buf_puts(&c->p.out, line);
	buf_puts(&c->p.out, "\r\n");
}

static enum preauth_event
refuse(struct pop3_preauth *c, const char *line)
{
	reply(c, line);
	return PREAUTH_WAIT;
}

static enum preauth_event
hang_up(struct pop3_preauth *c, const char *line)
{
	if (line != NULL)
		reply(c, line);
	c->state = CLOSED;
	preauth_drop_response(&c->p);
	preauth_discard(&c->p);
	secret_fini(&c->name);
	return PREAUTH_CLOSE;
}

/* Ask authdaemond about what stands in p. */
static enum preauth_event
ask(struct pop3_preauth *c, const char *command)
{
	memcpy(c->p.command, command, strlen(command) + 1);
	c->state = DECIDING;
	return PREAUTH_AUTH;
}

/* --- commands ------------------------------------------------------------ */

/* Blanks at the end are common, and can't mean anything where there is no name
 * or password. */
static bool
has_arg(struct slice arg)
{
	return slice_trim(arg).n != 0;
}

static bool
stls_offered(const struct pop3_preauth *c)
{
	return c->p.opt->offer_starttls && !c->p.tls;
}

/* The names after SASL, each behind a blank; whether there is USER. */
static bool
put_mechs(const struct preauth *p, struct buf *out)
{
	const struct preauth_options *o = p->opt;
	struct slice only = slice_str(o->capability);

	if (p->tls && slice_trim(slice_str(o->capability_tls)).n != 0)
		only = slice_str(o->capability_tls);
	preauth_put_mechs(p, out, " ", only);
	return preauth_password_allowed(p);
}

static enum preauth_event
do_capa(struct pop3_preauth *c, struct slice arg)
{
	struct buf mechs;
	bool user;

	if (has_arg(arg))
		return refuse(c, "-ERR Invalid command.");
	buf_init(&mechs, PREAUTH_INPUT_AHEAD);
	user = put_mechs(&c->p, &mechs);
	pop3_capa_put(
	    &(struct pop3_capa){ .sasl = slice_skip(buf_slice(&mechs), 1),
		.user = user,
		.stls = stls_offered(c) },
	    &c->p.out);
	buf_fini(&mechs);
	return PREAUTH_WAIT;
}

static enum preauth_event
do_user(struct pop3_preauth *c, struct slice arg)
{
	secret_fini(&c->name);
	if (!preauth_password_allowed(&c->p))
		return refuse(c, "-ERR TLS required to log in.");
	if (arg.n == 0)
		return refuse(c, "-ERR Invalid command.");
	/* RFC 1939 7: never tells whether there is such a user. */
	secret_set(&c->name, arg);
	return refuse(c, "+OK Password required.");
}

static enum preauth_event
do_pass(struct pop3_preauth *c, struct slice arg)
{
	bool ok;

	if (!preauth_password_allowed(&c->p))
		return refuse(c, "-ERR TLS required to log in.");
	if (c->name.p == NULL)
		return refuse(c, "-ERR USER comes first.");
	if (arg.p == NULL)
		return refuse(c, "-ERR Invalid command.");
	/* RFC 1939 7: the password may contain blanks. */
	ok = preauth_set_plain(&c->p, secret_slice(&c->name), arg);
	secret_fini(&c->name);
	return ok ? ask(c, "PASS") : refuse(c, "-ERR Invalid command.");
}

/*
 * RFC 5034 wants a mechanism; old clients ask for the list in this way, as an
 * early draft of RFC 1734 had it.
 */
static enum preauth_event
list_mechs(struct pop3_preauth *c)
{
	struct buf mechs;
	struct slice rest, word;

	buf_init(&mechs, PREAUTH_INPUT_AHEAD);
	(void)put_mechs(&c->p, &mechs);
	rest = slice_skip(buf_slice(&mechs), 1);
	reply(c, "+OK Mechanisms follow.");
	while (rest.n != 0 && slice_split(&rest, ' ', &word)) {
		buf_put(&c->p.out, word);
		buf_puts(&c->p.out, "\r\n");
	}
	reply(c, ".");
	buf_fini(&mechs);
	return PREAUTH_WAIT;
}

static enum preauth_event
do_auth(struct pop3_preauth *c, struct slice arg)
{
	struct slice mech, initial = slice_trim(arg);

	if (initial.n == 0)
		return list_mechs(c);
	(void)slice_split(&initial, ' ', &mech);
	if (initial.p != NULL)
		initial = slice_trim(initial);
	if (!preauth_mech_offered(&c->p, mech) || !preauth_begin(&c->p, mech))
		return refuse(c, "-ERR Unsupported mechanism.");
	if (!preauth_mech_allowed(&c->p, mech))
		return refuse(c, "-ERR TLS required to log in.");
	if (initial.p != NULL && !preauth_set_initial(&c->p, initial)) {
		preauth_drop_response(&c->p);
		return refuse(c, "-ERR Invalid base64.");
	}
	secret_fini(&c->name);
	return ask(c, "AUTH");
}

static enum preauth_event
do_stls(struct pop3_preauth *c, struct slice arg)
{
	if (has_arg(arg))
		return refuse(c, "-ERR Invalid command.");
	if (c->p.tls)
		return refuse(c, "-ERR TLS is in use already.");
	if (!stls_offered(c))
		return refuse(c, "-ERR TLS is not available.");
	reply(c, "+OK Begin TLS negotiation now.");
	/* RFC 2595 4: what came before TLS counts for nothing, and least of
	 * all what somebody put behind this command. */
	preauth_discard(&c->p);
	preauth_forget(&c->p);
	secret_fini(&c->name);
	c->p.utf8 = false;
	c->state = TLS;
	return PREAUTH_STARTTLS;
}

static enum preauth_event
do_utf8(struct pop3_preauth *c, struct slice arg)
{
	if (has_arg(arg))
		return refuse(c, "-ERR Invalid command.");
	c->p.utf8 = true;
	return refuse(c, "+OK UTF8 enabled");
}

static enum preauth_event
do_quit(struct pop3_preauth *c, struct slice arg)
{
	if (has_arg(arg))
		return refuse(c, "-ERR Invalid command.");
	c->p.logged_out = true;
	return hang_up(c, "+OK Bye.");
}

static enum preauth_event
do_later(struct pop3_preauth *c, struct slice arg)
{
	(void)arg;
	/* RFC 1939 3: a command of another state. */
	return refuse(c, "-ERR Please log in first.");
}

/* clang-format off */
static const struct verb {
	struct slice name;
	verb_fn *fn;
} verbs[] = {
	{ SLICE_INIT("AUTH"), do_auth },	/* RFC 5034 4 */
	{ SLICE_INIT("CAPA"), do_capa },	/* RFC 2449 5 */
	{ SLICE_INIT("DELE"), do_later },
	{ SLICE_INIT("LIST"), do_later },
	{ SLICE_INIT("NOOP"), do_later },
	{ SLICE_INIT("PASS"), do_pass },	/* RFC 1939 7 */
	{ SLICE_INIT("QUIT"), do_quit },	/* RFC 1939 4 */
	{ SLICE_INIT("RETR"), do_later },
	{ SLICE_INIT("RSET"), do_later },
	{ SLICE_INIT("STAT"), do_later },
	{ SLICE_INIT("STLS"), do_stls },	/* RFC 2595 4 */
	{ SLICE_INIT("TOP"),  do_later },
	{ SLICE_INIT("UIDL"), do_later },
	{ SLICE_INIT("USER"), do_user },	/* RFC 1939 7 */
	{ SLICE_INIT("UTF8"), do_utf8 },	/* RFC 6856 2.1 */
};
/* clang-format on */

static enum preauth_event
command(struct pop3_preauth *c, struct slice line)
{
	struct slice arg = line, name;

	if (c->commands++ >= c->p.opt->commands_max)
		return hang_up(c, "-ERR Too many commands without a login.");
	if (slice_has(line, '\0'))
		return refuse(c, "-ERR Invalid command.");
	(void)slice_split(&arg, ' ', &name);
	for (size_t i = 0; i < NELEMS(verbs); i++)
		if (slice_ieq(name, verbs[i].name))
			return verbs[i].fn(c, arg);
	return refuse(c, "-ERR Invalid command.");
}

/* RFC 5034 4: a line of the exchange. */
static enum preauth_event
response(struct pop3_preauth *c, struct slice line)
{
	if (slice_eq(line, SLICE("*"))) {
		reply(c, "-ERR Authentication cancelled.");
	} else if (!preauth_set_response(&c->p, line)) {
		reply(c, "-ERR Invalid base64.");
	} else {
		c->state = DECIDING;
		return PREAUTH_RESPONSE;
	}
	c->state = COMMAND;
	return PREAUTH_ABORT;
}

static enum preauth_event
take_line(struct pop3_preauth *c, bool *more)
{
	struct slice line;
	size_t n;
	enum preauth_event e;

	if (c->state == COMMAND) {
		enum parse tls = preauth_tls_record(&c->p);
		if (tls == PARSE_OK)
			return hang_up(c, "-ERR TLS is not spoken here.");
		*more = tls == PARSE_MORE;
		if (*more)
			return PREAUTH_WAIT;
	}
	switch (preauth_line(&c->p, &line, &n)) {
	case PARSE_OK:
		break;
	case PARSE_MORE:
		*more = true;
		return PREAUTH_WAIT;
	case PARSE_BAD:
	case PARSE_LIMIT:
	case PARSE_LITERAL:
		return hang_up(c, "-ERR Line too long.");
	}
	e = c->state == COMMAND ? command(c, line) : response(c, line);
	if (c->state != CLOSED && c->state != TLS)
		preauth_take(&c->p, n); /* those have taken everything */
	return e;
}

/* --- the login process's calls ------------------------------------------- */

static void
greet(struct preauth *p, const char *refusal, bool for_good)
{
	struct pop3_preauth *c = of(p);

	if (refusal == NULL) {
		buf_putf(&p->out, "+OK %s ready.\r\n", p->opt->greeting_name);
		return;
	}
	buf_putf(&p->out, "-ERR [SYS/%s] %s\r\n", for_good ? "PERM" : "TEMP",
	    refusal);
	(void)hang_up(c, NULL);
}

static enum preauth_event
run(struct preauth *p)
{
	struct pop3_preauth *c = of(p);
	enum preauth_event e = PREAUTH_WAIT;
	bool more = false;

	while (e == PREAUTH_WAIT && !more &&
	    (c->state == COMMAND || c->state == RESPONSE))
		e = take_line(c, &more);
	/* limits that were raised meanwhile find a buffer of the old size */
	if (more && buf_len(&p->in) == p->in.max)
		(void)hang_up(c, "-ERR Line too long.");
	if (c->state == TLS && e == PREAUTH_WAIT)
		preauth_discard(p);
	if (!buf_ok(&p->out))
		(void)hang_up(c, NULL);
	return c->state == CLOSED ? PREAUTH_CLOSE : e;
}

static void
challenge(struct preauth *p, struct slice base64)
{
	struct pop3_preauth *c = of(p);

	assert(c->state == DECIDING);
	/* RFC 5034 4: an empty one is "+ " all the same. */
	buf_puts(&p->out, "+ ");
	buf_put(&p->out, base64);
	buf_puts(&p->out, "\r\n");
	preauth_drop_response(p);
	c->state = RESPONSE;
}

/* RFC 3206 4, 5: what is the user's fault, and what may go away. */
static void
put_failure(
    struct pop3_preauth *c, enum preauth_failure why, const char *reason)
{
	static const struct {
		const char *code, *text;
	} said[] = {
		[PREAUTH_BAD_CREDENTIALS] = { "[AUTH]", "Login failed." },
		[PREAUTH_UNAVAILABLE] = { "[SYS/TEMP]",
		    "Temporary problem, please try again later" },
		[PREAUTH_UNUSABLE] = { "[SYS/PERM]",
		    "Your account is set up wrongly, tell your "
		    "administrator." },
		[PREAUTH_LIMIT] = { "[SYS/TEMP]", "Too many connections." },
		[PREAUTH_DISABLED] = { "[AUTH]",
		    "This account may not use POP3." },
		[PREAUTH_TIMEOUT] = { "[SYS/TEMP]", "Too slow." },
		[PREAUTH_STOPPING] = { "[SYS/TEMP]",
		    "Server is shutting down." },
	};

	assert((size_t)why < NELEMS(said));
	buf_putf(&c->p.out, "-ERR %s %s\r\n", said[why].code,
	    reason != NULL ? reason : said[why].text);
}

static void
failed(struct preauth *p, enum preauth_failure why, const char *reason)
{
	struct pop3_preauth *c = of(p);

	if (c->state == CLOSED)
		return;
	assert(c->state == DECIDING || c->state == RESPONSE);
	put_failure(c, why, reason);
	preauth_drop_response(p);
	c->state = COMMAND;
}

static void
tls_started(struct preauth *p)
{
	struct pop3_preauth *c = of(p);

	preauth_discard(p);
	preauth_forget(p);
	secret_fini(&c->name);
	p->utf8 = false;
	p->tls = true;
	if (c->state == TLS)
		c->state = COMMAND;
}

static void
end(struct preauth *p, enum preauth_failure why)
{
	struct pop3_preauth *c = of(p);

	if (c->state == CLOSED)
		return;
	/* RFC 1939 3: autologout says nothing; and nothing may be said into
	 * the TLS handshake. */
	if (why != PREAUTH_TIMEOUT && c->state != TLS)
		put_failure(c, why, NULL);
	(void)hang_up(c, NULL);
}

static void
pop3_preauth_free(struct preauth *p)
{
	struct pop3_preauth *c = of(p);

	secret_fini(&c->name);
	preauth_fini(p);
	c->magic = 0;
	free(c);
}

static const struct preauth_ops ops = {
	.protocol = "POP3",
	.service = "pop3",
	.greet = greet,
	.run = run,
	.challenge = challenge,
	.failed = failed,
	.tls_started = tls_started,
	.end = end,
	.capa = put_mechs,
	.free = pop3_preauth_free,
};

struct preauth *
pop3_preauth_new(const struct preauth_options *opt)
{
	struct pop3_preauth *c = MEM_NEW(struct pop3_preauth);

	preauth_init(&c->p, &ops, opt, opt->line_max + PREAUTH_INPUT_AHEAD);
	c->magic = PREAUTH_MAGIC;
	return &c->p;
}
