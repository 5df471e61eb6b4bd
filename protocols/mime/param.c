/*
 * Continuations may come in any order and number (RFC 2231 3), so they are
 * brought together by sorting, never by searching: a field of 64 KiB holds
 * some 10 000 of them.
 */
#include "protocols/mime/param.h"

#include <stdlib.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/num.h"
#include "protocols/mime/charset.h"
#include "protocols/mime/lex.h"
#include "protocols/mime/words.h"

enum { PIECES_FEW = 8 }; /* without memory of their own */

enum form {
	FORM_PLAIN,    /* name=value */
	FORM_EXTENDED, /* name*=value */
	FORM_SECTION,  /* name*0=value, name*0*=value */
};

/* One parameter as written. */
struct piece {
	struct slice name; /* into the field, without its "*…" */
	size_t off, n;	   /* value in text */
	enum form form;
	bool extended;
	uint32_t section;
	uint32_t seq;
};

/* One parameter to be, while text still grows. */
struct result {
	size_t name, name_n, value, value_n;
	bool extended;
	uint32_t seq;
};

bool
mime_content_type_parse(struct slice value, struct slice *type,
    struct slice *subtype, struct slice *rest)
{
	struct slice in = value, a, b;

	(void)mime_lex_cfws(&in);
	a = mime_lex_token(&in);
	(void)mime_lex_cfws(&in);
	if (a.n == 0 || in.n == 0 || in.p[0] != '/')
		return false;
	in = slice_skip(in, 1);
	(void)mime_lex_cfws(&in);
	b = mime_lex_token(&in);
	if (b.n == 0)
		return false;
	*type = a;
	*subtype = b;
	*rest = in;
	return true;
}

bool
mime_disposition_parse(
    struct slice value, struct slice *token, struct slice *rest)
{
	struct slice in = value, a;

	(void)mime_lex_cfws(&in);
	a = mime_lex_token(&in);
	if (a.n == 0)
		return false;
	*token = a;
	*rest = in;
	return true;
}

struct slice
mime_encoding_name(struct slice value)
{
	(void)mime_lex_cfws(&value);
	if (value.n != 0 && value.p[0] == '"') {
		value = slice_skip(value, 1);
		(void)mime_lex_space(&value);
	}
	return mime_lex_token(&value);
}

/* Find form, section and bare name in what stands before the "=". */
static void
name_split(struct slice name, struct piece *piece)
{
	struct slice base = name;
	size_t star;

	*piece = (struct piece){ .name = name, .form = FORM_PLAIN };
	if (base.n > 1 && base.p[base.n - 1] == '*') {
		base.n--;
		piece->name = base;
		piece->form = FORM_EXTENDED;
		piece->extended = true;
	}
	star = slice_rfind(base, '*');
	if (star != base.n && star > 0 &&
	    num_u32(slice_skip(base, star + 1), &piece->section)) {
		piece->name = slice_first(base, star);
		piece->form = FORM_SECTION;
	}
}

/*
 * A file name without quotes.  Blanks inside are kept.  A comment (RFC 2045
 * 5.1 shows one) ends it, but only if nothing follows: "copy (1).pdf" is a
 * file name, too.
 */
static struct slice
bare_file_name(struct slice *in)
{
	struct slice value, behind;
	size_t n = 0;

	while (n < in->n && in->p[n] != ';') {
		if (in->p[n] != '(' || n == 0 || !mime_is_space(in->p[n - 1])) {
			n++;
			continue;
		}
		behind = slice_skip(*in, n);
		(void)mime_lex_cfws(&behind);
		if (behind.n == 0 || behind.p[0] == ';')
			break;
		n = in->n - behind.n;
	}
	value = slice_trim(slice_first(*in, n));
	*in = slice_skip(*in, n);
	return value;
}

/* Another value without quotes, in which no blank is meant: what follows one
 * is a comment, or a parameter that lacks its ";". */
static struct slice
bare_value(struct slice *in)
{
	struct slice value = *in;
	size_t n = 0;

	while (n < in->n && in->p[n] != ';' && !mime_is_space(in->p[n]))
		n++;
	*in = slice_skip(*in, n);
	return slice_first(value, n);
}

static bool
is_file_name(struct slice name)
{
	return slice_ieq(name, SLICE("filename")) ||
	    slice_ieq(name, SLICE("name"));
}

/* Take one parameter; false if *in had only rubbish up to its next ";". */
static bool
piece_take(struct slice *in, struct piece *piece, struct buf *text)
{
	size_t n = 0;

	/* what no name begins with */
	while (in->n != 0 && in->p[0] != '=' && in->p[0] != ';' &&
	    !mime_lex_is_token(in->p[0]))
		*in = slice_skip(*in, 1);
	while (n < in->n && in->p[n] != '=' && in->p[n] != ';')
		n++;
	name_split(slice_trim(slice_first(*in, n)), piece);
	*in = slice_skip(*in, n);
	if (in->n == 0 || in->p[0] == ';' || piece->name.n == 0)
		return false;
	*in = slice_skip(*in, 1);
	(void)mime_lex_cfws(in);
	piece->off = text->n;
	if (!mime_lex_quoted(in, text))
		buf_put(text,
		    is_file_name(piece->name) ? bare_file_name(in)
					      : bare_value(in));
	piece->n = text->n - piece->off;
	(void)mime_lex_cfws(in);
	return true;
}

/* Room for cap of them; few has the first PIECES_FEW. */
static void
pieces_grow(struct piece **pieces, const struct piece *few, size_t cap)
{
	bool first = *pieces == few;

	*pieces = mem_realloc(first ? NULL : *pieces, cap, sizeof(**pieces));
	if (first)
		memcpy(*pieces, few, PIECES_FEW * sizeof(*few));
}

static size_t
pieces_take(
    struct slice in, struct piece *few, struct piece **pieces, struct buf *text)
{
	size_t n = 0, cap = PIECES_FEW;

	*pieces = few;
	while (in.n != 0 && n < MIME_PARAMS_MAX) {
		while (mime_lex_cfws(&in) || (in.n != 0 && in.p[0] == ';'))
			if (in.n != 0 && in.p[0] == ';')
				in = slice_skip(in, 1);
		if (in.n == 0)
			break;
		if (n == cap)
			pieces_grow(pieces, few, cap *= 2);
		if (piece_take(&in, &(*pieces)[n], text)) {
			(*pieces)[n].seq = (uint32_t)n;
			n++;
		}
		in = slice_skip(in, slice_find(in, ';'));
	}
	return n;
}

static int
piece_cmp(const void *va, const void *vb)
{
	const struct piece *a = va, *b = vb;
	int d = slice_icmp(a->name, b->name);

	if (d != 0)
		return d;
	if (a->form != b->form)
		return a->form < b->form ? -1 : 1;
	if (a->section != b->section)
		return a->section < b->section ? -1 : 1;
	return a->seq < b->seq ? -1 : 1;
}

static int
param_cmp(const void *va, const void *vb)
{
	const struct mime_param *a = va, *b = vb;

	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Append s with its %XX decoded; a "%" that starts none stays. */
static void
percent_decode(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		int hi, lo;
		if (s.p[i] == '%' && s.n - i > 2 &&
		    (hi = ascii_hex(s.p[i + 1])) >= 0 &&
		    (lo = ascii_hex(s.p[i + 2])) >= 0) {
			buf_putc(out, (uint8_t)(hi << 4 | lo));
			i += 2;
		} else {
			buf_putc(out, s.p[i]);
		}
	}
}

/* RFC 2231 7: what isn't an attribute-char becomes %XX. */
static void
percent_encode(struct slice s, struct buf *out)
{
	static const struct slice plain = SLICE_INIT("!#$&+-.^_`{|}~");

	for (size_t i = 0; i < s.n; i++) {
		if (ascii_is_alnum(s.p[i]) || slice_has(plain, s.p[i]))
			buf_putc(out, s.p[i]);
		else
			buf_putf(out, "%%%02X", s.p[i]);
	}
}

/*
 * Join sections 0, 1, … of pieces[0..n), which are sorted by section, into
 * text.  What follows a gap is lost; a section given twice counts once.
 */
static void
sections_join(const struct piece *pieces, size_t n, const struct buf *values,
    struct buf *text)
{
	bool extended = pieces[0].extended;
	uint32_t expected = 0;

	for (size_t i = 0; i < n && pieces[i].section <= expected; i++) {
		const struct piece *p = &pieces[i];
		struct slice value =
		    slice_first(slice_skip(buf_slice(values), p->off), p->n);
		if (p->section < expected)
			continue;
		expected++;
		if (extended == p->extended)
			buf_put(text, value);
		else if (extended)
			percent_encode(value, text);
		else
			percent_decode(value, text);
	}
}

/*
 * Make the parameters of one name from its pieces: at most one plain and one
 * extended.  Joined sections replace the short plain form that goes beside
 * them; of anything else that is given twice the first counts.
 */
static size_t
group_make(const struct piece *pieces, size_t n, const struct buf *values,
    struct buf *text, struct result *out)
{
	const struct piece *plain = NULL, *extended = NULL, *joined = NULL;
	const struct piece *use[2];
	size_t made = 0;

	for (const struct piece *p = pieces + n; p-- != pieces;) {
		if (p->form == FORM_PLAIN)
			plain = p;
		else if (p->form == FORM_EXTENDED)
			extended = p;
		else
			joined = p;
	}
	if (joined != NULL && joined->section == 0) {
		if (!joined->extended)
			plain = joined;
		else if (extended == NULL)
			extended = joined;
	}
	use[0] = plain;
	use[1] = extended;
	for (size_t i = 0; i < 2; i++) {
		const struct piece *p = use[i];
		struct result *r = &out[made];
		if (p == NULL)
			continue;
		*r = (struct result){ .extended = i == 1, .seq = p->seq };
		r->name = text->n;
		buf_put(text, p->name);
		if (r->extended)
			buf_putc(text, '*');
		r->name_n = text->n - r->name;
		r->value = text->n;
		if (p->form == FORM_SECTION)
			sections_join(
			    p, (size_t)(pieces + n - p), values, text);
		else
			buf_put(text,
			    slice_first(
				slice_skip(buf_slice(values), p->off), p->n));
		r->value_n = text->n - r->value;
		made++;
	}
	return made;
}

/* Texts don't move any more: turn offsets into slices. */
static void
results_publish(struct mime_params *params, const struct result *r, size_t n)
{
	struct slice text = buf_slice(&params->text);

	params->v = n <= MIME_PARAMS_FEW ? params->few
					 : mem_zalloc(n, sizeof(*params->v));
	params->n = n;
	for (size_t i = 0; i < n; i++) {
		struct mime_param *v = &params->v[i];
		v->name = slice_first(slice_skip(text, r[i].name), r[i].name_n);
		v->value =
		    slice_first(slice_skip(text, r[i].value), r[i].value_n);
		v->extended = r[i].extended;
		v->seq = r[i].seq;
	}
	if (n > 1)
		qsort(params->v, n, sizeof(*params->v), param_cmp);
}

void
mime_params_parse(struct mime_params *params, struct slice rest)
{
	struct piece few[PIECES_FEW], *pieces;
	struct result few_results[PIECES_FEW], *results = few_results;
	struct buf values;
	size_t n, made = 0;

	params->v = NULL;
	params->n = 0;
	/* names once, values at most thrice as long, and a "*" each */
	buf_init(&params->text, rest.n * 6 + 64);
	buf_init(&values, rest.n + 64);
	n = pieces_take(rest, few, &pieces, &values);
	if (n != 0) {
		if (n > PIECES_FEW)
			results = mem_zalloc(n, sizeof(*results));
		if (n > 1)
			qsort(pieces, n, sizeof(*pieces), piece_cmp);
		for (size_t i = 0, end; i < n; i = end) {
			for (end = i + 1; end < n; end++)
				if (!slice_ieq(
					pieces[i].name, pieces[end].name))
					break;
			made += group_make(pieces + i, end - i, &values,
			    &params->text, results + made);
		}
		results_publish(params, results, made);
	}
	if (results != few_results)
		free(results);
	if (pieces != few)
		free(pieces);
	buf_fini(&values);
}

void
mime_params_fini(struct mime_params *params)
{
	if (params->v != params->few)
		free(params->v);
	buf_fini(&params->text);
	params->v = NULL;
	params->n = 0;
}

static const struct mime_param *
param_find(const struct mime_params *params, struct slice name, bool extended)
{
	for (size_t i = 0; i < params->n; i++) {
		const struct mime_param *v = &params->v[i];
		if (v->extended == extended && v->name.n == name.n + extended &&
		    slice_istarts(v->name, name))
			return v;
	}
	return NULL;
}

bool
mime_params_get(
    const struct mime_params *params, struct slice name, struct slice *value)
{
	const struct mime_param *v = param_find(params, name, false);

	if (v == NULL)
		return false;
	*value = v->value;
	return true;
}

bool
mime_params_text(
    const struct mime_params *params, struct slice name, struct buf *out)
{
	const struct mime_param *v = param_find(params, name, true);
	struct slice rest, charset, language;
	struct buf raw;

	if (v == NULL) {
		v = param_find(params, name, false);
		if (v == NULL)
			return false;
		mime_words_decode(v->value, out);
		return true;
	}
	/* RFC 2231 4: charset'language'text; without them it's UTF-8 */
	rest = v->value;
	if (!slice_split(&rest, '\'', &charset) ||
	    !slice_split(&rest, '\'', &language) || rest.p == NULL) {
		charset = SLICE("utf-8");
		rest = v->value;
	}
	buf_init(&raw, rest.n + 1);
	percent_decode(rest, &raw);
	mime_charset_decode(charset, buf_slice(&raw), out);
	buf_fini(&raw);
	return true;
}
