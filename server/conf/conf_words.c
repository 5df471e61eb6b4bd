#include "config.h"

#include "server/conf/conf_words.h"

#include <string.h>

#include "base/num.h"

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
next_word(struct slice *rest, struct slice *word, bool commas)
{
	size_t start = 0;
	size_t end;

	while (start < rest->n &&
	    (is_blank(rest->p[start]) || (commas && rest->p[start] == ',')))
		start++;
	end = start;
	while (end < rest->n && !is_blank(rest->p[end]) &&
	    !(commas && rest->p[end] == ','))
		end++;
	if (start == end)
		return false;
	*word = slice_of(rest->p + start, end - start);
	*rest = slice_skip(*rest, end);
	return true;
}

bool
conf_word_next(struct slice *rest, struct slice *word)
{
	return next_word(rest, word, true);
}

/* --- TLS_PROTOCOL -------------------------------------------------------- */

/* What Courier's releases took, without "+" and "++". */
static const struct {
	const char *name;
	enum conf_tls_version version;
} tls_names[] = { { "SSL2", CONF_TLS_1_0 }, { "SSL3", CONF_TLS_1_0 },
	{ "SSL23", CONF_TLS_1_0 }, { "SSLv3", CONF_TLS_1_0 },
	{ "SSLv23", CONF_TLS_1_0 }, { "TLS1", CONF_TLS_1_0 },
	{ "TLSv1", CONF_TLS_1_0 }, { "TLSv1.0", CONF_TLS_1_0 },
	{ "TLS1_1", CONF_TLS_1_1 }, { "TLSv1.1", CONF_TLS_1_1 },
	{ "TLSv1.2", CONF_TLS_1_2 }, { "TLSv1.3", CONF_TLS_1_3 } };

static bool
tls_word(struct slice word, enum conf_tls_version *v)
{
	while (word.n != 0 && word.p[word.n - 1] == '+')
		word.n--;
	for (size_t i = 0; i < NELEMS(tls_names); i++) {
		if (slice_ieq(word, slice_str(tls_names[i].name))) {
			*v = tls_names[i].version;
			return true;
		}
	}
	return false;
}

bool
conf_tls_parse(const char *value, enum conf_tls_version *v)
{
	struct slice rest = slice_str(value);
	struct slice group;
	struct slice word;
	enum conf_tls_version lowest = CONF_TLS_1_3;
	bool any = false;

	while (conf_word_next(&rest, &group)) {
		while (slice_split(&group, ':', &word)) {
			enum conf_tls_version one;

			if (word.n == 0)
				continue;
			if (!tls_word(word, &one))
				return false;
			any = true;
			if (one < lowest)
				lowest = one;
		}
	}
	*v = any ? lowest : CONF_TLS_1_2;
	return true;
}

enum conf_tls_version
conf_tls_minimum(const struct conf *c, enum conf_file service)
{
	bool imap =
	    service == CONF_FILE_IMAPD || service == CONF_FILE_IMAPD_SSL;
	bool start_tls =
	    service == CONF_FILE_IMAPD || service == CONF_FILE_POP3D;
	const char *value = "";
	enum conf_tls_version v;

	/* Courier maps this one for both of its plain services. */
	if (start_tls)
		value = conf_service_str(c, service,
		    imap ? CONF_IMAPD_SSL_TLS_STARTTLS_PROTOCOL
			 : CONF_POP3D_SSL_TLS_STARTTLS_PROTOCOL);
	if (*value == '\0')
		value = conf_service_str(c, service,
		    imap ? CONF_IMAPD_SSL_TLS_PROTOCOL
			 : CONF_POP3D_SSL_TLS_PROTOCOL);
	if (!conf_tls_parse(value, &v))
		v = CONF_TLS_1_2;
	if (v < CONF_TLS_1_2 && !conf_bool(c, CONF_POSTERN_TLS_ALLOW_OLD))
		v = CONF_TLS_1_2;
	return v;
}

/* --- TCPDOPTS ------------------------------------------------------------ */

enum tcpdopt_kind {
	OPT_DROP,    /* no use for it, nothing lost */
	OPT_REMARK,  /* no use for it, say so */
	OPT_REFUSE,  /* going on without it would let somebody in */
	OPT_ACCESS,  /* text */
	OPT_LOCAL,   /* flag */
	OPT_MAXPERC, /* number */
	OPT_DENYMSG, /* text */
	OPT_LISTEN,  /* number */
	OPT_WARN_AT, /* number */
	OPT_HAPROXY, /* [=seconds][/port=list] */
};

static const struct {
	const char *name;
	enum tcpdopt_kind kind;
} tcpdopts[] = { { "-nodnslookup", OPT_DROP }, { "-noidentlookup", OPT_DROP },
	{ "-dnslookup", OPT_REMARK }, { "-identlookup", OPT_REMARK },
	{ "-access", OPT_ACCESS }, { "-accesslocal", OPT_LOCAL },
	{ "-maxperc", OPT_MAXPERC }, { "-denymsg", OPT_DENYMSG },
	{ "-listen", OPT_LISTEN }, { "-warn", OPT_WARN_AT },
	{ "-haproxy", OPT_HAPROXY }, { "-block", OPT_REFUSE },
	{ "-allow", OPT_REFUSE }, { "-drop", OPT_REFUSE },
	{ "-maxperip", OPT_REMARK }, { "-maxprocs", OPT_REMARK },
	{ "-address", OPT_REMARK }, { "-user", OPT_REMARK },
	{ "-group", OPT_REMARK }, { "-pid", OPT_REMARK },
	{ "-stderr", OPT_REMARK }, { "-stderrlogger", OPT_REMARK },
	{ "-stderrloggername", OPT_REMARK } };

static enum tcpdopt_kind
tcpdopt_kind(struct slice name)
{
	for (size_t i = 0; i < NELEMS(tcpdopts); i++) {
		if (slice_eq(name, slice_str(tcpdopts[i].name)))
			return tcpdopts[i].kind;
	}
	return OPT_REMARK;
}

static int
take_number(struct slice name, struct slice value, uint32_t *v, struct err *e)
{
	if (num_u32(value, v))
		return 0;
	return err_set(e, ERR_FORMAT, "a number after %.*s=", SLICE_ARG(name));
}

static int
take_text(struct slice name, struct slice value, char out[CONF_TCPDOPT_TEXT],
    struct err *e)
{
	if (value.n == 0 || value.n >= CONF_TCPDOPT_TEXT)
		return err_set(e, ERR_FORMAT,
		    "1 to %d bytes after %.*s=", CONF_TCPDOPT_TEXT - 1,
		    SLICE_ARG(name));
	memcpy(out, value.p, value.n);
	out[value.n] = '\0';
	return 0;
}

static bool
take_haproxy_ports(struct conf_tcpdopts *o, struct slice list)
{
	struct slice word;
	bool has_addr;

	while (conf_word_next(&list, &word)) {
		if (o->n_haproxy == CONF_HAPROXY_MAX)
			return false;
		if (!conf_addr_parse_item(
			&o->haproxy_at[o->n_haproxy], &has_addr, word))
			return false;
		o->n_haproxy++;
	}
	return true;
}

/* [timeout=]seconds and port=[address.]port,…, in any order, by slashes. */
static int
take_haproxy(struct conf_tcpdopts *o, struct slice value, struct err *e)
{
	struct slice port = SLICE("port=");
	struct slice timeout = SLICE("timeout=");
	struct slice part;

	o->haproxy = true;
	while (slice_split(&value, '/', &part)) {
		bool good;

		if (part.n == 0)
			continue;
		if (slice_starts(part, port)) {
			good = take_haproxy_ports(o, slice_skip(part, port.n));
		} else {
			if (slice_starts(part, timeout))
				part = slice_skip(part, timeout.n);
			good = num_u32(part, &o->haproxy_timeout);
		}
		if (!good)
			return err_set(e, ERR_FORMAT,
			    "-haproxy, -haproxy=seconds or "
			    "-haproxy=seconds/port=[address.]port,...");
	}
	return 0;
}

static int
take_tcpdopt(struct conf_tcpdopts *o, struct slice name, struct slice value,
    enum tcpdopt_kind kind, struct err *e)
{
	switch (kind) {
	case OPT_ACCESS:
		return take_text(name, value, o->access, e);
	case OPT_LOCAL:
		o->access_local = true;
		return 0;
	case OPT_MAXPERC:
		return take_number(name, value, &o->max_per_c, e);
	case OPT_DENYMSG:
		return take_text(name, value, o->deny_msg, e);
	case OPT_LISTEN:
		return take_number(name, value, &o->backlog, e);
	case OPT_WARN_AT:
		return take_number(name, value, &o->warn, e);
	case OPT_HAPROXY:
		return take_haproxy(o, value, e);
	case OPT_REFUSE:
		return err_set(e, ERR_DENIED,
		    "no %.*s: lists in the DNS are not asked; use an access "
		    "file or the firewall",
		    SLICE_ARG(name));
	case OPT_DROP:
	case OPT_REMARK:
		break;
	}
	return 0;
}

int
conf_tcpdopts_parse(struct conf_tcpdopts *o, const char *value,
    conf_word_remark *remark, void *arg, struct err *e)
{
	struct slice rest = slice_str(value);
	struct slice word;

	memset(o, 0, sizeof(*o));
	while (next_word(&rest, &word, false)) {
		size_t eq = slice_find(word, '=');
		struct slice name = slice_first(word, eq);
		struct slice arg_text = slice_skip(word, eq + 1);
		enum tcpdopt_kind kind = tcpdopt_kind(name);
		int rc = take_tcpdopt(o, name, arg_text, kind, e);

		if (rc != 0)
			return rc;
		if (kind == OPT_REMARK && remark != NULL)
			remark(arg, word, "has no effect");
	}
	return 0;
}

/* --- LOGGEROPTS ---------------------------------------------------------- */

struct slice
conf_loggeropt(const char *value, const char *opt)
{
	struct slice rest = slice_str(value);
	struct slice want = slice_str(opt);
	struct slice found = { NULL, 0 };
	struct slice word;

	while (next_word(&rest, &word, false)) {
		if (slice_starts(word, want) && word.n > want.n &&
		    word.p[want.n] == '=')
			found = slice_skip(word, want.n + 1);
	}
	return found;
}

/* --- IMAP_CAPABILITY ----------------------------------------------------- */

/* The words of Courier's default, and those we have for two of them. */
static const char *const courier_words[] = { "IMAP4rev1", "UIDPLUS", "CHILDREN",
	"NAMESPACE", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "SORT",
	"QUOTA", "IDLE" };
/* Words that may stand there and are told by other means. */
static const char *const other_words[] = { "ACL", "ACL2=UNION", "ID",
	"STARTTLS", "LOGINDISABLED", "ENABLE", "UTF8=ACCEPT", "KEYWORDS",
	"LITERAL+", "LITERAL-", "SASL-IR", "MOVE", "UNSELECT", "SPECIAL-USE",
	"CONDSTORE", "QRESYNC", "ESEARCH", "LIST-EXTENDED", "LIST-STATUS",
	"BINARY", "COMPRESS=DEFLATE", "XMAGICTRASH", "AUTH=PLAIN", "AUTH=LOGIN",
	"AUTH=CRAM-MD5", "AUTH=CRAM-SHA1", "AUTH=CRAM-SHA256",
	"AUTH=SCRAM-SHA-1", "AUTH=SCRAM-SHA-256", "AUTH=EXTERNAL" };

static bool
in_table(struct slice word, const char *const *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (slice_ieq(word, slice_str(table[i])))
			return true;
	}
	return false;
}

static bool
in_list(struct slice word, const char *list)
{
	struct slice rest = slice_str(list);
	struct slice one;

	while (conf_word_next(&rest, &one)) {
		if (slice_ieq(one, word))
			return true;
	}
	return false;
}

bool
conf_capability_known(struct slice word)
{
	return in_table(word, courier_words, NELEMS(courier_words)) ||
	    in_table(word, other_words, NELEMS(other_words));
}

bool
conf_capability_allowed(
    const struct conf *c, enum conf_file service, bool tls, struct slice word)
{
	enum conf_key key = CONF_IMAPD_IMAP_CAPABILITY;

	if (tls &&
	    conf_service_is_set(c, service, CONF_IMAPD_IMAP_CAPABILITY_TLS))
		key = CONF_IMAPD_IMAP_CAPABILITY_TLS;
	if (!conf_service_is_set(c, service, key))
		return true;
	/* Courier answers the same words; without this one no client works */
	if (slice_ieq(word, SLICE("IMAP4rev1")))
		return true;
	if (!slice_istarts(word, SLICE("AUTH=")) &&
	    !in_table(word, courier_words, NELEMS(courier_words)))
		return true;
	return in_list(word, conf_service_str(c, service, key));
}
