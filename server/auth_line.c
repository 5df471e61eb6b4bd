#include "server/auth_line.h"

#include <string.h>

#include "base/ascii.h"
#include "base/base64.h"

enum { LINE_MAX_OUT = 65536 };

/* --- reading -------------------------------------------------------------- */

bool
auth_line_field(struct slice rest, struct slice name, struct slice *value)
{
	struct slice one;

	while (slice_split(&rest, '\t', &one))
		if (slice_starts(one, name)) {
			*value = slice_skip(one, name.n);
			return true;
		}
	return false;
}

bool
auth_line_hex(struct slice hex, uint8_t *out, size_t n)
{
	if (hex.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = ascii_hex(hex.p[2 * i]),
		    lo = ascii_hex(hex.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* --- writing -------------------------------------------------------------- */

/* A field's value with the protocol's escapes. */
static void
put_value(struct buf *out, const char *s)
{
	static const char from[] = "\1\t\r\n", to[] = "1trn";

	for (;; s++) {
		size_t n = strcspn(s, from);

		buf_put(out, slice_of(s, n));
		s += n;
		if (*s == '\0')
			return;
		buf_putc(out, 1);
		buf_putc(out, (uint8_t)to[strchr(from, *s) - from]);
	}
}

static void
put_unless_empty(struct buf *out, const char *name, const char *value)
{
	if (*value == '\0')
		return;
	buf_putf(out, "\t%s=", name);
	put_value(out, value);
}

static void
put_binding(struct buf *out, const char *name, struct slice bytes)
{
	if (bytes.n == 0)
		return;
	buf_putf(out, "\t%s=", name);
	base64_encode(bytes, out);
}

void
auth_line_request(struct buf *out, uint32_t id, const struct auth_start *s)
{
	buf_init_secret(out, LINE_MAX_OUT);
	/* for each login, so without the cost of buf_putf() */
	buf_puts(out, "AUTH\t");
	buf_putu(out, id);
	buf_putc(out, '\t');
	buf_puts(out, s->mech);
	buf_puts(out, "\tservice=");
	buf_puts(out, s->service);
	buf_puts(out, "\tlip=");
	put_value(out, s->local_addr);
	buf_puts(out, "\trip=");
	put_value(out, s->client_addr);
	buf_puts(out, "\tlport=");
	buf_putu(out, s->local_port);
	buf_puts(out, "\trport=");
	buf_putu(out, s->client_port);
	if (s->secured)
		buf_puts(out, "\tsecured=tls");
	put_unless_empty(out, "cert_username", s->cert_user);
	put_unless_empty(out, "defdomain", s->defdomain);
	put_unless_empty(out, "domainsep", s->domainsep);
	put_binding(out, "tls-exporter", s->exporter);
	put_binding(out, "tls-server-end-point", s->end_point);
	if (s->has_response) {
		buf_puts(out, "\tresp=");
		base64_encode(s->response, out);
	}
	buf_putc(out, '\n');
}
