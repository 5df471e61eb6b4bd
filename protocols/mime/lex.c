#include "protocols/mime/lex.h"

size_t
mime_lex_field_name(struct slice line, size_t *colon)
{
	size_t n = 0, at;

	while (n < line.n && line.p[n] > 0x20 && line.p[n] < 0x7f &&
	    line.p[n] != ':')
		n++;
	/* RFC 5322 4.5: white space before the colon is obsolete, not wrong */
	for (at = n; at < line.n && mime_is_space(line.p[at]);)
		at++;
	if (at == line.n || line.p[at] != ':')
		return 0;
	*colon = at;
	return n;
}

bool
mime_lex_space(struct slice *in)
{
	size_t n = 0;

	while (n < in->n && mime_is_space(in->p[n]))
		n++;
	*in = slice_skip(*in, n);
	return n != 0;
}

bool
mime_lex_comment(struct slice *in, struct slice *inner)
{
	size_t i, depth = 0;

	if (in->n == 0 || in->p[0] != '(')
		return false;
	for (i = 0; i < in->n; i++) {
		if (in->p[i] == '\\' && i + 1 < in->n)
			i++;
		else if (in->p[i] == '(')
			depth++;
		else if (in->p[i] == ')' && --depth == 0)
			break;
	}
	if (inner != NULL)
		*inner = slice_of(in->p + 1, i - 1);
	*in = slice_skip(*in, i + 1);
	return true;
}

bool
mime_lex_cfws(struct slice *in)
{
	size_t before = in->n;

	while (mime_lex_space(in) || mime_lex_comment(in, NULL))
		;
	return in->n != before;
}

/* A byte of a quoted string that folding has put there. */
static bool
is_fold(uint8_t c)
{
	return c == '\r' || c == '\n';
}

bool
mime_lex_quoted(struct slice *in, struct buf *out)
{
	size_t i, from = 1;

	if (in->n == 0 || in->p[0] != '"')
		return false;
	for (i = 1; i < in->n && in->p[i] != '"'; i++) {
		bool pair = in->p[i] == '\\' && i + 1 < in->n;
		if (!pair && !is_fold(in->p[i]))
			continue;
		if (out != NULL)
			buf_put(out, slice_of(in->p + from, i - from));
		from = i + 1;
		if (pair)
			i++; /* whatever it is, it's taken as it is */
	}
	if (out != NULL && i > from)
		buf_put(out, slice_of(in->p + from, i - from));
	*in = slice_skip(*in, i + 1);
	return true;
}

void
mime_lex_unescape(struct slice s, struct buf *out)
{
	size_t from = 0;

	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != '\\')
			continue;
		buf_put(out, slice_of(s.p + from, i - from));
		from = i + 1;
		i++;
	}
	if (s.n > from)
		buf_put(out, slice_of(s.p + from, s.n - from));
}

struct slice
mime_lex_token(struct slice *in)
{
	struct slice token;
	size_t n = 0;

	while (n < in->n && mime_lex_is_token(in->p[n]))
		n++;
	token = slice_first(*in, n);
	*in = slice_skip(*in, n);
	return token;
}
