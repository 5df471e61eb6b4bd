#include "protocols/imap/nstring.h"

/* How a string can be written. */
enum form { AS_IT_IS, ESCAPED, LITERAL };

#define EACH(c) (UINT64_C(0x0101010101010101) * (c))

/* The top bit of each byte that is 0, if no byte below it in w is. */
static uint64_t
zeros(uint64_t w)
{
	return (w - EACH(1)) & ~w & EACH(0x80);
}

/* How many bytes at the front are neither 8 bit nor control, '"' or '\\'; it
 * may be some less. */
static size_t
plain_run(struct slice s)
{
	size_t i = 0;
	uint64_t w;

	for (; s.n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		if (((w & EACH(0x80)) | ((w - EACH(0x20)) & ~w & EACH(0x80)) |
			zeros(w ^ EACH('"')) | zeros(w ^ EACH('\\'))) != 0)
			break;
	}
	return i;
}

/* utf8: 8-bit bytes may be quoted. */
static enum form
form_of(struct slice s, bool utf8)
{
	bool literal = s.n > IMAP_QUOTED_MAX, escaped = false;

	for (size_t i = plain_run(s); i < s.n && !literal; i++) {
		uint8_t c = s.p[i];

		literal = (c >= 0x80 && !utf8) || c == '\r' || c == '\n';
		escaped |= c == '"' || c == '\\' || c == '\0';
	}
	return literal ? LITERAL : escaped ? ESCAPED : AS_IT_IS;
}

static void
put_as_it_is(struct buf *out, struct slice s)
{
	uint8_t *to = buf_reserve(out, s.n + 2);

	if (to == NULL)
		return;
	to[0] = '"';
	if (s.n != 0)
		memcpy(to + 1, s.p, s.n);
	to[s.n + 1] = '"';
	buf_advance(out, s.n + 2);
}

static void
put_quoted(struct buf *out, struct slice s)
{
	uint8_t *start = buf_reserve(out, 2 * s.n + 2), *to = start;

	if (to == NULL)
		return;
	*to++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0')
			continue;
		if (s.p[i] == '"' || s.p[i] == '\\')
			*to++ = '\\';
		*to++ = s.p[i];
	}
	*to++ = '"';
	buf_advance(out, (size_t)(to - start));
}

static void
put_literal(struct buf *out, struct slice s)
{
	struct slice rest = s, piece;
	size_t n = s.n;

	for (size_t i = 0; i < s.n; i++)
		n -= s.p[i] == '\0';
	buf_putc(out, '{');
	buf_putu(out, n);
	buf_put(out, SLICE("}\r\n"));
	while (slice_split(&rest, '\0', &piece))
		buf_put(out, piece);
}

static void
put_in_form(struct buf *out, struct slice s, enum form form)
{
	switch (form) {
	case AS_IT_IS:
		put_as_it_is(out, s);
		break;
	case ESCAPED:
		put_quoted(out, s);
		break;
	case LITERAL:
		put_literal(out, s);
		break;
	}
}

void
imap_put_string(struct buf *out, struct slice s)
{
	put_in_form(out, s, form_of(s, false));
}

void
imap_put_utf8(struct buf *out, struct slice s)
{
	put_in_form(out, s, form_of(s, true));
}

void
imap_put_nstring(struct buf *out, struct slice s)
{
	if (s.p == NULL)
		imap_put_nil(out);
	else
		imap_put_string(out, s);
}

void
imap_put_nil(struct buf *out)
{
	buf_put(out, SLICE("NIL"));
}
