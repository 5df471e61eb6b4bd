#include "protocols/imap/nstring.h"

static bool
is_quotable(struct slice s)
{
	if (s.n > IMAP_QUOTED_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80 || s.p[i] == '\r' || s.p[i] == '\n')
			return false;
	return true;
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

void
imap_put_string(struct buf *out, struct slice s)
{
	if (is_quotable(s))
		put_quoted(out, s);
	else
		put_literal(out, s);
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
