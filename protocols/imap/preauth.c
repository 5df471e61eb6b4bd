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
#include "protocols/imap/lex.h"
#include "protocols/preauth_impl.h"

enum {
	PREAUTH_MAGIC = 0x696d6c67,
	LITERALS = 2,
	/* RFC 2971 3.3: what ID may hold */
	ID_PAIRS_MAX = 30,
	ID_FIELD_MAX = 30,
	ID_VALUE_MAX = 1024,
};

enum state {
	COMMAND,  /* gathers a command */
	DECIDING, /* authdaemond, or the handover, has it */
	RESPONSE, /* waits for the answer to a challenge */
	TLS,	  /* waits for tls_started */
	CLOSED,
};

struct imap_preauth {
	struct preauth p; /* must be first */
	uint32_t magic;
	enum state state;
	unsigned commands; /* begun so far */
	/* Of the command being gathered: */
	bool begun;
	size_t have;	 /* its lines and literals that are complete, and
			    the literal that is due: may exceed the input */
	size_t literals; /* bytes of have that are literals */
};

/* Behind the command's name; returns PREAUTH_WAIT to go on with the next. */
typedef enum preauth_event verb_fn(struct imap_preauth *c, struct imap_lex *lx);

static struct imap_preauth *
of(struct preauth *p)
{
	struct imap_preauth *c = CONTAINER_OF(p, struct imap_preauth, p);

	MAGIC_CHECK(c, PREAUTH_MAGIC);
	return c;
}

/* The tagged response; "*" when the tag couldn't be read. */
static void
tagged(struct imap_preauth *c, const char *text)
{
	buf_puts(&c->p.out, c->p.tag[0] != '\0' ? c->p.tag : "*");
	buf_putc(&c->p.out, ' ');
	buf_puts(&c->p.out, text);
	buf_puts(&c->p.out, "\r\n");
}

static enum preauth_event
answer(struct imap_preauth *c, const char *text)
{
	tagged(c, text);
	return PREAUTH_WAIT;
}

static void
forget_command(struct imap_preauth *c)
{
	c->begun = false;
	c->have = c->literals = 0;
}

/* RFC 3501 7.1.5: BYE says why. */
static enum preauth_event
hang_up(struct imap_preauth *c, const char *why)
{
	if (why != NULL)
		buf_putf(&c->p.out, "* BYE %s\r\n", why);
	c->state = CLOSED;
	preauth_drop_response(&c->p);
	preauth_discard(&c->p);
	return PREAUTH_CLOSE;
}

static enum preauth_event
ask(struct imap_preauth *c, const char *command)
{
	memcpy(c->p.command, command, strlen(command) + 1);
	c->state = DECIDING;
	return PREAUTH_AUTH;
}

/* --- capabilities -------------------------------------------------------- */

static bool
starttls_offered(const struct imap_preauth *c)
{
	return c->p.opt->offer_starttls && !c->p.tls;
}

/* Words that are said here by what is true, not by the configuration. */
static bool
is_ours(struct slice word)
{
	static const struct slice ours[] = {
		SLICE_INIT("STARTTLS"),
		SLICE_INIT("LOGINDISABLED"),
		SLICE_INIT("LITERAL+"),
		SLICE_INIT("SASL-IR"),
		SLICE_INIT("ID"),
	};

	for (size_t i = 0; i < NELEMS(ours); i++)
		if (slice_ieq(word, ours[i]))
			return true;
	return slice_istarts(word, SLICE("AUTH="));
}

/* RFC 3501 7.2.1, without "* " and CRLF. */
static void
put_capability(struct imap_preauth *c, struct buf *out)
{
	const struct preauth_options *o = c->p.opt;
	struct slice words =
	    slice_str(c->p.tls ? o->capability_tls : o->capability);
	struct slice word, none = SLICE_INIT("IMAP4rev1");
	struct buf mechs;

	words = slice_trim(words);
	if (words.n == 0)
		words = none;
	buf_init(&mechs, words.n + 1);
	buf_puts(out, "CAPABILITY");
	while (slice_split(&words, ' ', &word)) {
		if (slice_istarts(word, SLICE("AUTH="))) {
			buf_put(&mechs, slice_skip(word, 5));
			buf_putc(&mechs, ' ');
		} else if (word.n != 0 && !is_ours(word)) {
			buf_putc(out, ' ');
			buf_put(out, word);
		}
	}
	if (starttls_offered(c))
		buf_puts(out, " STARTTLS");
	if (!preauth_password_allowed(&c->p))
		buf_puts(out, " LOGINDISABLED"); /* RFC 3501 6.2.3 */
	preauth_put_mechs(&c->p, out, " AUTH=", buf_slice(&mechs));
	buf_puts(out, " LITERAL+ SASL-IR ID");
	buf_fini(&mechs);
}

/* --- arguments ----------------------------------------------------------- */

/* The command is all there: whatever isn't PARSE_OK is wrong. */
static bool
space(struct imap_lex *lx)
{
	return imap_lex_space(lx) == PARSE_OK;
}

static bool
at_end(struct imap_lex *lx)
{
	return imap_lex_crlf(lx) == PARSE_OK;
}

/* An astring of LOGIN, without its escapes and without another copy. */
static bool
astring(struct imap_lex *lx, struct secret *out)
{
	struct slice s;
	size_t n = 0;

	if (imap_lex_astring(lx, &s) != PARSE_OK)
		return false;
	secret_set(out, s);
	if (!lx->escaped)
		return true;
	for (size_t i = 0; i < out->n; i++) {
		if (out->p[i] == '\\' && i + 1 < out->n)
			i++;
		out->p[n++] = out->p[i];
	}
	secret_wipe(out->p + n, out->n - n);
	out->n = n;
	return true;
}

/* RFC 2971 3.3: NIL, or one list of fields and their values. */
static bool
id_list(struct imap_lex *lx)
{
	struct slice field, value;
	bool nil;

	if (imap_lex_word(lx, SLICE("NIL")))
		return true;
	if (imap_lex_open(lx) != PARSE_OK)
		return false;
	if (imap_lex_take(lx, ')'))
		return true;
	for (int pairs = 0; pairs < ID_PAIRS_MAX; pairs++) {
		if (imap_lex_string(lx, &field) != PARSE_OK ||
		    field.n > ID_FIELD_MAX || !space(lx) ||
		    imap_lex_nstring(lx, &value, &nil) != PARSE_OK ||
		    value.n > ID_VALUE_MAX)
			return false;
		if (imap_lex_take(lx, ')'))
			return true;
		if (!space(lx))
			return false;
	}
	return false;
}

/* --- commands ------------------------------------------------------------ */

static enum preauth_event
bad_arguments(struct imap_preauth *c)
{
	return answer(c, "BAD Invalid arguments.");
}

static enum preauth_event
privacy_required(struct imap_preauth *c)
{
	return answer(c,
	    starttls_offered(c) ? "NO [PRIVACYREQUIRED] STARTTLS required."
				: "NO [PRIVACYREQUIRED] TLS required.");
}

static enum preauth_event
do_capability(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	buf_puts(&c->p.out, "* ");
	put_capability(c, &c->p.out);
	buf_puts(&c->p.out, "\r\n");
	return answer(c, "OK CAPABILITY completed.");
}

static enum preauth_event
do_noop(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	return answer(c, "OK NOOP completed.");
}

static enum preauth_event
do_logout(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	c->p.logged_out = true;
	buf_puts(&c->p.out, "* BYE Logging out.\r\n");
	tagged(c, "OK LOGOUT completed.");
	return hang_up(c, NULL);
}

static enum preauth_event
do_id(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!space(lx) || !id_list(lx) || !at_end(lx))
		return bad_arguments(c);
	buf_putf(
	    &c->p.out, "* ID (\"name\" \"%s\")\r\n", c->p.opt->greeting_name);
	return answer(c, "OK ID completed.");
}

static enum preauth_event
do_starttls(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	if (c->p.tls)
		return answer(c, "BAD TLS is in use already.");
	if (!starttls_offered(c))
		return answer(c, "BAD TLS is not available.");
	tagged(c, "OK Begin TLS negotiation now.");
	/* RFC 3501 6.2.1: what came before TLS counts for nothing, and least
	 * of all what somebody put behind this command. */
	preauth_discard(&c->p);
	preauth_forget(&c->p);
	forget_command(c);
	c->state = TLS;
	return PREAUTH_STARTTLS;
}

static enum preauth_event
do_login(struct imap_preauth *c, struct imap_lex *lx)
{
	struct secret user = { .n = 0 }, password = { .n = 0 };
	bool ok;

	/* RFC 3501 6.2.3: not where LOGINDISABLED is announced. */
	if (!preauth_password_allowed(&c->p))
		return privacy_required(c);
	ok = space(lx) && astring(lx, &user) && space(lx) &&
	    astring(lx, &password) && at_end(lx) &&
	    preauth_set_plain(
		&c->p, secret_slice(&user), secret_slice(&password));
	secret_fini(&user);
	secret_fini(&password);
	return ok ? ask(c, "LOGIN") : bad_arguments(c);
}

static enum preauth_event
do_authenticate(struct imap_preauth *c, struct imap_lex *lx)
{
	struct slice mech, initial;

	if (!space(lx) || imap_lex_atom(lx, &mech) != PARSE_OK)
		return bad_arguments(c);
	if (!preauth_mech_offered(&c->p, mech) || !preauth_begin(&c->p, mech))
		return answer(c, "NO Unsupported mechanism.");
	if (!preauth_mech_allowed(&c->p, mech))
		return privacy_required(c);
	if (imap_lex_take(lx, ' ')) {
		/* RFC 4959 3: an initial response, in atom characters all */
		if (imap_lex_atom(lx, &initial) != PARSE_OK || !at_end(lx))
			return bad_arguments(c);
		if (!preauth_set_initial(&c->p, initial))
			return answer(c, "BAD Invalid base64.");
	} else if (!at_end(lx)) {
		return bad_arguments(c);
	}
	return ask(c, "AUTHENTICATE");
}

static enum preauth_event
do_later(struct imap_preauth *c, struct imap_lex *lx)
{
	(void)lx;
	/* RFC 3501 3: a command of another state. */
	return answer(c, "BAD Please log in first.");
}

/* clang-format off */
static const struct verb {
	struct slice name;
	verb_fn *fn;
	bool literals; /* its arguments may be literals */
	bool password; /* a password command */
} verbs[] = {
	{ SLICE_INIT("APPEND"),	      do_later,	       false, false },
	{ SLICE_INIT("AUTHENTICATE"), do_authenticate, false, false },	/* RFC 3501 6.2.2 */
	{ SLICE_INIT("CAPABILITY"),   do_capability,   false, false },	/* RFC 3501 6.1.1 */
	{ SLICE_INIT("CHECK"),	      do_later,	       false, false },
	{ SLICE_INIT("CLOSE"),	      do_later,	       false, false },
	{ SLICE_INIT("COPY"),	      do_later,	       false, false },
	{ SLICE_INIT("CREATE"),	      do_later,	       false, false },
	{ SLICE_INIT("DELETE"),	      do_later,	       false, false },
	{ SLICE_INIT("ENABLE"),	      do_later,	       false, false },
	{ SLICE_INIT("EXAMINE"),      do_later,	       false, false },
	{ SLICE_INIT("EXPUNGE"),      do_later,	       false, false },
	{ SLICE_INIT("FETCH"),	      do_later,	       false, false },
	{ SLICE_INIT("ID"),	      do_id,	       true,  false },	/* RFC 2971 3.1 */
	{ SLICE_INIT("IDLE"),	      do_later,	       false, false },
	{ SLICE_INIT("LIST"),	      do_later,	       false, false },
	{ SLICE_INIT("LOGIN"),	      do_login,	       true,  true  },	/* RFC 3501 6.2.3 */
	{ SLICE_INIT("LOGOUT"),	      do_logout,       false, false },	/* RFC 3501 6.1.3 */
	{ SLICE_INIT("LSUB"),	      do_later,	       false, false },
	{ SLICE_INIT("NAMESPACE"),    do_later,	       false, false },
	{ SLICE_INIT("NOOP"),	      do_noop,	       false, false },	/* RFC 3501 6.1.2 */
	{ SLICE_INIT("RENAME"),	      do_later,	       false, false },
	{ SLICE_INIT("SEARCH"),	      do_later,	       false, false },
	{ SLICE_INIT("SELECT"),	      do_later,	       false, false },
	{ SLICE_INIT("STARTTLS"),     do_starttls,     false, false },	/* RFC 3501 6.2.1 */
	{ SLICE_INIT("STATUS"),	      do_later,	       false, false },
	{ SLICE_INIT("STORE"),	      do_later,	       false, false },
	{ SLICE_INIT("SUBSCRIBE"),    do_later,	       false, false },
	{ SLICE_INIT("UID"),	      do_later,	       false, false },
	{ SLICE_INIT("UNSUBSCRIBE"),  do_later,	       false, false },
};
/* clang-format on */

static const struct verb *
verb_find(struct slice name)
{
	for (size_t i = 0; i < NELEMS(verbs); i++)
		if (slice_ieq(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

/* Set the tag to what the command begins with, or to none. */
static bool
read_tag(struct imap_preauth *c, struct imap_lex *lx)
{
	struct slice tag;

	c->p.tag[0] = '\0';
	if (imap_lex_tag(lx, &tag) != PARSE_OK || tag.n >= sizeof(c->p.tag) ||
	    (imap_lex_peek(lx) != ' ' && imap_lex_peek(lx) != '\r' &&
		imap_lex_peek(lx) != '\n'))
		return false;
	memcpy(c->p.tag, tag.p, tag.n);
	c->p.tag[tag.n] = '\0';
	return true;
}

/*
 * Read tag and name of the command.  NULL, and answered, if there is no such
 * command.
 */
static const struct verb *
read_name(struct imap_preauth *c, struct imap_lex *lx)
{
	const struct verb *v = NULL;
	struct slice name;

	if (!read_tag(c, lx))
		tagged(c, "BAD Invalid tag.");
	else if (!space(lx) || imap_lex_atom(lx, &name) != PARSE_OK)
		tagged(c, "BAD Missing command.");
	else if ((v = verb_find(name)) == NULL)
		tagged(c, "BAD Unknown command.");
	return v;
}

/* Act on the complete command: the first n bytes of the input. */
static enum preauth_event
command(struct imap_preauth *c, size_t n)
{
	struct imap_lex lx = imap_lex_of(slice_first(buf_slice(&c->p.in), n));
	enum preauth_event e = PREAUTH_WAIT;
	const struct verb *v = read_name(c, &lx);

	if (v != NULL)
		e = v->fn(c, &lx);
	if (c->state == COMMAND)
		preauth_drop_response(&c->p);
	return e;
}

/* --- gathering ----------------------------------------------------------- */

/* Refuse what has been gathered, under its tag as far as that can be read. */
static enum preauth_event
refuse(struct imap_preauth *c, const char *text)
{
	struct imap_lex lx = imap_lex_of(buf_slice(&c->p.in));

	(void)read_tag(c, &lx);
	return answer(c, text);
}

/* Whether the line ends inside of a quoted string. */
static bool
quote_open(struct slice line)
{
	bool open = false;

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
	if (c->state == CLOSED || c->state == TLS)
		return; /* those have taken everything */
	preauth_take(&c->p, n);
	forget_command(c);
}

/*
 * A synchronizing literal is announced.  Refuses the command (true) if that
 * can be done without the literal.
 */
static bool
refused_early(struct imap_preauth *c, size_t end)
{
	struct imap_lex lx = imap_lex_of(slice_first(buf_slice(&c->p.in), end));
	const struct verb *v = read_name(c, &lx);

	if (v == NULL)
		return true;
	if (v->password && !preauth_password_allowed(&c->p))
		(void)privacy_required(c);
	else if (v->fn == do_later)
		(void)do_later(c, &lx);
	else if (!v->literals)
		(void)bad_arguments(c);
	else
		return false;
	return true;
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
	    c->literals + lit->size > LITERALS * o->literal_max;
	if (*refused) {
		(void)refuse(c, "BAD [TOOBIG] Literal too large.");
		/* RFC 7888 4: the bytes come all the same, and won't be
		 * waited for. */
		return lit->sync ? PREAUTH_WAIT
				 : hang_up(c, "Literal too large.");
	}
	*refused = lit->sync && refused_early(c, end);
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
		e = command(c, end);
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
	if (!c->begun && c->commands++ >= c->p.opt->commands_max)
		return hang_up(c, "Too many commands without a login.");
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
	return hang_up(c, "Command line too long.");
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
		tagged(c, "BAD Response too long.");
		return hang_up(c, "Response too long.");
	}
	c->state = COMMAND;
	if (slice_eq(line, SLICE("*"))) {
		tagged(c, "BAD Authentication cancelled.");
	} else if (!preauth_set_response(&c->p, line)) {
		tagged(c, "BAD Invalid base64.");
	} else {
		c->state = DECIDING;
		e = PREAUTH_RESPONSE;
	}
	preauth_take(&c->p, n);
	return e;
}

static enum preauth_event
take_line(struct imap_preauth *c, bool *more)
{
	if (c->state == RESPONSE)
		return response(c, more);
	if (!c->begun) {
		enum parse tls = preauth_tls_record(&c->p);
		if (tls == PARSE_OK)
			return hang_up(c, "TLS is not spoken here.");
		*more = tls == PARSE_MORE;
		if (*more)
			return PREAUTH_WAIT;
	}
	return gather(c, more);
}

/* --- the login process's calls ------------------------------------------- */

static void
greet(struct preauth *p, const char *refusal)
{
	struct imap_preauth *c = of(p);

	if (refusal != NULL) {
		/* RFC 3501 7.1.5: BYE as a greeting */
		buf_putf(&p->out, "* BYE [UNAVAILABLE] %s\r\n", refusal);
		(void)hang_up(c, NULL);
		return;
	}
	buf_puts(&p->out, "* OK [");
	put_capability(c, &p->out);
	buf_putf(&p->out, "] %s ready.\r\n", p->opt->greeting_name);
}

static enum preauth_event
run(struct preauth *p)
{
	struct imap_preauth *c = of(p);
	enum preauth_event e = PREAUTH_WAIT;
	bool more = false;

	while (e == PREAUTH_WAIT && !more &&
	    (c->state == COMMAND || c->state == RESPONSE))
		e = take_line(c, &more);
	if (c->state == TLS && e == PREAUTH_WAIT)
		preauth_discard(p);
	if (!buf_ok(&p->out))
		(void)hang_up(c, NULL);
	return c->state == CLOSED ? PREAUTH_CLOSE : e;
}

static void
challenge(struct preauth *p, struct slice base64)
{
	struct imap_preauth *c = of(p);

	assert(c->state == DECIDING);
	/* RFC 3501 7.5: the blank stays when there is nothing behind it. */
	buf_puts(&p->out, "+ ");
	buf_put(&p->out, base64);
	buf_puts(&p->out, "\r\n");
	preauth_drop_response(p);
	c->state = RESPONSE;
}

/* RFC 5530 3: codes that tell a wrong password from our own trouble. */
static const struct {
	const char *code, *text;
} failures[] = {
	[PREAUTH_BAD_CREDENTIALS] = { "[AUTHENTICATIONFAILED]",
	    "Login failed." },
	[PREAUTH_UNAVAILABLE] = { "[UNAVAILABLE]",
	    "Temporary problem, please try again later" },
	[PREAUTH_LIMIT] = { "[LIMIT]", "Too many connections." },
	[PREAUTH_DISABLED] = { "[AUTHORIZATIONFAILED]",
	    "This account may not use IMAP." },
	[PREAUTH_TIMEOUT] = { "[UNAVAILABLE]", "Disconnected for inactivity." },
	[PREAUTH_STOPPING] = { "[UNAVAILABLE]", "Server is shutting down." },
};

static void
failed(struct preauth *p, enum preauth_failure why, const char *reason)
{
	struct imap_preauth *c = of(p);

	if (c->state == CLOSED)
		return;
	assert(c->state == DECIDING || c->state == RESPONSE);
	assert((size_t)why < NELEMS(failures));
	buf_putf(&p->out, "%s NO %s %s\r\n", p->tag, failures[why].code,
	    reason != NULL ? reason : failures[why].text);
	preauth_drop_response(p);
	c->state = COMMAND;
}

static void
tls_started(struct preauth *p)
{
	struct imap_preauth *c = of(p);

	preauth_discard(p);
	preauth_forget(p);
	forget_command(c);
	p->tls = true;
	if (c->state == TLS)
		c->state = COMMAND;
}

static void
end(struct preauth *p, enum preauth_failure why)
{
	struct imap_preauth *c = of(p);

	if (c->state == CLOSED)
		return;
	assert((size_t)why < NELEMS(failures));
	/* Nothing may be said into the TLS handshake. */
	if (c->state != TLS && why == PREAUTH_TIMEOUT)
		buf_putf(&p->out, "* BYE %s\r\n", failures[why].text);
	else if (c->state != TLS)
		buf_putf(&p->out, "* BYE %s %s\r\n", failures[why].code,
		    failures[why].text);
	(void)hang_up(c, NULL);
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
