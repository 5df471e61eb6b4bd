/*
 * Numbers stand in groups of seven bits, the lowest first.  A table is: its
 * version, the print of the file (eight bytes), the number of parts, the wire
 * size of all; then for each part its parent, its kind and encoding, its
 * header and body, and 0 or, if it is known what the body is without its
 * encoding, one more than twice the bytes of that, and one more if it has a
 * NUL.  An offset is told by what it is more than that of the
 * part before, a wire size by what it is more than the bytes of the file; a
 * body begins where its header ends.
 */
#include "protocols/mime/table.h"

#include <stdlib.h>

#include "base/mem.h"

enum { VERSION = 2, PART_MIN = 8 /* bytes of a part, at least */ };

/* --- writing -------------------------------------------------------------- */

static void
put_number(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_putc(out, (uint8_t)(v | 0x80));
	buf_putc(out, (uint8_t)v);
}

static void
put_span(struct buf *out, const struct mime_span *s)
{
	put_number(out, s->len);
	put_number(out, s->wire - s->len);
}

void
mime_table_put(const struct mime_message *m, uint64_t print, struct buf *out)
{
	uint64_t at = 0;

	assert(m->n_parts != 0);
	buf_putc(out, VERSION);
	for (int i = 0; i < 8; i++)
		buf_putc(out, (uint8_t)(print >> 8 * i));
	put_number(out, m->n_parts);
	put_span(out, &m->all);
	for (uint32_t k = 0; k < m->n_parts; k++) {
		const struct mime_part *p = &m->parts[k];

		put_number(out, k == 0 ? 0 : k - p->parent);
		buf_putc(out, (uint8_t)(p->kind << 4 | p->encoding));
		put_number(out, p->header.off - at);
		put_span(out, &p->header);
		put_span(out, &p->body);
		put_number(
		    out, p->counted ? 2 * p->decoded + 1 + p->has_nul : 0);
		at = p->header.off;
	}
}

/* --- reading -------------------------------------------------------------- */

/* Take a number off the front; false: there is none. */
static bool
get_number(struct slice *in, uint64_t *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < in->n && i < 9; i++) {
		uint8_t c = in->p[i];

		sum |= (uint64_t)(c & 0x7f) << 7 * i;
		if (c < 0x80) {
			*v = sum;
			*in = slice_skip(*in, i + 1);
			return true;
		}
	}
	return false;
}

/* Lengths of a stretch from off on that ends at end or before. */
static bool
get_span(struct slice *in, uint64_t off, uint64_t end, struct mime_span *s)
{
	uint64_t more;

	*s = (struct mime_span){ .off = off };
	if (!get_number(in, &s->len) || !get_number(in, &more) || off > end ||
	    s->len > end - off || more > s->len)
		return false;
	s->wire = s->len + more;
	return true;
}

/* Hang part k, whose parent is set, behind the last child there is. */
static bool
hang(struct mime_message *m, uint32_t k, uint32_t *last)
{
	uint32_t to = m->parts[k].parent;
	struct mime_part *parent = &m->parts[to];

	if (parent->kind == MIME_LEAF ||
	    (parent->kind == MIME_MESSAGE && parent->n_children != 0) ||
	    parent->depth == UINT16_MAX)
		return false;
	m->parts[k].depth = (uint16_t)(parent->depth + 1);
	if (parent->n_children++ == 0)
		parent->first = k;
	else
		m->parts[last[to]].next = k;
	last[to] = k;
	return true;
}

/* What is sent of a body is announced by this: it must not be boundless. */
static bool
get_decoded(struct slice *in, struct mime_part *p)
{
	uint64_t v;

	if (!get_number(in, &v))
		return false;
	p->counted = v != 0;
	if (p->counted) {
		p->decoded = (v - 1) / 2;
		p->has_nul = (v - 1) % 2 != 0;
	}
	return p->decoded <= p->body.wire;
}

static bool
get_part(struct slice *in, struct mime_message *m, uint32_t k, uint32_t *last)
{
	struct mime_part *p = &m->parts[k];
	const struct mime_span *around = &m->all;
	uint64_t up, off, at = k == 0 ? 0 : m->parts[k - 1].header.off;

	*p = (struct mime_part){
		.parent = MIME_NONE, .first = MIME_NONE, .next = MIME_NONE
	};
	if (!get_number(in, &up) || up > k || (up == 0) != (k == 0) ||
	    in->n == 0)
		return false;
	p->kind = in->p[0] >> 4;
	p->encoding = in->p[0] & 15;
	*in = slice_skip(*in, 1);
	if (p->kind > MIME_MESSAGE || p->encoding > MIME_ENCODING_UNKNOWN ||
	    !get_number(in, &off) || off > m->all.len - at)
		return false;
	if (k != 0) {
		p->parent = k - (uint32_t)up;
		around = &m->parts[p->parent].body;
		if (!hang(m, k, last))
			return false;
	}
	off += at;
	return off >= around->off &&
	    get_span(in, off, around->off + around->len, &p->header) &&
	    get_span(
		in, off + p->header.len, around->off + around->len, &p->body) &&
	    get_decoded(in, p);
}

static bool
get_parts(struct slice *in, struct mime_message *m)
{
	uint32_t *last = mem_zalloc(m->n_parts, sizeof(*last));
	bool ok = true;

	for (uint32_t k = 0; k < m->n_parts && ok; k++)
		ok = get_part(in, m, k, last);
	for (uint32_t k = 0; k < m->n_parts && ok; k++)
		ok = m->parts[k].kind != MIME_MESSAGE ||
		    m->parts[k].n_children == 1;
	free(last);
	return ok && in->n == 0;
}

bool
mime_table_get(
    struct slice in, uint64_t print, uint64_t size, struct mime_message *m)
{
	uint64_t n, was = 0;

	if (in.n < 9 || in.p[0] != VERSION)
		return false;
	for (int i = 0; i < 8; i++)
		was |= (uint64_t)in.p[1 + i] << 8 * i;
	in = slice_skip(in, 9);
	if (was != print || !get_number(&in, &n) ||
	    !get_span(&in, 0, size, &m->all) || m->all.len != size || n == 0 ||
	    n > in.n / PART_MIN)
		return false;
	m->parts = mem_zalloc((size_t)n, sizeof(*m->parts));
	m->n_parts = m->cap_parts = (uint32_t)n;
	if (get_parts(&in, m))
		return true;
	mime_message_fini(m);
	return false;
}
