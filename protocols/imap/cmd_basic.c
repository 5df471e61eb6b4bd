/* CAPABILITY, NOOP, CHECK, LOGOUT, NAMESPACE, ID, ENABLE. */
#include "base/log.h"
#include "protocols/imap/condstore.h"
#include "protocols/imap/nstring.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

/* --- CAPABILITY, RFC 3501 6.1.1 ------------------------------------------ */

static enum step
capability_fn(struct imap_session *i)
{
	buf_puts(&i->s.out, "* ");
	imap_put_capability(i, &i->s.out);
	buf_puts(&i->s.out, "\r\n");
	return imap_finish(i, "OK", "CAPABILITY completed.");
}

const struct imap_step imap_step_capability = { "CAPABILITY", capability_fn,
	false };

/* --- NOOP and CHECK, RFC 3501 6.1.2, 6.4.1 ------------------------------- */

static enum step
noop_fn(struct imap_session *i)
{
	return imap_finish(
	    i, "OK", "%s completed.", (const char *)i->cmd->name.p);
}

const struct imap_step imap_step_noop = { "NOOP", noop_fn, false };

/* --- LOGOUT, RFC 3501 6.1.3 ---------------------------------------------- */

static enum step
logout_fn(struct imap_session *i)
{
	imap_put_untagged(&i->s.out, "BYE Postern server shutting down");
	imap_put_tagged(&i->s.out, i->tag, "OK", "LOGOUT completed");
	return imap_bye(i, SESSION_LOGOUT, NULL);
}

const struct imap_step imap_step_logout = { "LOGOUT", logout_fn, false };

/* --- NAMESPACE, RFC 2342 5 ----------------------------------------------- */

static enum step
namespace_fn(struct imap_session *i)
{
	struct shared_options o = imap_shared(i);

	bool index = shared_exists(i->account, &o);
	bool links = shared_links_exist(i->account, &o);

	imap_put_untagged(&i->s.out, "NAMESPACE ((\"%s\" \".\")) NIL %s%s%s%s",
	    i->opt->no_prefix ? "" : "INBOX.", index || links ? "(" : "NIL",
	    index ? "(\"" SHARED_ROOT ".\" \".\")" : "",
	    links ? "(\"" SHARED_LINK_ROOT ".\" \".\")" : "",
	    index || links ? ")" : "");
	return imap_finish(i, "OK", "NAMESPACE completed.");
}

const struct imap_step imap_step_namespace = { "NAMESPACE", namespace_fn,
	false };

/* --- ID, RFC 2971 3 ------------------------------------------------------ */

enum { ID_KEY_MAX = 30, ID_VALUE_MAX = 1024, ID_LOG_MAX = 100 };

struct id_args {
	size_t n;
	struct {
		struct slice key, value;
	} v[IMAP_ID_MAX];
};

static enum parse
id_pair(struct imap_session *i, struct imap_lex *lx, struct id_args *a)
{
	struct slice key, value;
	bool nil;
	enum parse r = imap_lex_string(lx, &key);

	if (r != PARSE_OK)
		return r;
	key = imap_unquote(lx, key, &i->arena);
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_nstring(lx, &value, &nil)) != PARSE_OK)
		return r;
	value = nil ? SLICE("") : imap_unquote(lx, value, &i->arena);
	/* RFC 2971 3.3 */
	if (a->n == IMAP_ID_MAX || key.n > ID_KEY_MAX ||
	    value.n > ID_VALUE_MAX) {
		lx->why = "too much of an identification";
		return PARSE_LIMIT;
	}
	a->v[a->n].key = key;
	a->v[a->n].value = value;
	a->n++;
	return PARSE_OK;
}

enum parse
imap_parse_id(struct imap_session *i, struct imap_lex *lx)
{
	struct id_args *a = IMAP_ARGS(i, struct id_args);
	enum parse r = imap_lex_space(lx);

	if (r != PARSE_OK)
		return r;
	if (imap_lex_word(lx, SLICE("NIL")))
		return imap_lex_crlf(lx);
	if ((r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	if (imap_lex_take(lx, ')'))
		return imap_lex_crlf(lx);
	do {
		if ((r = id_pair(i, lx, a)) != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	if ((r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

static void
id_log(struct imap_session *i, const struct id_args *a)
{
	char key[ID_LOG_MAX], value[ID_LOG_MAX];
	struct buf line;

	if (a->n == 0)
		return;
	buf_init(&line, (size_t)IMAP_ID_MAX * 2 * (ID_LOG_MAX + 2));
	for (size_t k = 0; k < a->n; k++)
		buf_putf(&line, ", %s=%s",
		    log_safe(a->v[k].key, key, sizeof(key)),
		    log_safe(a->v[k].value, value, sizeof(value)));
	imap_log_line(i, "ID", "%s", buf_cstr(&line));
	buf_fini(&line);
}

static void
id_put(struct buf *out, const char *key, const char *value, bool *first)
{
	if (value == NULL || value[0] == '\0')
		return;
	buf_putf(out, "%s\"%s\" ", *first ? "(" : " ", key);
	imap_put_string(out, slice_str(value));
	*first = false;
}

static enum step
id_fn(struct imap_session *i)
{
	const struct imap_options *opt = i->opt;
	struct buf *out = &i->s.out;
	bool first = true;

	id_log(i, i->args);
	buf_puts(out, "* ID ");
	id_put(out, "name", opt->id_name, &first);
	id_put(out, "version", opt->id_version, &first);
	id_put(out, "os", opt->id_os, &first);
	id_put(out, "os-version", opt->id_os_version, &first);
	buf_puts(out, first ? "NIL\r\n" : ")\r\n");
	return imap_finish(i, "OK", "ID completed.");
}

const struct imap_step imap_step_id = { "ID", id_fn, false };

/* --- ENABLE, RFC 5161 3.1 ------------------------------------------------ */

/* What can be enabled; everything else is passed over. */
enum { ENABLE_CONDSTORE, ENABLE_QRESYNC, ENABLE_UTF8, ENABLE_N };

static const struct slice enable_names[ENABLE_N] = {
	[ENABLE_CONDSTORE] = SLICE_INIT("CONDSTORE"), /* RFC 7162 3.1 */
	[ENABLE_QRESYNC] = SLICE_INIT("QRESYNC"),     /* RFC 7162 3.2.3 */
	[ENABLE_UTF8] = SLICE_INIT("UTF8=ACCEPT"),    /* RFC 6855 3 */
};

struct enable_args {
	bool want[ENABLE_N];
};

enum parse
imap_parse_enable(struct imap_session *i, struct imap_lex *lx)
{
	struct enable_args *a = IMAP_ARGS(i, struct enable_args);
	struct slice name;
	enum parse r;

	do {
		if ((r = imap_lex_space(lx)) != PARSE_OK ||
		    (r = imap_lex_atom(lx, &name)) != PARSE_OK)
			return r;
		for (size_t k = 0; k < ENABLE_N; k++)
			a->want[k] =
			    a->want[k] || slice_ieq(enable_names[k], name);
	} while (imap_lex_peek(lx) == ' ');
	return imap_lex_crlf(lx);
}

static enum step
enable_fn(struct imap_session *i)
{
	const struct enable_args *a = i->args;
	struct buf *out = &i->s.out;

	buf_puts(out, "* ENABLED");
	for (size_t k = 0; k < ENABLE_N; k++) {
		if (!a->want[k])
			continue;
		buf_putc(out, ' ');
		buf_put(out, enable_names[k]);
	}
	buf_puts(out, "\r\n");
	i->qresync = i->qresync || a->want[ENABLE_QRESYNC];
	i->utf8 = i->utf8 || a->want[ENABLE_UTF8];
	if (a->want[ENABLE_CONDSTORE] || a->want[ENABLE_QRESYNC])
		imap_condstore_enable(i);
	return imap_finish(i, "OK", "ENABLE completed.");
}

const struct imap_step imap_step_enable = { "ENABLE", enable_fn, false };
