#include "protocols/imap/lex.h"

#include "base/ascii.h"
#include "base/num.h"
#include "base/utf7.h"

/* --- characters ---------------------------------------------------------- */

bool
imap_is_atom_char(uint8_t c)
{
	return c != ']' && imap_is_astring_char(c);
}

bool
imap_is_astring_char(uint8_t c)
{
	return c != '%' && c != '*' && imap_is_list_char(c);
}

bool
imap_is_list_char(uint8_t c)
{
	/* RFC 3501 9: atom-specials without list-wildcards, resp-specials */
	return c > 0x20 && c < 0x7f && c != '(' && c != ')' && c != '{' &&
	    c != '"' && c != '\\';
}

static enum parse
bad(struct imap_lex *lx, const char *why)
{
	lx->why = why;
	return PARSE_BAD;
}

/* --- single bytes -------------------------------------------------------- */

int
imap_lex_peek(const struct imap_lex *lx)
{
	assert(lx->pos <= lx->in.n);
	return lx->pos < lx->in.n ? lx->in.p[lx->pos] : -1;
}

bool
imap_lex_take(struct imap_lex *lx, uint8_t c)
{
	if (imap_lex_peek(lx) != c)
		return false;
	lx->pos++;
	return true;
}

static enum parse
one_char(struct imap_lex *lx, uint8_t c, const char *why)
{
	if (imap_lex_take(lx, c))
		return PARSE_OK;
	return imap_lex_peek(lx) < 0 ? PARSE_MORE : bad(lx, why);
}

enum parse
imap_lex_char(struct imap_lex *lx, uint8_t c)
{
	return one_char(lx, c, "unexpected character");
}

enum parse
imap_lex_space(struct imap_lex *lx)
{
	return one_char(lx, ' ', "missing argument or space");
}

enum parse
imap_lex_open(struct imap_lex *lx)
{
	return one_char(lx, '(', "expected (");
}

enum parse
imap_lex_close(struct imap_lex *lx)
{
	return one_char(lx, ')', "expected )");
}

enum parse
imap_lex_crlf(struct imap_lex *lx)
{
	struct slice rest = slice_skip(lx->in, lx->pos);

	if (slice_starts(rest, SLICE("\n"))) {
		lx->pos += 1;
		return PARSE_OK;
	}
	if (slice_starts(rest, SLICE("\r\n"))) {
		lx->pos += 2;
		return PARSE_OK;
	}
	if (rest.n == 0 || (rest.n == 1 && rest.p[0] == '\r'))
		return PARSE_MORE;
	return bad(lx, "unexpected argument");
}

/* --- tokens -------------------------------------------------------------- */

/*
 * One or more bytes of a class.  At the end of the input nobody knows whether
 * the token goes on.
 */
static enum parse
run(struct imap_lex *lx, bool (*class)(uint8_t), const char *why,
    struct slice *out)
{
	struct slice rest = slice_skip(lx->in, lx->pos);
	size_t n = 0;

	while (n < rest.n && class(rest.p[n]))
		n++;
	if (n == rest.n)
		return PARSE_MORE;
	if (n == 0)
		return bad(lx, why);
	*out = slice_first(rest, n);
	lx->pos += n;
	return PARSE_OK;
}

static bool
is_tag_char(uint8_t c)
{
	return c != '+' && imap_is_astring_char(c);
}

enum parse
imap_lex_tag(struct imap_lex *lx, struct slice *out)
{
	size_t start = lx->pos;
	struct slice tag;
	enum parse r = run(lx, is_tag_char, "invalid tag", &tag);

	if (r != PARSE_OK)
		return r;
	if (tag.n > IMAP_TAG_MAX) {
		lx->pos = start;
		lx->why = "tag too long";
		return PARSE_LIMIT;
	}
	*out = tag;
	return PARSE_OK;
}

enum parse
imap_lex_atom(struct imap_lex *lx, struct slice *out)
{
	return run(lx, imap_is_atom_char, "expected an atom", out);
}

bool
imap_lex_word(struct imap_lex *lx, struct slice word)
{
	struct slice rest = slice_skip(lx->in, lx->pos);

	/* at the end of the input it may be the beginning of a longer one */
	if (!slice_istarts(rest, word) || rest.n == word.n ||
	    imap_is_atom_char(rest.p[word.n]))
		return false;
	lx->pos += word.n;
	return true;
}

enum parse
imap_lex_flag(struct imap_lex *lx, struct slice *out)
{
	size_t start = lx->pos;
	struct slice atom;
	enum parse r;

	imap_lex_take(lx, '\\');
	r = imap_lex_atom(lx, &atom);
	if (r != PARSE_OK) {
		lx->pos = start;
		if (r == PARSE_BAD)
			lx->why = "expected a flag";
		return r;
	}
	*out = slice_of(lx->in.p + start, lx->pos - start);
	return PARSE_OK;
}

enum parse
imap_lex_number64(struct imap_lex *lx, uint64_t *out)
{
	size_t start = lx->pos;
	struct slice digits;
	enum parse r = run(lx, ascii_is_digit, "expected a number", &digits);

	if (r != PARSE_OK)
		return r;
	if (!num_u64(digits, out)) {
		lx->pos = start;
		return bad(lx, "number too large");
	}
	return PARSE_OK;
}

enum parse
imap_lex_modseq(struct imap_lex *lx, uint64_t *out)
{
	size_t start = lx->pos;
	uint64_t v;
	enum parse r = imap_lex_number64(lx, &v);

	if (r != PARSE_OK)
		return r;
	if (v > INT64_MAX) {
		lx->pos = start;
		return bad(lx, "mod-sequence too large");
	}
	*out = v;
	return PARSE_OK;
}

enum parse
imap_lex_number(struct imap_lex *lx, uint32_t *out)
{
	size_t start = lx->pos;
	uint64_t v = 0;
	enum parse r = imap_lex_number64(lx, &v);

	if (r != PARSE_OK)
		return r;
	if (v > UINT32_MAX) {
		lx->pos = start;
		return bad(lx, "number too large");
	}
	*out = (uint32_t)v;
	return PARSE_OK;
}

enum parse
imap_lex_nz_number(struct imap_lex *lx, uint32_t *out)
{
	size_t start = lx->pos;
	uint32_t v = 0;
	enum parse r = imap_lex_number(lx, &v);

	if (r != PARSE_OK)
		return r;
	if (v == 0) {
		lx->pos = start;
		return bad(lx, "zero isn't allowed here");
	}
	*out = v;
	return PARSE_OK;
}

/* --- strings ------------------------------------------------------------- */

/* The cursor is at the opening quote. */
static enum parse
quoted(struct imap_lex *lx, struct slice *out)
{
	struct slice rest = slice_skip(lx->in, lx->pos), s;
	bool escaped = false;
	uint8_t all = 0; /* bits that some byte has */

	for (size_t i = 1; i < rest.n; i++) {
		uint8_t c = rest.p[i];

		all |= c;
		if (c == '"') {
			s = slice_of(rest.p + 1, i - 1);
			/* RFC 6855 3: uQUOTED-CHAR */
			if (all >= 0x80 && !lx->bytes && !utf8_valid(s))
				return bad(lx, "not UTF-8 in a quoted string");
			*out = s;
			lx->escaped = escaped;
			lx->pos += i + 1;
			return PARSE_OK;
		}
		if (c == '\r' || c == '\n')
			return bad(lx, "line ends inside of a quoted string");
		if (c == '\0')
			return bad(lx, "NUL in a string");
		if (c != '\\')
			continue;
		escaped = true;
		if (++i == rest.n)
			return PARSE_MORE;
		/* RFC 3501 9: QUOTED-CHAR escapes quoted-specials only */
		if (rest.p[i] != '"' && rest.p[i] != '\\')
			return bad(lx, "invalid escape in a quoted string");
	}
	return PARSE_MORE;
}

enum parse
imap_lex_literal(struct imap_lex *lx)
{
	size_t start = lx->pos;
	struct imap_literal lit = { .sync = true };
	enum parse r;

	lit.binary = imap_lex_take(lx, '~');
	r = one_char(lx, '{', "expected a literal");
	if (r == PARSE_OK)
		r = imap_lex_number64(lx, &lit.size);
	if (r == PARSE_OK && imap_lex_take(lx, '+'))
		lit.sync = false; /* RFC 7888 3 */
	if (r == PARSE_OK)
		r = one_char(lx, '}', "malformed literal");
	if (r == PARSE_OK)
		r = imap_lex_crlf(lx);
	if (r != PARSE_OK) {
		lx->pos = start;
		if (r == PARSE_BAD)
			lx->why = "malformed literal";
		return r;
	}
	lx->literal = lit;
	return PARSE_LITERAL;
}

static enum parse
literal(struct imap_lex *lx, struct slice *out)
{
	size_t start = lx->pos;
	struct slice rest;
	enum parse r = imap_lex_literal(lx);

	if (r != PARSE_LITERAL)
		return r;
	rest = slice_skip(lx->in, lx->pos);
	if (lx->literal.binary) {
		lx->pos = start;
		return bad(lx, "literal8 isn't allowed here");
	}
	/* something always follows, so an empty one without is not yet here */
	if (lx->literal.size > rest.n || rest.n == 0) {
		lx->pos = start;
		return PARSE_LITERAL;
	}
	rest = slice_first(rest, (size_t)lx->literal.size);
	/* RFC 3501 9: CHAR8 is any byte but NUL */
	if (slice_has(rest, '\0')) {
		lx->pos = start;
		return bad(lx, "NUL in a string");
	}
	lx->escaped = false;
	lx->pos += rest.n;
	*out = rest;
	return PARSE_OK;
}

enum parse
imap_lex_string(struct imap_lex *lx, struct slice *out)
{
	switch (imap_lex_peek(lx)) {
	case -1:
		return PARSE_MORE;
	case '"':
		return quoted(lx, out);
	case '{':
	case '~':
		return literal(lx, out);
	default:
		return bad(lx, "expected a string");
	}
}

static enum parse
string_or(struct imap_lex *lx, bool (*class)(uint8_t), const char *why,
    struct slice *out)
{
	int c = imap_lex_peek(lx);

	if (c == '"' || c == '{')
		return imap_lex_string(lx, out);
	lx->escaped = false;
	return run(lx, class, why, out);
}

enum parse
imap_lex_astring(struct imap_lex *lx, struct slice *out)
{
	return string_or(lx, imap_is_astring_char, "expected an astring", out);
}

enum parse
imap_lex_list_mailbox(struct imap_lex *lx, struct slice *out)
{
	return string_or(
	    lx, imap_is_list_char, "expected a mailbox pattern", out);
}

enum parse
imap_lex_nstring(struct imap_lex *lx, struct slice *out, bool *nil)
{
	enum parse r;

	if (slice_istarts(SLICE("NIL"), slice_skip(lx->in, lx->pos)))
		return PARSE_MORE;
	if (imap_lex_word(lx, SLICE("NIL"))) {
		*out = slice_of(NULL, 0);
		*nil = true;
		return PARSE_OK;
	}
	r = imap_lex_string(lx, out);
	if (r == PARSE_OK)
		*nil = false;
	return r;
}

struct slice
imap_unquote(const struct imap_lex *lx, struct slice s, struct arena *a)
{
	uint8_t *p;
	size_t n = 0;

	if (!lx->escaped)
		return s;
	p = arena_alloc(a, s.n);
	if (p == NULL)
		return slice_of(NULL, 0);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		p[n++] = s.p[i];
	}
	return slice_of(p, n);
}

bool
imap_line_literal(struct slice line, struct imap_literal *out)
{
	struct imap_lex lx;
	size_t open;

	if (slice_ends(line, SLICE("\n")))
		line.n--;
	if (slice_ends(line, SLICE("\r")))
		line.n--;
	if (!slice_ends(line, SLICE("}")))
		return false;
	open = slice_rfind(line, '{');
	if (open == line.n)
		return false;
	lx = imap_lex_of(slice_skip(line, open + 1));
	out->binary = open > 0 && line.p[open - 1] == '~';
	if (imap_lex_number64(&lx, &out->size) != PARSE_OK)
		return false;
	out->sync = !imap_lex_take(&lx, '+');
	return imap_lex_take(&lx, '}') && lx.pos == lx.in.n;
}
