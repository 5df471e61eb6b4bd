/* The lines of protocol_sasl.h. */
#include "auth/protocol_sasl.h"
#include "base/num.h"

enum { ESCAPE = 0x01 };

/* Undo the escapes in place; false for one that doesn't exist. */
static bool
unescape(uint8_t *p, size_t n, size_t *new_n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++, to++) {
		p[to] = p[i];
		if (p[i] != ESCAPE)
			continue;
		if (++i == n)
			return false;
		switch (p[i]) {
		case '0':
			p[to] = '\0';
			break;
		case '1':
			p[to] = ESCAPE;
			break;
		case 't':
			p[to] = '\t';
			break;
		case 'r':
			p[to] = '\r';
			break;
		case 'n':
			p[to] = '\n';
			break;
		default:
			return false;
		}
	}
	*new_n = to;
	return true;
}

void
sasl_put_value(struct buf *out, struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i], as = 0;

		if (c == '\0')
			as = '0';
		else if (c == ESCAPE)
			as = '1';
		else if (c == '\t')
			as = 't';
		else if (c == '\r')
			as = 'r';
		else if (c == '\n')
			as = 'n';
		if (as != 0)
			buf_putc(out, ESCAPE);
		buf_putc(out, as != 0 ? as : c);
	}
}

/* The bytes of a line still to be parsed; mutable, unlike a slice. */
struct cursor {
	uint8_t *p; /* NULL: the line has ended */
	size_t n;
};

/* Take a field off the front; false when the line had ended. */
static bool
take_field(struct cursor *c, uint8_t **p, size_t *n)
{
	struct slice rest = slice_of(c->p, c->n);
	size_t at;

	if (c->p == NULL)
		return false;
	at = slice_find(rest, '\t');
	*p = c->p;
	*n = at;
	c->p = at < c->n ? c->p + at + 1 : NULL;
	c->n = at < c->n ? c->n - at - 1 : 0;
	return true;
}

static bool
take_u32(struct cursor *c, uint32_t *v)
{
	uint8_t *p;
	size_t n;

	return take_field(c, &p, &n) && num_u32(slice_of(p, n), v);
}

/* name=value, or a name alone; unknown ones are ignored. */
static bool
take_parameter(uint8_t *p, size_t n, struct sasl_line *out)
{
	struct slice name = slice_of(p, n);
	size_t eq = slice_find(name, '='), len = 0;
	uint8_t *value = p + (eq < n ? eq + 1 : n);

	name = slice_first(name, eq);
	if (!unescape(value, (size_t)(p + n - value), &len))
		return false;
	if (slice_eq(name, SLICE("service")))
		out->service = slice_of(value, len);
	else if (slice_eq(name, SLICE("rip")))
		out->rip = slice_of(value, len);
	else if (slice_eq(name, SLICE("nologin")))
		out->nologin = true;
	else if (slice_eq(name, SLICE("secured")))
		out->secured = true;
	else if (slice_eq(name, SLICE("final-resp-ok")))
		out->final_resp_ok = true;
	else if (slice_eq(name, SLICE("cert_username")))
		out->cert_username = slice_of(value, len);
	else if (slice_eq(name, SLICE("defdomain")))
		out->defdomain = slice_of(value, len);
	else if (slice_eq(name, SLICE("domainsep")))
		out->domainsep = slice_of(value, len);
	else if (slice_eq(name, SLICE("tls-exporter")))
		out->tls_exporter = slice_of(value, len);
	else if (slice_eq(name, SLICE("tls-server-end-point")))
		out->tls_server_end_point = slice_of(value, len);
	return true;
}

static enum parse
parse_auth(struct cursor *c, struct sasl_line *out)
{
	static const struct slice resp = SLICE_INIT("resp=");
	uint8_t *p;
	size_t n;

	if (!take_u32(c, &out->id) || !take_field(c, &p, &n) || n == 0)
		return PARSE_BAD;
	out->mechanism = slice_of(p, n);
	while (c->p != NULL) {
		/* resp= is the last: all the rest of the line is its data. */
		if (slice_starts(slice_of(c->p, c->n), resp)) {
			out->has_resp = true;
			out->resp = slice_of(c->p + resp.n, c->n - resp.n);
			break;
		}
		if (!take_field(c, &p, &n) || !take_parameter(p, n, out))
			return PARSE_BAD;
	}
	return out->service.n != 0 ? PARSE_OK : PARSE_BAD;
}

static enum parse
parse_cont(struct cursor *c, struct sasl_line *out)
{
	if (!take_u32(c, &out->id) || c->p == NULL)
		return PARSE_BAD;
	out->has_resp = true;
	out->resp = slice_of(c->p, c->n);
	return PARSE_OK;
}

enum parse
sasl_parse_line(uint8_t *line, size_t n, struct sasl_line *out)
{
	struct cursor c = { line, n };
	struct sasl_line r = { .verb = SASL_OTHER };
	enum parse result = PARSE_OK;
	struct slice verb;
	uint8_t *p;
	size_t len;

	if (!take_field(&c, &p, &len) || len == 0)
		return PARSE_BAD;
	verb = slice_of(p, len);
	if (slice_eq(verb, SLICE("VERSION"))) {
		r.verb = SASL_VERSION;
		if (!take_u32(&c, &r.major) || !take_u32(&c, &r.minor))
			result = PARSE_BAD;
	} else if (slice_eq(verb, SLICE("CPID"))) {
		r.verb = SASL_CPID;
		if (!take_u32(&c, &r.id))
			result = PARSE_BAD;
	} else if (slice_eq(verb, SLICE("AUTH"))) {
		r.verb = SASL_AUTH;
		result = parse_auth(&c, &r);
	} else if (slice_eq(verb, SLICE("CONT"))) {
		r.verb = SASL_CONT;
		result = parse_cont(&c, &r);
	} else if (slice_eq(verb, SLICE("CANCEL"))) {
		r.verb = SASL_CANCEL;
		if (!take_u32(&c, &r.id))
			result = PARSE_BAD;
	}
	if (result == PARSE_OK)
		*out = r;
	return result;
}
