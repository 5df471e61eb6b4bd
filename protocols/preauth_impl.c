#include "protocols/preauth_impl.h"

#include "base/ascii.h"
#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"

enum { MECH_NAME_MAX = 20 };

static const struct slice mech_plain = SLICE_INIT("PLAIN");
static const struct slice mech_login = SLICE_INIT("LOGIN");

void
preauth_init(struct preauth *p, const struct preauth_ops *ops,
    const struct preauth_options *opt, size_t in_max)
{
	*p = (struct preauth){ .ops = ops, .opt = opt };
	buf_init_secret(&p->in, in_max);
	buf_init(&p->out, PREAUTH_OUTPUT_MAX);
}

void
preauth_fini(struct preauth *p)
{
	preauth_forget(p);
	preauth_discard(p);
	buf_fini(&p->in);
	buf_fini(&p->out);
}

void
preauth_drop_response(struct preauth *p)
{
	secret_fini(&p->response);
	p->has_response = false;
}

void
preauth_forget(struct preauth *p)
{
	preauth_drop_response(p);
	secret_wipe(p->mech, sizeof(p->mech));
	secret_wipe(p->user, sizeof(p->user));
	secret_wipe(p->tag, sizeof(p->tag));
	secret_wipe(p->command, sizeof(p->command));
}

void
preauth_take(struct preauth *p, size_t n)
{
	assert(n <= buf_len(&p->in));
	if (n == 0)
		return;
	secret_wipe(p->in.p + p->in.off, n);
	buf_drain(&p->in, n);
}

void
preauth_discard(struct preauth *p)
{
	preauth_take(p, buf_len(&p->in));
	buf_reset(&p->in);
}

/* --- lines --------------------------------------------------------------- */

enum parse
preauth_line(const struct preauth *p, struct slice *line, size_t *n)
{
	struct slice in = slice_first(buf_slice(&p->in), p->opt->line_max);
	size_t lf = slice_find(in, '\n');

	if (lf == in.n)
		return buf_len(&p->in) >= p->opt->line_max ? PARSE_LIMIT
							   : PARSE_MORE;
	assert(in.p != NULL);
	*n = lf + 1;
	if (lf > 0 && in.p[lf - 1] == '\r')
		lf--;
	*line = slice_first(in, lf);
	return PARSE_OK;
}

enum parse
preauth_tls_record(const struct preauth *p)
{
	/* content type handshake(22), then the major version 3 */
	static const uint8_t record[] = { 0x16, 0x03 };
	struct slice in = slice_first(buf_slice(&p->in), sizeof(record));

	if (p->tls || in.n == 0)
		return PARSE_BAD;
	assert(in.p != NULL);
	if (memcmp(in.p, record, in.n) != 0)
		return PARSE_BAD;
	return in.n < sizeof(record) ? PARSE_MORE : PARSE_OK;
}

/* --- mechanisms ---------------------------------------------------------- */

static bool
words_have(struct slice words, struct slice name)
{
	struct slice word;

	while (slice_split(&words, ' ', &word))
		if (slice_ieq(word, name))
			return true;
	return false;
}

bool
preauth_password_allowed(const struct preauth *p)
{
	return p->tls || (p->clear_allowed && !p->opt->tls_required);
}

bool
preauth_mech_offered(const struct preauth *p, struct slice name)
{
	return name.n != 0 && words_have(slice_str(p->mechanisms), name);
}

bool
preauth_mech_allowed(const struct preauth *p, struct slice name)
{
	if (slice_ieq(name, mech_plain) || slice_ieq(name, mech_login))
		return preauth_password_allowed(p);
	return true;
}

void
preauth_put_mechs(const struct preauth *p, struct buf *out, const char *before,
    struct slice only)
{
	struct slice words = slice_str(p->mechanisms), word;

	only = slice_trim(only);
	while (slice_split(&words, ' ', &word)) {
		if (word.n == 0 || !preauth_mech_allowed(p, word) ||
		    /* there only for who has shown a certificate */
		    (only.n != 0 && !words_have(only, word) &&
			!slice_eq(word, SLICE("EXTERNAL"))))
			continue;
		buf_puts(out, before);
		buf_put(out, word);
	}
}

/* --- the exchange -------------------------------------------------------- */

bool
preauth_begin(struct preauth *p, struct slice mech)
{
	if (mech.n == 0 || mech.n > MECH_NAME_MAX)
		return false;
	for (size_t i = 0; i < mech.n; i++)
		if (!ascii_is_alnum(mech.p[i]) && mech.p[i] != '-' &&
		    mech.p[i] != '_')
			return false;
	for (size_t i = 0; i < mech.n; i++)
		p->mech[i] = (char)ascii_upper(mech.p[i]);
	p->mech[mech.n] = '\0';
	preauth_drop_response(p);
	p->user[0] = '\0';
	return true;
}

/* The user's name, where the mechanism sends it in the clear. */
static void
note_user(struct preauth *p)
{
	struct slice rest = secret_slice(&p->response), name;

	if (slice_eq(slice_str(p->mech), mech_plain)) {
		/* RFC 4616 2: [authzid] NUL authcid NUL passwd */
		if (!slice_split(&rest, '\0', &name) ||
		    !slice_split(&rest, '\0', &name) || rest.p == NULL)
			return;
	} else if (slice_eq(slice_str(p->mech), mech_login) &&
	    p->user[0] == '\0') {
		name = rest; /* the first response; the second one doesn't */
	} else {
		return;
	}
	(void)log_safe(name, p->user, sizeof(p->user));
}

bool
preauth_set_response(struct preauth *p, struct slice base64)
{
	struct buf b;
	bool ok;

	buf_init(&b, base64.n + 1);
	ok = base64_decode(base64, &b);
	if (ok) {
		secret_set(&p->response, buf_slice(&b));
		p->has_response = true;
		note_user(p);
	}
	if (b.p != NULL)
		secret_wipe(b.p, b.cap);
	buf_fini(&b);
	return ok;
}

bool
preauth_set_initial(struct preauth *p, struct slice arg)
{
	if (arg.n == 0)
		return false;
	if (slice_eq(arg, SLICE("=")))
		arg.n = 0;
	return preauth_set_response(p, arg);
}

bool
preauth_set_plain(struct preauth *p, struct slice user, struct slice password)
{
	struct buf b;
	size_t n;

	if (slice_has(user, '\0') || slice_has(password, '\0'))
		return false;
	if (__builtin_add_overflow(user.n, password.n, &n) ||
	    __builtin_add_overflow(n, 2, &n))
		return false;
	if (!preauth_begin(p, mech_plain))
		return false;
	/* In one piece: a buf that grows leaves its old bytes behind. */
	buf_init(&b, n);
	if (buf_reserve(&b, n) != NULL) {
		buf_putc(&b, '\0');
		buf_put(&b, user);
		buf_putc(&b, '\0');
		buf_put(&b, password);
		secret_set(&p->response, buf_slice(&b));
		secret_wipe(b.p, b.cap);
	}
	buf_fini(&b);
	p->has_response = true;
	note_user(p);
	return true;
}
