/* RFC 3501 6.1, 6.2: what may be said before authentication. */
#include "protocols/imap/preauth_cmd.h"

#include "protocols/imap/capability.h"
#include "protocols/preauth_impl.h"

enum {
	/* RFC 2971 3.3: what ID may hold */
	ID_PAIRS_MAX = 30,
	ID_FIELD_MAX = 30,
	ID_VALUE_MAX = 1024,
};

/* Behind the command's name; returns PREAUTH_WAIT to go on with the next. */
typedef enum preauth_event verb_fn(struct imap_preauth *c, struct imap_lex *lx);

/* The tagged response; "*" when the tag couldn't be read. */
static void
tagged(struct imap_preauth *c, const char *text)
{
	buf_puts(&c->p.out, c->p.tag[0] != '\0' ? c->p.tag : "*");
	buf_putc(&c->p.out, ' ');
	buf_puts(&c->p.out, text);
	buf_puts(&c->p.out, "\r\n");
}

enum preauth_event
imap_preauth_answer(struct imap_preauth *c, const char *text)
{
	tagged(c, text);
	return PREAUTH_WAIT;
}

void
imap_preauth_forget_command(struct imap_preauth *c)
{
	c->begun = false;
	c->have = c->literals = 0;
}

/* RFC 3501 7.1.5: BYE says why. */
enum preauth_event
imap_preauth_hang_up(struct imap_preauth *c, const char *why)
{
	if (why != NULL)
		buf_putf(&c->p.out, "* BYE %s\r\n", why);
	c->state = PRE_CLOSED;
	preauth_drop_response(&c->p);
	preauth_discard(&c->p);
	return PREAUTH_CLOSE;
}

static enum preauth_event
ask(struct imap_preauth *c, const char *command)
{
	memcpy(c->p.command, command, strlen(command) + 1);
	c->state = PRE_DECIDING;
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
		SLICE_INIT("LITERAL-"),
		SLICE_INIT("SASL-IR"),
		SLICE_INIT("ID"),
	};

	for (size_t i = 0; i < NELEMS(ours); i++)
		if (slice_ieq(word, ours[i]))
			return true;
	return slice_istarts(word, SLICE("AUTH="));
}

static const char *
configured(const struct imap_preauth *c)
{
	return c->p.tls ? c->p.opt->capability_tls : c->p.opt->capability;
}

bool
imap_preauth_literal_minus(const struct imap_preauth *c)
{
	return imap_capability_asked(configured(c), "LITERAL-");
}

/* RFC 3501 7.2.1, without "* " and CRLF. */
void
imap_preauth_put_capability(struct imap_preauth *c, struct buf *out)
{
	struct slice words = slice_str(configured(c));
	struct slice word, none = SLICE_INIT("IMAP4rev1");
	struct buf mechs;

	words = slice_trim(words);
	if (words.n == 0)
		words = none;
	/* most of a greeting: not to grow step by step */
	if (buf_reserve(out, words.n) == NULL)
		return;
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
	buf_puts(
	    out, imap_preauth_literal_minus(c) ? " LITERAL-" : " LITERAL+");
	buf_puts(out, " SASL-IR ID");
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
	return imap_preauth_answer(c, "BAD Invalid arguments.");
}

static enum preauth_event
privacy_required(struct imap_preauth *c)
{
	return imap_preauth_answer(c,
	    starttls_offered(c) ? "NO [PRIVACYREQUIRED] STARTTLS required."
				: "NO [PRIVACYREQUIRED] TLS required.");
}

static enum preauth_event
do_capability(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	buf_puts(&c->p.out, "* ");
	imap_preauth_put_capability(c, &c->p.out);
	buf_puts(&c->p.out, "\r\n");
	return imap_preauth_answer(c, "OK CAPABILITY completed.");
}

static enum preauth_event
do_noop(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	return imap_preauth_answer(c, "OK NOOP completed.");
}

static enum preauth_event
do_logout(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	c->p.logged_out = true;
	buf_puts(&c->p.out, "* BYE Logging out.\r\n");
	tagged(c, "OK LOGOUT completed.");
	return imap_preauth_hang_up(c, NULL);
}

static enum preauth_event
do_id(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!space(lx) || !id_list(lx) || !at_end(lx))
		return bad_arguments(c);
	buf_putf(
	    &c->p.out, "* ID (\"name\" \"%s\")\r\n", c->p.opt->greeting_name);
	return imap_preauth_answer(c, "OK ID completed.");
}

static enum preauth_event
do_starttls(struct imap_preauth *c, struct imap_lex *lx)
{
	if (!at_end(lx))
		return bad_arguments(c);
	if (c->p.tls)
		return imap_preauth_answer(c, "BAD TLS is in use already.");
	if (!starttls_offered(c))
		return imap_preauth_answer(c, "BAD TLS is not available.");
	tagged(c, "OK Begin TLS negotiation now.");
	/* RFC 3501 6.2.1: what came before TLS counts for nothing, and least
	 * of all what somebody put behind this command. */
	preauth_discard(&c->p);
	preauth_forget(&c->p);
	imap_preauth_forget_command(c);
	c->state = PRE_TLS;
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
		return imap_preauth_answer(c, "NO Unsupported mechanism.");
	if (!preauth_mech_allowed(&c->p, mech))
		return privacy_required(c);
	if (imap_lex_take(lx, ' ')) {
		/* RFC 4959 3: an initial response, in atom characters all */
		if (imap_lex_atom(lx, &initial) != PARSE_OK || !at_end(lx))
			return bad_arguments(c);
		if (!preauth_set_initial(&c->p, initial))
			return imap_preauth_answer(c, "BAD Invalid base64.");
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
	return imap_preauth_answer(c, "BAD Please log in first.");
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
bool
imap_preauth_read_tag(struct imap_preauth *c, struct imap_lex *lx)
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

	if (!imap_preauth_read_tag(c, lx))
		tagged(c, "BAD Invalid tag.");
	else if (!space(lx) || imap_lex_atom(lx, &name) != PARSE_OK)
		tagged(c, "BAD Missing command.");
	else if ((v = verb_find(name)) == NULL)
		tagged(c, "BAD Unknown command.");
	return v;
}

/* Act on the complete command: the first n bytes of the input. */
enum preauth_event
imap_preauth_command(struct imap_preauth *c, size_t n)
{
	struct imap_lex lx = imap_lex_of(slice_first(buf_slice(&c->p.in), n));
	enum preauth_event e = PREAUTH_WAIT;
	const struct verb *v = read_name(c, &lx);

	/* passwords may be in any charset; RFC 6855 5: LOGIN is as it was */
	lx.bytes = true;
	if (v != NULL)
		e = v->fn(c, &lx);
	if (c->state == PRE_COMMAND)
		preauth_drop_response(&c->p);
	return e;
}

bool
imap_preauth_refused_early(struct imap_preauth *c, size_t end)
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
