/*
 * BINARY, RFC 3516 4.2, RFC 9051 6.4.5: the body of a part without its content
 * transfer encoding.
 *
 * The length of the literal must be known before its first byte, and that all
 * of it can be decoded before the response begins: so it is decoded once to be
 * counted, and again to be sent.  What was counted is remembered with the
 * table of parts, and kept where that is.
 */
#include <inttypes.h>

#include "protocols/imap/fetch.h"

enum { PIECE = 32 * 1024 };

/* The part that an item is about; NULL: it's the whole message. */
static struct mime_part *
part_of(struct imap_session *i, const struct fetch_item *it)
{
	const struct mime_message *m = &i->work->parsed.msg;
	uint32_t part;

	if (it->n_path == 0 ||
	    !mime_section_find(m, it->path, it->n_path, &part))
		return NULL;
	return &m->parts[part];
}

/* Find the stretch of the file and its encoding; false: no such part. */
static bool
begin(struct imap_session *i, const struct fetch_item *it)
{
	struct fetch_args *a = i->args;
	enum mime_encoding encoding = MIME_8BIT;
	const struct mime_part *p;

	if (!imap_fetch_span(i, it))
		return false;
	p = part_of(i, it);
	/* what contains others has no encoding that could be taken off */
	if (p != NULL && p->kind == MIME_LEAF)
		encoding = (enum mime_encoding)p->encoding;
	mime_decoder_init(&a->decoder, encoding);
	mime_wire_init(&a->wire, &a->source, &a->span, 0, UINT64_MAX);
	return true;
}

/*
 * The next bytes, decoded, to a->scratch.  RFC 3516 6: lines end in CRLF, so
 * it's the wire form that is decoded.  1: more to come; 0: the end; ERR_*.
 */
static int
decode(struct fetch_args *a)
{
	struct buf wire;
	int r;

	buf_reset(&a->scratch);
	buf_init(&wire, 2 * PIECE);
	r = mime_wire_step(&a->wire, &wire, PIECE);
	mime_decoder_feed(&a->decoder, buf_slice(&wire), &a->scratch);
	buf_fini(&wire);
	if (r < 0)
		return r;
	if (r == MIME_WIRE_MORE)
		return 1;
	mime_decoder_finish(&a->decoder, &a->scratch);
	return 0;
}

/* --- counting ------------------------------------------------------------- */

static bool
is_remembered(struct imap_session *i, struct fetch_item *it)
{
	const struct fetch_args *a = i->args;
	const struct imap_counted *c = &i->work->counted;
	const struct mime_part *p = part_of(i, it);

	if (p != NULL && p->counted) {
		it->total = p->decoded;
		it->has_nul = p->has_nul;
		return true;
	}
	if (c->uid != a->uid || c->off != a->span.off || c->len != a->span.len)
		return false;
	it->total = c->total;
	it->has_nul = c->has_nul;
	return true;
}

static void
remember(struct imap_session *i, const struct fetch_item *it)
{
	const struct fetch_args *a = i->args;
	struct mime_part *p = part_of(i, it);

	i->work->counted = (struct imap_counted){ a->uid, a->span.off,
		a->span.len, it->total, it->has_nul };
	if (p == NULL || it->total > p->body.wire)
		return;
	p->counted = i->work->parsed.counted = true;
	p->decoded = it->total;
	p->has_nul = it->has_nul;
}

/* One piece of one item; true when the item is done, *rc its result. */
static bool
count_piece(struct imap_session *i, struct fetch_item *it, int *rc)
{
	struct fetch_args *a = i->args;
	struct slice s;
	int r;

	*rc = 0;
	if (!a->counting) {
		it->total = 0;
		it->has_nul = false;
		it->missing = !begin(i, it);
		/* RFC 3516 4.2: UNKNOWN-CTE */
		if (!it->missing &&
		    a->decoder.encoding == MIME_ENCODING_UNKNOWN)
			*rc = ERR_FORMAT;
		if (it->missing || *rc != 0 || is_remembered(i, it))
			return true;
		a->counting = true;
	}
	r = decode(a);
	s = buf_slice(&a->scratch);
	it->total += s.n;
	it->has_nul = it->has_nul || slice_has(s, 0);
	if (r > 0)
		return false;
	a->counting = false;
	if (r < 0) {
		*rc = r;
	} else if (mime_decoder_damaged(&a->decoder)) {
		*rc = ERR_FORMAT;
	} else {
		remember(i, it);
	}
	return true;
}

enum step
imap_fetch_count(struct imap_session *i, int *rc)
{
	struct fetch_args *a = i->args;

	*rc = 0;
	for (; a->counted < a->n_items; a->counted++) {
		struct fetch_item *it = &a->items[a->counted];

		if (it->kind != FETCH_BINARY && it->kind != FETCH_BINARY_SIZE)
			continue;
		while (!count_piece(i, it, rc))
			if (imap_spend(i, PIECE))
				return STEP_YIELD;
		if (*rc != 0)
			return STEP_DONE;
	}
	imap_parts_keep(i);
	return STEP_DONE;
}

/* --- sending -------------------------------------------------------------- */

static void
begin_literal(struct imap_session *i, const struct fetch_item *it)
{
	struct fetch_args *a = i->args;

	imap_fetch_set_window(a, it, it->total);
	/* RFC 3516 4.2: a string where there is no NUL in it */
	buf_putf(&i->s.out, " %s{%" PRIu64 "}\r\n", it->has_nul ? "~" : "",
	    a->window_left);
	i->bodies += a->window_left;
	a->streaming = begin(i, it);
}

enum step
imap_fetch_binary(struct imap_session *i, const struct fetch_item *it, int *rc)
{
	struct fetch_args *a = i->args;
	int r;

	*rc = 0;
	if (it->missing) {
		buf_puts(&i->s.out, " NIL");
		return STEP_DONE;
	}
	if (!a->streaming) {
		begin_literal(i, it);
		return STEP_NEXT;
	}
	if (imap_output_full(i))
		return STEP_WAIT_OUTPUT;
	r = a->window_left != 0 ? decode(a) : 0;
	if (r < 0) {
		*rc = r;
		return STEP_DONE;
	}
	imap_fetch_put_window(i);
	if (r > 0)
		return imap_spend(i, PIECE) ? STEP_YIELD : STEP_NEXT;
	a->streaming = false;
	if (a->window_left != 0)
		*rc = ERR_STALE; /* the file isn't what it was */
	return STEP_DONE;
}
