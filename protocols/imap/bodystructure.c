/*
 * The table is in preorder with parent and next links, so walking it needs no
 * stack: go down to the first child, else close entries until one has a next.
 */
#include "protocols/imap/bodystructure.h"

#include "base/ascii.h"
#include "protocols/imap/envelope.h"
#include "protocols/imap/nstring.h"
#include "protocols/mime/lex.h"
#include "protocols/mime/param.h"

struct walk {
	struct buf *out;
	const struct mime_message *m;
	bool extended;
};

static void
put_sp(struct walk *w)
{
	buf_putc(w->out, ' ');
}

static void
put_field(struct walk *w, uint32_t part, enum mime_field id)
{
	struct slice value;

	/* an empty one says as much as none */
	if (mime_message_field(w->m, part, id, 0, &value) && value.n != 0)
		imap_put_string(w->out, value);
	else
		imap_put_nil(w->out);
}

/* body-fld-param; charset: US-ASCII is added if there's no charset */
static void
put_params(struct walk *w, struct slice rest, bool charset)
{
	struct mime_params params;
	struct slice value;
	char sep = '(';

	mime_params_parse(&params, rest);
	for (size_t i = 0; i < params.n; i++) {
		buf_putc(w->out, (uint8_t)sep);
		imap_put_string(w->out, params.v[i].name);
		put_sp(w);
		imap_put_string(w->out, params.v[i].value);
		sep = ' ';
	}
	if (charset && !mime_params_get(&params, SLICE("charset"), &value)) {
		buf_putc(w->out, (uint8_t)sep);
		buf_puts(w->out, "\"CHARSET\" \"US-ASCII\"");
		sep = ' ';
	}
	if (sep == ' ')
		buf_putc(w->out, ')');
	else
		imap_put_nil(w->out);
	mime_params_fini(&params);
}

/* The parameters of the part's Content-Type. */
static struct slice
type_params(const struct mime_message *m, uint32_t part)
{
	struct slice value, type, subtype, rest;

	value = mime_message_value(m, part, MIME_F_CONTENT_TYPE);
	if (m->parts[part].type_n == 0 ||
	    !mime_content_type_parse(value, &type, &subtype, &rest))
		return slice_of(NULL, 0);
	return rest;
}

/* body-fld-enc */
static void
put_encoding(struct walk *w, uint32_t part)
{
	struct slice name = mime_encoding_name(
	    mime_message_value(w->m, part, MIME_F_CONTENT_TRANSFER_ENCODING));

	imap_put_string(w->out, name.n != 0 ? name : SLICE("7BIT"));
}

/* body-fld-dsp */
static void
put_disposition(struct walk *w, uint32_t part)
{
	struct slice value =
	    mime_message_value(w->m, part, MIME_F_CONTENT_DISPOSITION);
	struct slice token, rest;

	if (!mime_disposition_parse(value, &token, &rest)) {
		imap_put_nil(w->out);
		return;
	}
	buf_putc(w->out, '(');
	imap_put_string(w->out, token);
	put_sp(w);
	put_params(w, rest, false);
	buf_putc(w->out, ')');
}

/* Take the next tag of Content-Language (RFC 3282); empty at the end. */
static struct slice
language_take(struct slice *in)
{
	struct slice token;

	for (;;) {
		(void)mime_lex_cfws(in);
		token = mime_lex_token(in);
		if (token.n != 0 || in->n == 0)
			return token;
		*in = slice_skip(*in, 1);
	}
}

/* body-fld-lang: a string if it's one, a list if there are more */
static void
put_languages(struct walk *w, uint32_t part)
{
	struct slice in =
	    mime_message_value(w->m, part, MIME_F_CONTENT_LANGUAGE);
	struct slice first = language_take(&in), next = language_take(&in);

	if (first.n == 0) {
		imap_put_nil(w->out);
		return;
	}
	if (next.n == 0) {
		imap_put_string(w->out, first);
		return;
	}
	buf_putc(w->out, '(');
	imap_put_string(w->out, first);
	while (next.n != 0) {
		put_sp(w);
		imap_put_string(w->out, next);
		next = language_take(&in);
	}
	buf_putc(w->out, ')');
}

/* What body-ext-1part and body-ext-mpart have in common. */
static void
put_extension(struct walk *w, uint32_t part)
{
	put_sp(w);
	put_disposition(w, part);
	put_sp(w);
	put_languages(w, part);
	put_sp(w);
	put_field(w, part, MIME_F_CONTENT_LOCATION);
}

/* media-basic and body-fields of a part that isn't multipart */
static void
put_fields(
    struct walk *w, uint32_t part, struct slice type, struct slice subtype)
{
	const struct mime_part *p = &w->m->parts[part];

	imap_put_string(w->out, type);
	put_sp(w);
	imap_put_string(w->out, subtype);
	put_sp(w);
	put_params(w, type_params(w->m, part), slice_ieq(type, SLICE("text")));
	put_sp(w);
	put_field(w, part, MIME_F_CONTENT_ID);
	put_sp(w);
	put_field(w, part, MIME_F_CONTENT_DESCRIPTION);
	put_sp(w);
	put_encoding(w, part);
	put_sp(w);
	buf_putu(w->out, p->body.wire);
}

/* body-fld-lines and the end of a part that isn't multipart */
static void
put_part_end(struct walk *w, uint32_t part, bool lines)
{
	if (lines) {
		put_sp(w);
		buf_putu(w->out, w->m->parts[part].body.lines);
	}
	if (w->extended) {
		put_sp(w);
		put_field(w, part, MIME_F_CONTENT_MD5);
		put_extension(w, part);
	}
	buf_putc(w->out, ')');
}

static void
put_leaf(struct walk *w, uint32_t part)
{
	struct slice type, subtype;
	bool text, opaque;

	mime_part_type(w->m, part, &type, &subtype);
	text = slice_ieq(type, SLICE("text"));
	opaque = slice_ieq(type, SLICE("multipart")) ||
	    (slice_ieq(type, SLICE("message")) &&
		(slice_ieq(subtype, SLICE("rfc822")) ||
		    slice_ieq(subtype, SLICE("global"))));
	if (opaque || w->m->parts[part].capped) {
		type = SLICE("APPLICATION");
		subtype = SLICE("OCTET-STREAM");
		text = false;
	}
	buf_putc(w->out, '(');
	put_fields(w, part, type, subtype);
	put_part_end(w, part, text);
}

/* What stands for the parts of a multipart that has none. */
static void
put_no_part(struct walk *w)
{
	buf_puts(w->out,
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") "
	    "NIL NIL \"7BIT\" 0 0");
	buf_puts(w->out, w->extended ? " NIL NIL NIL NIL)" : ")");
}

/* Everything of an entry that stands before its children. */
static void
put_begin(struct walk *w, uint32_t part)
{
	const struct mime_part *p = &w->m->parts[part];
	struct slice type, subtype;

	switch ((enum mime_kind)p->kind) {
	case MIME_LEAF:
		put_leaf(w, part);
		break;
	case MIME_MULTIPART:
		buf_putc(w->out, '(');
		/* 1*body: the grammar wants one */
		if (p->first == MIME_NONE)
			put_no_part(w);
		break;
	case MIME_MESSAGE:
		mime_part_type(w->m, part, &type, &subtype);
		buf_putc(w->out, '(');
		put_fields(w, part, type, subtype);
		put_sp(w);
		imap_envelope_put(w->out, w->m, p->first);
		put_sp(w);
		break;
	}
}

/* What stands behind the children of an entry that can have some. */
static void
put_end(struct walk *w, uint32_t part)
{
	const struct mime_part *p = &w->m->parts[part];
	struct slice type, subtype;

	if (p->kind == MIME_MESSAGE) {
		put_part_end(w, part, true);
		return;
	}
	mime_part_type(w->m, part, &type, &subtype);
	put_sp(w);
	imap_put_string(w->out, subtype);
	if (w->extended) {
		put_sp(w);
		put_params(w, type_params(w->m, part), false);
		put_extension(w, part);
	}
	buf_putc(w->out, ')');
}

void
imap_bodystructure_put(
    struct buf *out, const struct mime_message *m, bool extended)
{
	struct walk w = { .out = out, .m = m, .extended = extended };
	uint32_t at = 0;

	assert(m->n_parts != 0);
	for (;;) {
		const struct mime_part *p = &m->parts[at];
		put_begin(&w, at);
		if (p->first != MIME_NONE) {
			at = p->first;
			continue;
		}
		if (p->kind != MIME_LEAF)
			put_end(&w, at);
		while (p->next == MIME_NONE && p->parent != MIME_NONE) {
			at = p->parent;
			p = &m->parts[at];
			put_end(&w, at);
		}
		if (p->next == MIME_NONE)
			return;
		at = p->next;
	}
}
