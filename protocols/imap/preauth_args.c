#include "protocols/imap/preauth_args.h"

#include "base/ascii.h"
#include "base/num.h"

/* RFC 2971 3.3: what a field and its value may measure, and how many. */
enum { ID_FIELD_MAX = 30, ID_VALUE_MAX = 1024, ID_PAIRS_MAX = 30 };

static void
skip(struct preauth_args *a, size_t n)
{
	a->p += n;
	a->n -= n;
}

static bool
take(struct preauth_args *a, uint8_t c)
{
	if (a->n == 0 || a->p[0] != c)
		return false;
	skip(a, 1);
	return true;
}

/* RFC 3501 9: ATOM-CHAR = <any CHAR except atom-specials>. */
static bool
is_atom_char(uint8_t c)
{
	static const struct slice specials = SLICE_INIT("(){%*\"\\]");

	return c > 0x20 && c < 0x7f && !slice_has(specials, c);
}

static bool
is_astring_char(uint8_t c)
{
	return is_atom_char(c) || c == ']';
}

static bool
is_tag_char(uint8_t c)
{
	return is_astring_char(c) && c != '+';
}

static bool
is_not_blank(uint8_t c)
{
	return c > 0x20 && c < 0x7f;
}

/* One or more bytes of a class. */
static bool
run_of(struct preauth_args *a, bool (*is)(uint8_t c), struct slice *out)
{
	size_t n = 0;

	while (n < a->n && is(a->p[n]))
		n++;
	if (n == 0)
		return false;
	*out = slice_of(a->p, n);
	skip(a, n);
	return true;
}

bool
preauth_args_tag(struct preauth_args *a, struct slice *out)
{
	return run_of(a, is_tag_char, out);
}

bool
preauth_args_sp(struct preauth_args *a)
{
	return take(a, ' ');
}

bool
preauth_args_atom(struct preauth_args *a, struct slice *out)
{
	return run_of(a, is_atom_char, out);
}

bool
preauth_args_word(struct preauth_args *a, struct slice *out)
{
	return run_of(a, is_not_blank, out);
}

/* quoted, its opening quote taken: no CR, LF or NUL, backslashes taken off. */
static bool
quoted(struct preauth_args *a, struct slice *out)
{
	uint8_t *to = a->p;
	size_t i, n = 0;

	for (i = 0; i < a->n && a->p[i] != '"'; i++) {
		uint8_t c = a->p[i];
		if (c == '\\') {
			/* RFC 3501 9: QUOTED-CHAR escapes these two only */
			if (++i == a->n)
				return false;
			c = a->p[i];
			if (c != '"' && c != '\\')
				return false;
		}
		if (c == '\0' || c == '\r' || c == '\n')
			return false;
		to[n++] = c;
	}
	if (i == a->n)
		return false;
	*out = slice_of(to, n);
	skip(a, i + 1);
	return true;
}

/* literal, its opening brace taken. */
static bool
literal(struct preauth_args *a, struct slice *out)
{
	struct slice rest = slice_of(a->p, a->n), head;
	uint32_t size;

	if (!slice_split(&rest, '\n', &head) || rest.p == NULL)
		return false;
	if (slice_ends(head, SLICE("\r")))
		head.n--;
	if (!slice_ends(head, SLICE("}")))
		return false;
	head.n--;
	if (slice_ends(head, SLICE("+")))
		head.n--;
	if (!num_u32(head, &size) || size > rest.n)
		return false;
	*out = slice_first(rest, size);
	/* RFC 3501 9: CHAR8 is any OCTET except NUL */
	if (slice_has(*out, '\0'))
		return false;
	skip(a, (size_t)(rest.p - a->p) + size);
	return true;
}

static bool
string(struct preauth_args *a, struct slice *out)
{
	if (take(a, '"'))
		return quoted(a, out);
	return take(a, '{') && literal(a, out);
}

bool
preauth_args_astring(struct preauth_args *a, struct slice *out)
{
	if (a->n != 0 && (a->p[0] == '"' || a->p[0] == '{'))
		return string(a, out);
	return run_of(a, is_astring_char, out);
}

static bool
nil(struct preauth_args *a)
{
	if (!slice_istarts(slice_of(a->p, a->n), SLICE("NIL")))
		return false;
	skip(a, 3);
	return true;
}

bool
preauth_args_id(struct preauth_args *a)
{
	struct slice field, value;

	if (nil(a))
		return true;
	if (!take(a, '('))
		return false;
	if (take(a, ')'))
		return true;
	for (int pairs = 0; pairs < ID_PAIRS_MAX; pairs++) {
		value.n = 0;
		if (!string(a, &field) || field.n > ID_FIELD_MAX ||
		    !preauth_args_sp(a))
			return false;
		if (!nil(a) && (!string(a, &value) || value.n > ID_VALUE_MAX))
			return false;
		if (take(a, ')'))
			return true;
		if (!preauth_args_sp(a))
			return false;
	}
	return false;
}

/* Whether the line ends inside of a quoted string. */
static bool
quote_open(struct slice line)
{
	bool open = false;

	for (size_t i = 0; i < line.n; i++) {
		if (open && line.p[i] == '\\')
			i++;
		else if (line.p[i] == '"')
			open = !open;
	}
	return open;
}

enum literal
preauth_args_literal(struct slice line, uint64_t *size)
{
	enum literal kind = LITERAL_SYNC;
	size_t brace = slice_rfind(line, '{');
	struct slice digits = slice_skip(line, brace + 1);

	if (brace == line.n || !slice_ends(digits, SLICE("}")) ||
	    quote_open(slice_first(line, brace)))
		return LITERAL_NONE;
	digits.n--;
	if (slice_ends(digits, SLICE("+"))) {
		digits.n--;
		kind = LITERAL_NONSYNC;
	}
	for (size_t i = 0; i < digits.n; i++)
		if (!ascii_is_digit(digits.p[i]))
			return LITERAL_NONE;
	if (digits.n == 0)
		return LITERAL_NONE;
	if (!num_u64(digits, size))
		*size = UINT64_MAX;
	return kind;
}
