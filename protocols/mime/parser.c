/*
 * The input is taken line by line.  Of a line only what decides its meaning
 * is kept: its beginning while it may be a delimiter or a header field, the
 * value of a field that ENVELOPE or BODYSTRUCTURE needs; everything else is
 * counted and forgotten.  Sizes are differences of a running position that
 * counts file bytes, wire bytes and line breaks side by side, so no byte is
 * looked at twice and limits on what is kept change no size.
 *
 * Open parts form a chain from the current one to entry 0 by their parent
 * links, and open multiparts a stack with their boundaries; both stand in
 * place of recursion.  An open span holds its start position in wire and
 * lines until span_end() makes lengths of them.
 */
#include "protocols/mime/parser.h"

#include "base/mem.h"
#include "protocols/mime/lex.h"
#include "protocols/mime/param.h"

enum { PARSER_MAGIC = 0x6d707273 };

enum state {
	IN_HEADER, /* of cur */
	IN_BODY,   /* of cur: text, preamble or epilogue */
	AT_REST,   /* nothing more is of interest */
};

enum mode {
	LINE_NEW,   /* at the first byte of a line */
	LINE_KEEP,  /* collecting the beginning of a line */
	LINE_FIELD, /* in the rest of a long header line */
	LINE_SKIP,  /* in a line of no interest */
};

const struct mime_options mime_options_default = {
	.max_depth = 100,
	.max_parts = 10000,
	.max_field = 65536,
	.max_text = 1048576,
};

/* --- positions ----------------------------------------------------------- */

static void
span_begin(struct mime_span *s, struct mime_pos at)
{
	*s = (struct mime_span){ at.off, 0, at.wire, at.lines };
}

/* End an open span at a position, not before where it began. */
static void
span_end(struct mime_span *s, struct mime_pos at)
{
	assert(at.off >= s->off);
	s->len = at.off - s->off;
	s->wire = at.wire - s->wire;
	s->lines = at.lines - s->lines;
}

/* RFC 2046 5.1.1: the line break before a delimiter belongs to it. */
static struct mime_pos
before_delimiter(const struct mime_parser *p)
{
	if (p->eol == 0)
		return p->line;
	return (struct mime_pos){ p->line.off - p->eol, p->line.wire - 2,
		p->line.lines - 1 };
}

/* Count bytes that hold no LF. */
static void
advance(struct mime_parser *p, struct slice in)
{
	if (in.n == 0)
		return;
	p->pos.off += in.n;
	p->pos.wire += in.n;
	p->last = in.p[in.n - 1];
}

/* Count an LF. */
static void
advance_eol(struct mime_parser *p)
{
	bool crlf = p->last == '\r';

	p->pos.off++;
	p->pos.wire += crlf ? 1 : 2;
	p->pos.lines++;
	p->line = p->pos;
	p->eol = crlf ? 2 : 1;
	p->last = '\n';
	p->mode = LINE_NEW;
}

/* --- parts --------------------------------------------------------------- */

static struct mime_part *
part_of(const struct mime_parser *p, uint32_t part)
{
	assert(part < p->msg->n_parts);
	return &p->msg->parts[part];
}

/* Append an entry, not yet linked to anything; its header begins at `at`. */
static uint32_t
part_append(struct mime_parser *p, uint32_t parent, struct mime_pos at)
{
	struct mime_message *m = p->msg;
	struct mime_part *part;

	if (m->n_parts == m->cap_parts) {
		m->cap_parts = m->cap_parts == 0 ? 4 : m->cap_parts * 2;
		m->parts =
		    mem_realloc(m->parts, m->cap_parts, sizeof(*m->parts));
	}
	part = &m->parts[m->n_parts];
	*part = (struct mime_part){ .parent = parent,
		.first = MIME_NONE,
		.next = MIME_NONE,
		.field = m->n_kept };
	if (parent != MIME_NONE) {
		part->depth = (uint16_t)(m->parts[parent].depth + 1);
		m->parts[parent].n_children++;
	}
	span_begin(&part->header, at);
	return m->n_parts++;
}

/* Whether an entry is a message, not a part of a multipart. */
static bool
is_whole(const struct mime_parser *p, uint32_t part)
{
	uint32_t parent = part_of(p, part)->parent;

	return parent == MIME_NONE || part_of(p, parent)->kind == MIME_MESSAGE;
}

/* Go into the header of a new entry. */
static void
header_begin(struct mime_parser *p, uint32_t part)
{
	p->cur = part;
	p->state = IN_HEADER;
	p->first_line = true;
	mime_keep_begin(&p->keep, part, is_whole(p, part));
}

/* Open the only child of a message/rfc822 part. */
static void
message_open(struct mime_parser *p, struct mime_pos at)
{
	uint32_t child = part_append(p, p->cur, at);

	part_of(p, p->cur)->first = child;
	header_begin(p, child);
}

/* Open the next child of the multipart on top of the stack. */
static void
child_open(struct mime_parser *p, struct mime_pos at)
{
	struct mime_open *top = &p->bounds.v[p->bounds.n - 1];
	uint32_t child = part_append(p, top->part, at);
	struct mime_part *part;
	struct slice type, subtype;

	if (top->last == MIME_NONE)
		part_of(p, top->part)->first = child;
	else
		part_of(p, top->last)->next = child;
	top->last = child;
	part = part_of(p, child);
	mime_part_type(p->msg, top->part, &type, &subtype);
	part->in_digest = slice_ieq(subtype, SLICE("digest"));
	if (p->msg->n_parts < p->opt.max_parts) {
		header_begin(p, child);
		return;
	}
	/* The last entry there may be takes all the rest, unread. */
	part->capped = p->msg->capped = true;
	part->in_digest = false;
	span_end(&part->header, at);
	span_begin(&part->body, at);
	p->cur = child;
	p->state = IN_BODY;
	p->rest = true;
}

/*
 * Close the open parts below upto.  If the line break before a delimiter is
 * at once the empty line that ends a header, it stays with the header, and so
 * with all that the header is in.
 */
static void
parts_close(struct mime_parser *p, uint32_t upto, struct mime_pos at)
{
	while (p->cur != upto) {
		struct mime_part *part = part_of(p, p->cur);
		if (at.off < part->body.off)
			at = p->line;
		span_end(&part->body, at);
		p->cur = part->parent;
	}
}

/* --- the end of a header ------------------------------------------------- */

static enum mime_encoding
encoding_of(struct slice value)
{
	static const struct slice names[] = {
		[MIME_7BIT] = SLICE_INIT("7bit"),
		[MIME_8BIT] = SLICE_INIT("8bit"),
		[MIME_BINARY] = SLICE_INIT("binary"),
		[MIME_QUOTED_PRINTABLE] = SLICE_INIT("quoted-printable"),
		[MIME_BASE64] = SLICE_INIT("base64"),
	};
	struct slice name = mime_encoding_name(value);

	if (name.n == 0)
		return MIME_7BIT;
	for (size_t i = 0; i < NELEMS(names); i++)
		if (slice_ieq(name, names[i]))
			return (enum mime_encoding)i;
	return MIME_ENCODING_UNKNOWN;
}

/* Read Content-Type; what follows the subtype goes to *rest. */
static void
type_settle(struct mime_parser *p, struct slice *rest)
{
	struct mime_part *part = part_of(p, p->cur);
	struct slice value =
	    mime_message_value(p->msg, p->cur, MIME_F_CONTENT_TYPE);
	const uint8_t *text = p->msg->text.p;
	struct slice type, subtype;

	*rest = slice_of(NULL, 0);
	if (!mime_content_type_parse(value, &type, &subtype, rest))
		return;
	part->type = (uint32_t)(type.p - text);
	part->type_n = (uint32_t)type.n;
	part->subtype = (uint32_t)(subtype.p - text);
	part->subtype_n = (uint32_t)subtype.n;
}

static void
multipart_settle(struct mime_parser *p, struct slice rest)
{
	struct mime_part *part = part_of(p, p->cur);
	struct mime_params params;
	struct slice boundary;
	struct buf text;

	mime_params_parse(&params, rest);
	buf_init(&text, 4 * MIME_BOUNDARY_MAX);
	/* RFC 2231 makes no sense here, but is met */
	if (!mime_params_get(&params, SLICE("boundary"), &boundary)) {
		(void)mime_params_text(&params, SLICE("boundary"), &text);
		boundary = buf_ok(&text) ? buf_slice(&text) : slice_of(NULL, 0);
	}
	/* RFC 2046 5.1.1: a boundary doesn't end in white space */
	while (boundary.n != 0 && mime_is_space(boundary.p[boundary.n - 1]))
		boundary.n--;
	if (boundary.n == 0 || boundary.n > MIME_BOUNDARY_MAX) {
		part->type_n = part->subtype_n = 0;
		part->in_digest = false;
	} else if (part->depth >= p->opt.max_depth ||
	    p->msg->n_parts >= p->opt.max_parts) {
		part->capped = p->msg->capped = true;
	} else {
		part->kind = MIME_MULTIPART;
		mime_boundaries_push(&p->bounds, p->cur, boundary);
	}
	buf_fini(&text);
	mime_params_fini(&params);
}

/* Whether cur is an encapsulated message that can be looked into. */
static bool
is_message(struct mime_parser *p)
{
	enum mime_encoding enc = part_of(p, p->cur)->encoding;
	struct slice type, subtype;

	mime_part_type(p->msg, p->cur, &type, &subtype);
	if (!slice_ieq(type, SLICE("message")))
		return false;
	if (slice_ieq(subtype, SLICE("rfc822")))
		return enc != MIME_BASE64;
	/* RFC 6532 3.7 */
	return slice_ieq(subtype, SLICE("global")) && enc <= MIME_BINARY;
}

/*
 * The header of cur ends at `at`, where its body begins: find out what it
 * is.  Leaves the state IN_BODY, or IN_HEADER of an encapsulated message.
 */
static void
header_end(struct mime_parser *p, struct mime_pos at)
{
	struct mime_part *part = part_of(p, p->cur);
	struct slice rest;

	span_end(&part->header, at);
	span_begin(&part->body, at);
	mime_keep_end(&p->keep);
	p->state = IN_BODY;
	if (p->opt.header_only) {
		type_settle(p, &rest);
		p->state = AT_REST;
		return;
	}
	part->encoding = (uint8_t)encoding_of(mime_message_value(
	    p->msg, p->cur, MIME_F_CONTENT_TRANSFER_ENCODING));
	type_settle(p, &rest);
	if (mime_part_is(p->msg, p->cur, SLICE("multipart"))) {
		multipart_settle(p, rest);
	} else if (is_message(p)) {
		/* one entry stays free for what takes all the rest */
		if (part->depth >= p->opt.max_depth ||
		    p->msg->n_parts + 1 >= p->opt.max_parts) {
			part->capped = p->msg->capped = true;
			return;
		}
		part->kind = MIME_MESSAGE;
		message_open(p, at);
	}
}

/* The header under way, and those it leads to, end without an empty line. */
static void
headers_cut(struct mime_parser *p, struct mime_pos at)
{
	while (p->state == IN_HEADER) {
		struct mime_pos end = at;
		if (at.off < part_of(p, p->cur)->header.off)
			end = p->line;
		header_end(p, end);
	}
}

/* --- delimiters ---------------------------------------------------------- */

/*
 * Deal with the line if it's a delimiter; next is the position behind it.
 * Returns whether it was one.
 */
static bool
delimiter_take(struct mime_parser *p, struct slice line, struct mime_pos next)
{
	size_t level;
	enum mime_delimiter d = MIME_DELIMITER_NONE;
	struct mime_pos end = before_delimiter(p);

	if (!p->rest)
		d = mime_boundaries_match(&p->bounds, line, &level);
	if (d == MIME_DELIMITER_NONE)
		return false;
	headers_cut(p, end);
	parts_close(p, p->bounds.v[level].part, end);
	p->state = IN_BODY;
	if (d == MIME_DELIMITER_OPEN) {
		mime_boundaries_truncate(&p->bounds, level + 1);
		child_open(p, next);
	} else {
		mime_boundaries_truncate(&p->bounds, level);
	}
	return true;
}

/* --- header lines -------------------------------------------------------- */

/*
 * Before the first line of a header: if the header is missing, end it here.
 * True if the line belongs to the body.
 */
static bool
header_missing(struct mime_parser *p, struct slice line)
{
	bool first = p->first_line;
	size_t colon;

	p->first_line = false;
	if (!first || is_whole(p, p->cur) ||
	    mime_lex_field_name(line, &colon) != 0)
		return false;
	header_end(p, p->line);
	if (p->state != IN_HEADER)
		return true;
	p->first_line = false;
	return false;
}

/* --- lines --------------------------------------------------------------- */

/* A line is complete in kept, its LF (if it has one) still to be counted. */
static void
line_whole(struct mime_parser *p, bool has_eol)
{
	struct slice line = slice_of(p->kept, p->n_kept);
	struct mime_pos next = p->pos;

	if (has_eol) {
		bool crlf = p->last == '\r';
		next.off++;
		next.wire += crlf ? 1 : 2;
		next.lines++;
		if (crlf)
			line.n--;
	}
	if (delimiter_take(p, line, next))
		return;
	if (p->state != IN_HEADER)
		return;
	if (line.n == 0 && has_eol)
		header_end(p, next);
	else if (!header_missing(p, line))
		mime_keep_line(&p->keep, line);
}

/* A line is longer than what is kept: it's no delimiter and not empty. */
static void
line_overflow(struct mime_parser *p)
{
	struct slice line = slice_of(p->kept, p->n_kept);

	p->mode = LINE_SKIP;
	if (p->state != IN_HEADER || header_missing(p, line))
		return;
	mime_keep_line(&p->keep, line);
	if (p->keep.keeping)
		p->mode = LINE_FIELD;
}

/* How to read a line that begins with this byte. */
static enum mode
line_mode(const struct mime_parser *p, uint8_t first)
{
	if (p->state == IN_HEADER)
		return LINE_KEEP;
	if (p->state == IN_BODY && p->bounds.n != 0 && !p->rest && first == '-')
		return LINE_KEEP;
	return LINE_SKIP;
}

/* Take bytes of one line, at most up to its LF; returns how many. */
static size_t
line_take(struct mime_parser *p, struct slice in)
{
	size_t room = MIME_LINE_KEEP - p->n_kept;
	struct slice bytes = in;

	if (p->mode == LINE_KEEP)
		bytes = slice_first(in, room);
	bytes.n = slice_find(bytes, '\n');
	advance(p, bytes);
	if (p->mode == LINE_KEEP) {
		memcpy(p->kept + p->n_kept, bytes.p, bytes.n);
		p->n_kept += bytes.n;
	} else if (p->mode == LINE_FIELD) {
		mime_keep_more(&p->keep, bytes);
	}
	if (bytes.n == in.n)
		return bytes.n;
	if (in.p[bytes.n] != '\n') {
		line_overflow(p);
		return bytes.n;
	}
	if (p->mode == LINE_KEEP)
		line_whole(p, true);
	else if (p->mode == LINE_FIELD && p->last == '\r')
		mime_keep_chop(&p->keep);
	advance_eol(p);
	return bytes.n + 1;
}

/* How many bytes of whole lines, from the beginning of one, mean nothing. */
static size_t
idle_lines(const struct mime_parser *p, struct slice in)
{
	bool dashes = p->state == IN_BODY && p->bounds.n != 0 && !p->rest;
	size_t n;

	if (p->state == IN_HEADER || (dashes && in.p[0] == '-'))
		return 0;
	if (dashes && (n = slice_find_pair(in, '\n', '-')) != in.n)
		return n + 1;
	n = slice_rfind(in, '\n');
	return n != in.n ? n + 1 : 0;
}

/* Pass over them, which mostly is all of a message, at once. */
static size_t
lines_pass(struct mime_parser *p, struct slice in)
{
	struct slice_lines lines;

	in = slice_first(in, idle_lines(p, in));
	if (in.n == 0)
		return 0;
	lines = slice_count_lines(in, '\n');
	p->pos.off += in.n;
	p->pos.wire += in.n + lines.bare;
	p->pos.lines += lines.all;
	p->line = p->pos;
	p->eol = in.n > 1 && in.p[in.n - 2] == '\r' ? 2 : 1;
	p->last = '\n';
	return in.n;
}

/* --- interface ----------------------------------------------------------- */

void
mime_parser_init(struct mime_parser *p, struct mime_message *m,
    const struct mime_options *opt)
{
	size_t text_max;

	/* what is kept of a line needs no zeros */
	memset(p, 0, offsetof(struct mime_parser, kept));
	p->magic = PARSER_MAGIC;
	p->opt = opt != NULL ? *opt : mime_options_default;
	p->msg = m;
	p->keep.msg = m;
	p->keep.max_field = p->opt.max_field;
	p->keep.max_text = p->opt.max_text;
	assert(m->n_parts == 0 && p->opt.max_parts > 0);
	assert(p->opt.max_depth < UINT16_MAX);
	if (__builtin_mul_overflow(p->opt.max_text, 4, &text_max) ||
	    text_max > UINT32_MAX)
		text_max = UINT32_MAX;
	m->text.max = text_max > m->text.cap ? text_max : m->text.cap;
	mime_boundaries_init(&p->bounds, p->opt.max_depth);
	header_begin(p, part_append(p, MIME_NONE, p->pos));
}

void
mime_parser_feed(struct mime_parser *p, struct slice in)
{
	MAGIC_CHECK(p, PARSER_MAGIC);
	while (in.n != 0) {
		if (p->mode == LINE_NEW) {
			in = slice_skip(in, lines_pass(p, in));
			if (in.n == 0)
				break;
			p->mode = (uint8_t)line_mode(p, in.p[0]);
			p->n_kept = 0;
		}
		in = slice_skip(in, line_take(p, in));
	}
}

bool
mime_parser_done(const struct mime_parser *p)
{
	return p->state == AT_REST;
}

void
mime_parser_finish(struct mime_parser *p)
{
	struct mime_message *m = p->msg;

	MAGIC_CHECK(p, PARSER_MAGIC);
	/* RFC 2046 5.1.1: the last delimiter may end with the file */
	if (p->mode == LINE_KEEP)
		line_whole(p, false);
	headers_cut(p, p->pos);
	parts_close(p, 0, p->pos);
	span_end(&m->parts[0].body, p->pos);
	m->all = (struct mime_span){ 0, p->pos.off, p->pos.wire, p->pos.lines };
	if (m->text.cap > MIME_TEXT_KEEP)
		buf_trim(&m->text);
	mime_parser_abort(p);
}

void
mime_parser_abort(struct mime_parser *p)
{
	MAGIC_CHECK(p, PARSER_MAGIC);
	mime_boundaries_fini(&p->bounds);
	p->magic = 0;
}

void
mime_parse(
    struct mime_message *m, struct slice in, const struct mime_options *opt)
{
	struct mime_parser p;

	mime_parser_init(&p, m, opt);
	mime_parser_feed(&p, in);
	mime_parser_finish(&p);
}
