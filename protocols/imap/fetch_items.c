/* The arguments of FETCH, RFC 3501 6.4.5 and 9. */
#include "base/ascii.h"
#include "protocols/imap/fetch.h"
#include "protocols/imap/fields.h"
#include "protocols/imap/names.h"
#include "protocols/imap/preview.h"
#include "protocols/imap/writer.h"

/* clang-format off */
static const struct {
	struct slice name;
	enum fetch_kind kind;
	bool section, seen; /* RFC822…: what section it stands for */
	enum mime_section what;
} simple[] = {
	{ SLICE_INIT("UID"),	       FETCH_UID,	    false, false, 0 },
	{ SLICE_INIT("FLAGS"),	       FETCH_FLAGS,	    false, false, 0 },
	{ SLICE_INIT("INTERNALDATE"),  FETCH_INTERNALDATE,  false, false, 0 },
	{ SLICE_INIT("RFC822.SIZE"),   FETCH_SIZE,	    false, false, 0 },
	{ SLICE_INIT("ENVELOPE"),      FETCH_ENVELOPE,	    false, false, 0 },
	{ SLICE_INIT("BODY"),	       FETCH_BODY,	    false, false, 0 },
	{ SLICE_INIT("BODYSTRUCTURE"), FETCH_BODYSTRUCTURE, false, false, 0 },
	{ SLICE_INIT("SAVEDATE"),      FETCH_SAVEDATE,	    false, false, 0 },
	{ SLICE_INIT("EMAILID"),       FETCH_EMAILID,	    false, false, 0 },
	{ SLICE_INIT("THREADID"),      FETCH_THREADID,	    false, false, 0 },
	{ SLICE_INIT("MODSEQ"),	       FETCH_MODSEQ,	    false, false, 0 },
	{ SLICE_INIT("RFC822"),	       FETCH_SECTION, true, true,
	    MIME_SECTION_ALL },
	{ SLICE_INIT("RFC822.HEADER"), FETCH_SECTION, true, false,
	    MIME_SECTION_HEADER },
	{ SLICE_INIT("RFC822.TEXT"),   FETCH_SECTION, true, true,
	    MIME_SECTION_TEXT },
};

static const struct {
	struct slice name;
	size_t n;
	enum fetch_kind kinds[5];
} macros[] = {
	{ SLICE_INIT("ALL"), 4, { FETCH_FLAGS, FETCH_INTERNALDATE,
	    FETCH_SIZE, FETCH_ENVELOPE } },
	{ SLICE_INIT("FAST"), 3, { FETCH_FLAGS, FETCH_INTERNALDATE,
	    FETCH_SIZE } },
	{ SLICE_INIT("FULL"), 5, { FETCH_FLAGS, FETCH_INTERNALDATE,
	    FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY } },
};
/* clang-format on */

static enum parse
bad(struct imap_lex *lx, const char *why)
{
	lx->why = why;
	return PARSE_BAD;
}

/* Letters, digits and dots. */
static enum parse
word(struct imap_lex *lx, struct slice *out)
{
	struct slice rest = slice_skip(lx->in, lx->pos);
	size_t n = 0;

	while (n < rest.n && (ascii_is_alnum(rest.p[n]) || rest.p[n] == '.'))
		n++;
	if (n == rest.n)
		return PARSE_MORE;
	if (n == 0)
		return bad(lx, "expected a data item");
	*out = slice_first(rest, n);
	lx->pos += n;
	return PARSE_OK;
}

static struct fetch_item *
add(struct imap_session *i, enum fetch_kind kind)
{
	struct fetch_args *a = i->args;
	struct fetch_item *it, *v;

	if (a->n_items == FETCH_ITEMS_MAX)
		return NULL;
	if (a->n_items == a->cap_items) {
		size_t cap = a->cap_items == 0 ? 8 : a->cap_items * 4;

		v = arena_zalloc(&i->arena, cap, sizeof(*v));
		assert(v != NULL); /* FETCH_ITEMS_MAX is within the arena */
		if (a->n_items != 0)
			memcpy(v, a->items, a->n_items * sizeof(*v));
		a->items = v;
		a->cap_items = cap;
	}
	it = &a->items[a->n_items++];
	it->kind = kind;
	it->count = UINT64_MAX;
	return it;
}

static bool
has(const struct fetch_args *a, enum fetch_kind kind)
{
	for (size_t k = 0; k < a->n_items; k++)
		if (a->items[k].kind == kind)
			return true;
	return false;
}

static struct slice
simple_name(enum fetch_kind kind)
{
	for (size_t k = 0; k < NELEMS(simple); k++)
		if (simple[k].kind == kind)
			return simple[k].name;
	return SLICE("");
}

/* --- sections ------------------------------------------------------------ */

/* header-list: the names, in the arena. */
static enum parse
header_list(struct imap_session *i, struct imap_lex *lx, struct fetch_item *it)
{
	size_t cap = 0;
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	do {
		if (it->n_names == FETCH_NAMES_MAX) {
			lx->why = "too many header fields";
			return PARSE_LIMIT;
		}
		if (it->n_names == cap) {
			size_t more = cap == 0 ? 16 : cap * 2;
			struct slice *v =
			    arena_zalloc(&i->arena, more, sizeof(*v));

			if (v == NULL)
				return bad(lx, "too many header fields");
			if (cap != 0)
				memcpy(v, it->names, cap * sizeof(*v));
			it->names = v;
			cap = more;
		}
		r = imap_parse_astring(i, lx, &it->names[it->n_names++]);
		if (r != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	return imap_lex_close(lx);
}

/* section-part: the numbers; stops at the last one or at "." and a letter. */
static enum parse
section_part(struct imap_session *i, struct imap_lex *lx, struct fetch_item *it)
{
	uint32_t path[128];
	int c;
	enum parse r;

	for (;;) {
		if (it->n_path == NELEMS(path)) {
			lx->why = "section too deep";
			return PARSE_LIMIT;
		}
		r = imap_lex_nz_number(lx, &path[it->n_path]);
		if (r != PARSE_OK)
			return r;
		it->n_path++;
		if (!imap_lex_take(lx, '.'))
			break;
		c = imap_lex_peek(lx);
		if (c >= 0 && ascii_is_alpha((uint8_t)c)) {
			lx->pos--; /* section-text follows */
			break;
		}
	}
	it->path = arena_zalloc(&i->arena, it->n_path, sizeof(path[0]));
	if (it->path == NULL)
		return bad(lx, "too many sections");
	memcpy(it->path, path, it->n_path * sizeof(path[0]));
	return PARSE_OK;
}

static enum parse
section_text(struct imap_session *i, struct imap_lex *lx, struct fetch_item *it)
{
	struct slice name;
	enum parse r = word(lx, &name);

	if (r != PARSE_OK)
		return r;
	if (slice_ieq(name, SLICE("TEXT"))) {
		it->what = MIME_SECTION_TEXT;
		return PARSE_OK;
	}
	if (slice_ieq(name, SLICE("MIME")) && it->n_path != 0) {
		it->what = MIME_SECTION_MIME;
		return PARSE_OK;
	}
	it->what = MIME_SECTION_HEADER;
	if (slice_ieq(name, SLICE("HEADER")))
		return PARSE_OK;
	it->fields = true;
	it->not = slice_ieq(name, SLICE("HEADER.FIELDS.NOT"));
	if (!it->not &&!slice_ieq(name, SLICE("HEADER.FIELDS")))
		return bad(lx, "unknown section");
	return header_list(i, lx, it);
}

/* "[" … "]" */
static enum parse
section(struct imap_session *i, struct imap_lex *lx, struct fetch_item *it)
{
	int c;
	enum parse r = imap_lex_char(lx, '[');

	if (r != PARSE_OK)
		return r;
	it->what = MIME_SECTION_ALL;
	if (imap_lex_take(lx, ']'))
		return PARSE_OK;
	c = imap_lex_peek(lx);
	if (c >= 0 && ascii_is_digit((uint8_t)c)) {
		if ((r = section_part(i, lx, it)) != PARSE_OK)
			return r;
		if (imap_lex_take(lx, ']'))
			return PARSE_OK;
		if ((r = imap_lex_char(lx, '.')) != PARSE_OK)
			return r;
	}
	if ((r = section_text(i, lx, it)) != PARSE_OK)
		return r;
	return imap_lex_char(lx, ']');
}

/* "<" number "." nz-number ">" */
static enum parse
partial(struct imap_lex *lx, struct fetch_item *it)
{
	uint32_t from, count;
	enum parse r;

	if (!imap_lex_take(lx, '<'))
		return PARSE_OK;
	if ((r = imap_lex_number(lx, &from)) != PARSE_OK ||
	    (r = imap_lex_char(lx, '.')) != PARSE_OK ||
	    (r = imap_lex_nz_number(lx, &count)) != PARSE_OK ||
	    (r = imap_lex_char(lx, '>')) != PARSE_OK)
		return r;
	it->partial = true;
	it->from = from;
	it->count = count;
	return PARSE_OK;
}

/*
 * The name in the response: the section as it was sent, as clients compare
 * it; but names given as literals can't be.
 */
static bool
response_name(struct imap_session *i, struct fetch_item *it, const char *item,
    struct slice sent)
{
	struct buf name;

	buf_init(&name, 1024 * 1024);
	buf_puts(&name, item);
	if (!slice_has(sent, '\n')) {
		buf_put(&name, sent);
	} else {
		buf_put(&name, slice_first(sent, slice_find(sent, '(') + 1));
		for (size_t k = 0; k < it->n_names; k++) {
			if (k != 0)
				buf_putc(&name, ' ');
			imap_put_astring(&name, it->names[k]);
		}
		buf_puts(&name, ")]");
	}
	if (it->partial)
		buf_putf(&name, "<%llu>", (unsigned long long)it->from);
	it->name = arena_dup(&i->arena, buf_slice(&name));
	buf_fini(&name);
	return it->name.p != NULL;
}

static enum parse
body_section(struct imap_session *i, struct imap_lex *lx, bool peek)
{
	struct fetch_args *a = i->args;
	struct fetch_item *it = add(i, FETCH_SECTION);
	size_t start = lx->pos;
	struct slice sent;
	enum parse r;

	if (it == NULL)
		return bad(lx, "too many data items");
	if ((r = section(i, lx, it)) != PARSE_OK)
		return r;
	sent = slice_of(lx->in.p + start, lx->pos - start);
	if ((r = partial(lx, it)) != PARSE_OK)
		return r;
	if (!response_name(i, it, "BODY", sent))
		return bad(lx, "data items too long");
	if (it->fields && !it->not &&it->n_path == 0)
		it->set = imap_fields_set(it->names, it->n_names);
	a->seen = a->seen || !peek;
	return PARSE_OK;
}

/* BINARY, BINARY.PEEK, BINARY.SIZE: "[" [section-part] "]" */
static enum parse
binary_section(struct imap_session *i, struct imap_lex *lx, struct slice name)
{
	struct fetch_args *a = i->args;
	bool size = slice_ieq(name, SLICE("BINARY.SIZE"));
	struct fetch_item *it = add(i, size ? FETCH_BINARY_SIZE : FETCH_BINARY);
	size_t start = lx->pos;
	struct slice sent;
	enum parse r;

	if (it == NULL)
		return bad(lx, "too many data items");
	it->what = MIME_SECTION_ALL;
	if ((r = imap_lex_char(lx, '[')) != PARSE_OK)
		return r;
	if (imap_lex_peek(lx) != ']' &&
	    (r = section_part(i, lx, it)) != PARSE_OK)
		return r;
	if ((r = imap_lex_char(lx, ']')) != PARSE_OK)
		return r;
	sent = slice_of(lx->in.p + start, lx->pos - start);
	if (!size && (r = partial(lx, it)) != PARSE_OK)
		return r;
	if (!response_name(i, it, size ? "BINARY.SIZE" : "BINARY", sent))
		return bad(lx, "data items too long");
	a->seen = a->seen || slice_ieq(name, SLICE("BINARY"));
	return PARSE_OK;
}

/* Behind PREVIEW: its modifiers, RFC 8970 6. */
static enum parse
preview_item(struct imap_session *i, struct imap_lex *lx)
{
	struct fetch_args *a = i->args;
	struct slice rest = slice_skip(lx->in, lx->pos);
	bool lazy = false, first = !a->preview;
	enum parse r;

	if (slice_starts(rest, SLICE(" ("))) {
		lx->pos += 2;
		do {
			if (!imap_lex_word(lx, SLICE("LAZY")))
				return bad(lx, "unknown modifier");
			lazy = true;
		} while (imap_lex_take(lx, ' '));
		if ((r = imap_lex_close(lx)) != PARSE_OK)
			return r;
	}
	a->preview_lazy = lazy && (first || a->preview_lazy);
	a->preview = true;
	if (!first)
		return PARSE_OK; /* said twice, told once */
	if (add(i, FETCH_PREVIEW) == NULL)
		return bad(lx, "too many data items");
	a->items[a->n_items - 1].name = SLICE("PREVIEW");
	return PARSE_OK;
}

/* --- items --------------------------------------------------------------- */

static enum parse
one_item(struct imap_session *i, struct imap_lex *lx)
{
	struct fetch_args *a = i->args;
	struct fetch_item *it;
	struct slice name;
	enum parse r = word(lx, &name);

	if (r != PARSE_OK)
		return r;
	if (imap_lex_peek(lx) == '[') {
		if (slice_ieq(name, SLICE("BODY")))
			return body_section(i, lx, false);
		if (slice_ieq(name, SLICE("BODY.PEEK")))
			return body_section(i, lx, true);
		if (slice_ieq(name, SLICE("BINARY")) ||
		    slice_ieq(name, SLICE("BINARY.PEEK")) ||
		    slice_ieq(name, SLICE("BINARY.SIZE")))
			return binary_section(i, lx, name);
	}
	if (slice_ieq(name, SLICE("PREVIEW")))
		return preview_item(i, lx);
	for (size_t k = 0; k < NELEMS(simple); k++) {
		if (!slice_ieq(simple[k].name, name))
			continue;
		if (!simple[k].section && has(a, simple[k].kind))
			return PARSE_OK; /* said twice, told once */
		it = add(i, simple[k].kind);
		if (it == NULL)
			return bad(lx, "too many data items");
		it->name = simple[k].name;
		it->what = simple[k].what;
		a->seen = a->seen || simple[k].seen;
		return PARSE_OK;
	}
	return bad(lx, "unknown data item");
}

static bool
macro(struct imap_session *i, struct imap_lex *lx)
{
	for (size_t k = 0; k < NELEMS(macros); k++) {
		if (!imap_lex_word(lx, macros[k].name))
			continue;
		for (size_t n = 0; n < macros[k].n; n++)
			add(i, macros[k].kinds[n])->name =
			    simple_name(macros[k].kinds[n]);
		return true;
	}
	return false;
}

/* What the items need, summed up. */
static void
sum_up(struct fetch_args *a)
{
	for (size_t k = 0; k < a->n_items; k++) {
		const struct fetch_item *it = &a->items[k];

		switch (it->kind) {
		case FETCH_UID:
			a->has_uid = true;
			break;
		case FETCH_MODSEQ:
			a->has_modseq = true;
			break;
		case FETCH_FLAGS:
			a->flags = true;
			break;
		case FETCH_EMAILID:
			a->needs_email_id = true;
			break;
		case FETCH_THREADID:
			break;
		case FETCH_INTERNALDATE:
		case FETCH_SAVEDATE:
			a->needs_info = true;
			break;
		case FETCH_SIZE:
			a->needs_info = a->needs_size = true;
			break;
		case FETCH_ENVELOPE:
			a->needs_text[CACHE_ENVELOPE] = true;
			break;
		case FETCH_BODY:
			a->needs_text[CACHE_BODY] = true;
			break;
		case FETCH_BODYSTRUCTURE:
			a->needs_text[CACHE_BODYSTRUCTURE] = true;
			break;
		case FETCH_PREVIEW:
			break;
		case FETCH_BINARY:
		case FETCH_BINARY_SIZE:
			a->needs_binary = a->needs_file = true;
			a->needs_info = a->needs_size = true;
			a->needs_parts = a->needs_parts || it->n_path != 0;
			break;
		case FETCH_SECTION:
			if (it->set != 0) {
				a->needs_fields = true;
				break;
			}
			if (it->n_path == 0 &&
			    it->what == MIME_SECTION_HEADER) {
				a->needs_head = true;
				break;
			}
			a->needs_info = a->needs_file = true;
			if (it->n_path != 0)
				a->needs_parts = true;
			else if (it->what != MIME_SECTION_ALL)
				a->needs_header = true;
			if (it->n_path == 0)
				a->needs_size = true;
			break;
		}
	}
}

/* --- modifiers, RFC 4466 2.4 ---------------------------------------------- */

static enum parse
one_modifier(struct imap_session *i, struct imap_lex *lx, struct fetch_args *a)
{
	enum parse r;

	if (imap_lex_word(lx, SLICE("VANISHED"))) {
		/* RFC 7162 3.2.6 */
		if (!i->uid)
			return bad(lx, "VANISHED is for UID FETCH");
		if (!i->qresync)
			return bad(lx, "QRESYNC isn't enabled");
		a->vanished = true;
		return PARSE_OK;
	}
	if (imap_lex_word(lx, SLICE("CHANGEDSINCE"))) {
		a->changed = true;
		r = imap_lex_space(lx);
		return r == PARSE_OK ? imap_lex_modseq(lx, &a->changed_since)
				     : r;
	}
	if (imap_lex_word(lx, SLICE("PARTIAL")) && !a->partial) {
		a->partial = true;
		r = imap_lex_space(lx);
		return r == PARSE_OK ? imap_lex_partial(lx, &a->range) : r;
	}
	return bad(lx, "unknown modifier");
}

/* set: where the lexer stood before the sequence set. */
static enum parse
modifiers(struct imap_session *i, struct imap_lex *lx, struct imap_lex set)
{
	struct fetch_args *a = i->args;
	uint32_t last = view_uidnext(i->view) - 1;
	enum parse r = imap_lex_open(lx);

	if (r != PARSE_OK)
		return r;
	do {
		if ((r = one_modifier(i, lx, a)) != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	if ((r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	if (a->vanished && !a->changed)
		return bad(lx, "VANISHED without CHANGEDSINCE");
	/* nothing of "$" has vanished; "*" may have, RFC 7162 3.2.6 */
	if (a->vanished && imap_lex_peek(&set) != '$') {
		r = imap_lex_set(&set, &i->arena, i->opt->set_max, &a->wanted);
		if (r != PARSE_OK)
			return bad(lx, "sets too long");
		imap_set_order(&a->wanted, last != 0 ? last : 1);
	}
	if (a->partial)
		imap_set_cut(&a->set, &a->range);
	/* RFC 7162 3.1.4.1 */
	if (a->changed && !has(a, FETCH_MODSEQ)) {
		struct fetch_item *it = add(i, FETCH_MODSEQ);

		if (it == NULL)
			return bad(lx, "too many data items");
		it->name = simple_name(FETCH_MODSEQ);
	}
	return PARSE_OK;
}

enum parse
imap_parse_fetch(struct imap_session *i, struct imap_lex *lx)
{
	struct fetch_args *a = IMAP_ARGS(i, struct fetch_args);
	struct imap_lex set;
	enum parse r;

	a->fd = -1;
	a->next = 1;
	for (size_t k = 0; k < FETCH_N_TEXTS; k++)
		buf_init(&a->texts[k], FETCH_TEXT_MAX);
	buf_init(&a->preview_text, 8 * IMAP_PREVIEW_CHARS);
	if ((r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	set = *lx;
	if ((r = imap_parse_set(i, lx, &a->set)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	if (i->uid) /* RFC 3501 6.4.8: whether it is asked for or not */
		add(i, FETCH_UID)->name = simple_name(FETCH_UID);
	if (imap_lex_take(lx, '(')) {
		do {
			if ((r = one_item(i, lx)) != PARSE_OK)
				return r;
		} while (imap_lex_take(lx, ' '));
		if ((r = imap_lex_close(lx)) != PARSE_OK)
			return r;
	} else if (!macro(i, lx) && (r = one_item(i, lx)) != PARSE_OK) {
		return r;
	}
	if (imap_lex_take(lx, ' ') && (r = modifiers(i, lx, set)) != PARSE_OK)
		return r;
	sum_up(a);
	a->plain = imap_fetch_is_plain(a);
	return imap_lex_crlf(lx);
}
