#include "protocols/imap/preview.h"

#include "base/ascii.h"
#include "base/num.h"
#include "protocols/mime/text.h"

enum { TEXT_MAX = 4 * IMAP_PREVIEW_READ, ENTITY_MAX = 10 };

uint32_t
imap_preview_part(const struct mime_message *m)
{
	uint32_t html = MIME_NONE;

	for (uint32_t i = 0; i < m->n_parts; i++) {
		struct slice type, subtype;
		struct slice disposition =
		    mime_message_value(m, i, MIME_F_CONTENT_DISPOSITION);

		if (m->parts[i].kind != MIME_LEAF || m->parts[i].capped ||
		    slice_istarts(disposition, SLICE("attachment")))
			continue;
		mime_part_type(m, i, &type, &subtype);
		if (!slice_ieq(type, SLICE("text")))
			continue;
		if (slice_ieq(subtype, SLICE("plain")))
			return i;
		if (slice_ieq(subtype, SLICE("html")) && html == MIME_NONE)
			html = i;
	}
	return html;
}

/* --- characters out ------------------------------------------------------- */

struct writer {
	struct buf *out;
	unsigned chars;
	bool space; /* one is due before the next character */
};

static bool
is_full(const struct writer *w)
{
	return w->chars >= IMAP_PREVIEW_CHARS;
}

/* The bytes of the character at the front of valid UTF-8. */
static size_t
char_len(struct slice s)
{
	size_t n = s.p[0] < 0x80 ? 1
	    : s.p[0] < 0xe0	 ? 2
	    : s.p[0] < 0xf0	 ? 3
				 : 4;

	return n < s.n ? n : s.n;
}

/* One character; white space and controls come to a single blank. */
static void
put_char(struct writer *w, struct slice c)
{
	if ((c.n == 1 && (c.p[0] == ' ' || ascii_is_control(c.p[0]))) ||
	    slice_eq(c, SLICE("\xc2\xa0"))) {
		w->space = w->chars != 0;
		return;
	}
	if (w->space) {
		buf_putc(w->out, ' ');
		w->chars++;
		w->space = false;
	}
	if (is_full(w))
		return;
	buf_put(w->out, c);
	w->chars++;
}

static void
put_text(struct writer *w, struct slice s)
{
	while (s.n != 0 && !is_full(w)) {
		size_t n = char_len(s);

		put_char(w, slice_first(s, n));
		s = slice_skip(s, n);
	}
}

/* --- plain text ----------------------------------------------------------- */

/* All but what is quoted from other messages, up to the signature. */
static void
put_plain(struct writer *w, struct slice text)
{
	while (text.n != 0 && !is_full(w)) {
		size_t lf = slice_find(text, '\n');
		struct slice line = slice_trim(slice_first(text, lf));
		struct slice raw = slice_first(text, lf);

		if (raw.n != 0 && raw.p[raw.n - 1] == '\r')
			raw.n--;
		if (slice_eq(raw, SLICE("-- ")))
			break;
		if (line.n == 0 || line.p[0] != '>')
			put_text(w, line);
		put_char(w, SLICE(" "));
		text = slice_skip(text, lf + 1);
	}
}

/* --- HTML ----------------------------------------------------------------- */

static const struct {
	struct slice name, text;
} entities[] = {
	{ SLICE_INIT("amp"), SLICE_INIT("&") },
	{ SLICE_INIT("lt"), SLICE_INIT("<") },
	{ SLICE_INIT("gt"), SLICE_INIT(">") },
	{ SLICE_INIT("quot"), SLICE_INIT("\"") },
	{ SLICE_INIT("apos"), SLICE_INIT("'") },
	{ SLICE_INIT("nbsp"), SLICE_INIT(" ") },
};

static void
put_code_point(struct writer *w, uint32_t c)
{
	uint8_t b[4];
	size_t n = 0;

	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80) {
		b[n++] = (uint8_t)c;
	} else if (c < 0x800) {
		b[n++] = (uint8_t)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		b[n++] = (uint8_t)(0xe0 | c >> 12);
		b[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	} else {
		b[n++] = (uint8_t)(0xf0 | c >> 18);
		b[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		b[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		b[n++] = (uint8_t)(0x80 | (c & 0x3f));
	put_char(w, slice_of(b, n));
}

static bool
entity_number(struct slice name, uint32_t *c)
{
	uint32_t v = 0;

	if (name.n < 2 || name.p[0] != '#')
		return false;
	name = slice_skip(name, 1);
	if (ascii_lower(name.p[0]) != 'x')
		return num_u32(name, c);
	for (size_t i = 1; i < name.n; i++) {
		int digit = ascii_hex(name.p[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	*c = v;
	return name.n > 1;
}

/* "&…;" at the front; returns its bytes, 0 if it is none. */
static size_t
put_entity(struct writer *w, struct slice s)
{
	struct slice head = slice_first(slice_skip(s, 1), ENTITY_MAX), name;
	size_t end = slice_find(head, ';');
	uint32_t c;

	if (end == head.n)
		return 0;
	name = slice_first(head, end);
	if (entity_number(name, &c)) {
		put_code_point(w, c);
		return end + 2;
	}
	for (size_t k = 0; k < NELEMS(entities); k++)
		if (slice_ieq(name, entities[k].name)) {
			put_text(w, entities[k].text);
			return end + 2;
		}
	return 0;
}

/* Where an element whose content isn't text ends, behind its "<name". */
static size_t
skip_element(struct slice s, struct slice name)
{
	size_t at = 0;

	for (;;) {
		struct slice rest = slice_skip(s, at);
		size_t lt = slice_find(rest, '<');

		if (lt == rest.n)
			return s.n;
		at += lt + 1;
		rest = slice_skip(s, at);
		if (rest.n > name.n && rest.p[0] == '/' &&
		    slice_istarts(slice_skip(rest, 1), name))
			return at + slice_find(rest, '>') + 1;
	}
}

/* "<…>" at the front; returns its bytes, with content that isn't text. */
static size_t
skip_tag(struct slice s)
{
	static const struct slice hidden[] = { SLICE_INIT("style"),
		SLICE_INIT("script"), SLICE_INIT("head"), SLICE_INIT("title") };
	struct slice name = slice_skip(s, 1);

	if (slice_starts(name, SLICE("!--"))) {
		for (size_t at = 4; at + 2 < s.n; at++)
			if (s.p[at] == '-' &&
			    slice_starts(slice_skip(s, at), SLICE("-->")))
				return at + 3;
		return s.n;
	}
	for (size_t k = 0; k < NELEMS(hidden); k++) {
		struct slice behind = slice_skip(name, hidden[k].n);

		if (slice_istarts(name, hidden[k]) &&
		    (behind.n == 0 || !ascii_is_alnum(behind.p[0])))
			return 1 + skip_element(name, hidden[k]);
	}
	return slice_find(s, '>') + 1;
}

static void
put_html(struct writer *w, struct slice text)
{
	while (text.n != 0 && !is_full(w)) {
		size_t n = 0;

		if (text.p[0] == '<') {
			n = skip_tag(text);
			put_char(w, SLICE(" "));
		} else if (text.p[0] == '&') {
			n = put_entity(w, text);
		}
		if (n == 0) {
			n = char_len(text);
			put_char(w, slice_first(text, n));
		}
		text = slice_skip(text, n);
	}
}

/* -------------------------------------------------------------------------- */

void
imap_preview_make(const struct mime_message *m, uint32_t part,
    struct slice body, struct buf *out)
{
	struct writer w = { .out = out };
	struct slice type, subtype;
	struct mime_text t;
	struct buf charset, text;

	buf_init(&charset, 256);
	buf_init(&text, TEXT_MAX);
	mime_part_charset(m, part, &charset);
	(void)mime_text_init(&t, (enum mime_encoding)m->parts[part].encoding,
	    buf_slice(&charset));
	mime_text_feed(&t, body, &text);
	mime_text_finish(&t, &text);
	mime_text_fini(&t);
	mime_part_type(m, part, &type, &subtype);
	if (slice_ieq(subtype, SLICE("html")))
		put_html(&w, buf_slice(&text));
	else
		put_plain(&w, buf_slice(&text));
	buf_fini(&text);
	buf_fini(&charset);
}
