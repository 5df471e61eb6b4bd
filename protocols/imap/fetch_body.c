/*
 * Sections, streamed from the file in slices.  The length of the literal is
 * known before its first byte: from the table of parts, or for
 * HEADER.FIELDS by choosing the fields once to count them.  The chosen fields
 * are kept if they are short, as they mostly are, else chosen again to be
 * sent.
 */
#include <inttypes.h>

#include "protocols/imap/fetch.h"
#include "protocols/imap/fields.h"

enum { CHUNK = 32 * 1024, KEEP_MAX = 64 * 1024 };

static void
count_bytes(struct imap_session *i, const struct fetch_item *it, uint64_t n)
{
	if (it->what == MIME_SECTION_HEADER || it->what == MIME_SECTION_MIME)
		i->headers += n;
	else
		i->bodies += n;
}

bool
imap_fetch_span(struct imap_session *i, const struct fetch_item *it)
{
	struct fetch_args *a = i->args;
	const struct mime_span *h;

	if (a->has_head && it->n_path == 0 && it->what == MIME_SECTION_HEADER) {
		struct mime_count c = { .len = 0 };

		mime_count_feed(&c, a->source.bytes);
		a->span = (struct mime_span){ 0, c.len, c.wire, c.lines };
		return true;
	}
	if (it->n_path == 0 && it->what == MIME_SECTION_ALL) {
		a->span = (struct mime_span){ .len = a->file_size,
			.wire = a->wire_size };
		return true;
	}
	if (it->n_path == 0 && it->what == MIME_SECTION_TEXT) {
		h = &i->work->parsed.msg.parts[0].header;
		if (h->len > a->file_size || h->wire > a->wire_size)
			return false;
		a->span = (struct mime_span){ .off = h->off + h->len,
			.len = a->file_size - h->len,
			.wire = a->wire_size - h->wire };
		return true;
	}
	return mime_section_span(
	    &i->work->parsed.msg, it->path, it->n_path, it->what, &a->span);
}

/* --- plain sections ------------------------------------------------------ */

static void
begin_wire(struct imap_session *i, const struct fetch_item *it)
{
	struct fetch_args *a = i->args;

	mime_wire_init(&a->wire, &a->source, &a->span, it->from, it->count);
	if (it->from != 0 && i->work->mark.uid == a->uid &&
	    i->work->mark.off == a->span.off &&
	    i->work->mark.len == a->span.len)
		mime_wire_resume(&a->wire, &i->work->mark.mark);
	buf_putf(&i->s.out, " {%" PRIu64 "}\r\n", mime_wire_left(&a->wire));
	count_bytes(i, it, mime_wire_left(&a->wire));
	a->streaming = true;
}

static enum step
pump_wire(struct imap_session *i, const struct fetch_item *it, int *rc)
{
	struct fetch_args *a = i->args;
	size_t had = buf_len(&i->s.out);
	int r;

	if (imap_output_full(i))
		return STEP_WAIT_OUTPUT;
	r = mime_wire_step(&a->wire, &i->s.out, session_output_mark(&i->s));
	if (r == MIME_WIRE_MORE)
		return imap_spend(i, buf_len(&i->s.out) - had + CHUNK)
		    ? STEP_YIELD
		    : STEP_NEXT;
	if (r != MIME_WIRE_END) {
		*rc = r;
		return STEP_DONE;
	}
	if (it->partial) { /* the next piece is often asked for next */
		i->work->mark.uid = a->uid;
		i->work->mark.off = a->span.off;
		i->work->mark.len = a->span.len;
		i->work->mark.mark = mime_wire_mark(&a->wire);
	}
	a->streaming = false;
	return STEP_DONE;
}

/* --- HEADER.FIELDS ------------------------------------------------------- */

static void
begin_filter(struct fetch_args *a, const struct fetch_item *it)
{
	mime_filter_init(&a->filter, it->names, it->n_names, it->not );
	a->filtering = true;
	a->filter_at = 0;
}

/* The next bytes of the header through the filter; 0, 1 at the end, ERR_*. */
static int
feed_filter(struct fetch_args *a, struct buf *out)
{
	uint8_t chunk[CHUNK];
	uint64_t want = a->span.len - a->filter_at;
	ssize_t got;

	if (want == 0) {
		mime_filter_finish(&a->filter, out);
		return 1;
	}
	if (want > sizeof(chunk))
		want = sizeof(chunk);
	got = a->source.read(
	    &a->source, chunk, (size_t)want, a->span.off + a->filter_at);
	if (got <= 0)
		return got < 0 ? ERR_SYS : ERR_STALE;
	a->filter_at += (uint64_t)got;
	mime_filter_feed(&a->filter, slice_of(chunk, (size_t)got), out);
	return 0;
}

void
imap_fetch_set_window(
    struct fetch_args *a, const struct fetch_item *it, uint64_t total)
{
	a->window_skip = it->from < total ? it->from : total;
	a->window_left = total - a->window_skip;
	if (a->window_left > it->count)
		a->window_left = it->count;
}

void
imap_fetch_put_window(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	struct slice s = buf_slice(&a->scratch);
	size_t n = a->window_skip < s.n ? (size_t)a->window_skip : s.n;

	a->window_skip -= n;
	s = slice_skip(s, n);
	if (s.n > a->window_left)
		s.n = (size_t)a->window_left;
	a->window_left -= s.n;
	buf_put(&i->s.out, s);
	buf_reset(&a->scratch);
}

static void
end_filter(struct fetch_args *a)
{
	mime_filter_fini(&a->filter);
	a->filtering = false;
}

/* First pass: how long it is. */
static enum step
count_fields(struct imap_session *i, const struct fetch_item *it, int *rc)
{
	struct fetch_args *a = i->args;
	int r = feed_filter(a, a->overflow ? NULL : &a->scratch);

	if (buf_len(&a->scratch) > KEEP_MAX || !buf_ok(&a->scratch)) {
		a->overflow = true;
		buf_fini(&a->scratch);
	}
	if (r < 0) {
		*rc = r;
		return STEP_DONE;
	}
	if (r == 0)
		return imap_spend(i, CHUNK) ? STEP_YIELD : STEP_NEXT;
	imap_fetch_set_window(a, it, mime_filter_len(&a->filter));
	end_filter(a);
	buf_putf(&i->s.out, " {%" PRIu64 "}\r\n", a->window_left);
	count_bytes(i, it, a->window_left);
	if (!a->overflow) {
		imap_fetch_put_window(i);
		return STEP_DONE;
	}
	begin_filter(a, it);
	a->streaming = true;
	return STEP_NEXT;
}

/* Second pass: what didn't fit is sent as it is chosen. */
static enum step
pump_fields(struct imap_session *i, int *rc)
{
	struct fetch_args *a = i->args;
	int r;

	if (imap_output_full(i))
		return STEP_WAIT_OUTPUT;
	r = feed_filter(a, &a->scratch);
	if (r < 0) {
		*rc = r;
		return STEP_DONE;
	}
	imap_fetch_put_window(i);
	if (r == 0)
		return imap_spend(i, CHUNK) ? STEP_YIELD : STEP_NEXT;
	end_filter(a);
	a->streaming = false;
	if (a->window_left != 0)
		*rc = ERR_STALE; /* the file isn't what it was */
	return STEP_DONE;
}

/* Fields that were chosen before the file was last looked at. */
static void
put_kept(struct imap_session *i, const struct fetch_item *it)
{
	struct fetch_args *a = i->args;
	struct slice kept = buf_slice(&i->work->kept_fields);
	size_t n = imap_fields_len(kept, it->set);

	imap_fetch_set_window(a, it, n);
	buf_put(&i->s.out, SLICE(" {"));
	buf_putu(&i->s.out, a->window_left);
	buf_put(&i->s.out, SLICE("}\r\n"));
	count_bytes(i, it, a->window_left);
	if (a->window_left == n) {
		imap_fields_put(kept, it->set, &i->s.out);
	} else {
		buf_reset(&a->scratch);
		imap_fields_put(kept, it->set, &a->scratch);
		imap_fetch_put_window(i);
	}
}

/* ------------------------------------------------------------------------- */

enum step
imap_fetch_section(struct imap_session *i, const struct fetch_item *it, int *rc)
{
	struct fetch_args *a = i->args;

	*rc = 0;
	if (it->set != 0 && a->has_fields) {
		put_kept(i, it);
		return STEP_DONE;
	}
	if (a->streaming)
		return it->fields ? pump_fields(i, rc) : pump_wire(i, it, rc);
	if (a->filtering)
		return count_fields(i, it, rc);
	if (!imap_fetch_span(i, it)) {
		buf_puts(&i->s.out, " NIL");
		return STEP_DONE;
	}
	if (!it->fields) {
		begin_wire(i, it);
		return STEP_NEXT;
	}
	a->overflow = false;
	buf_reset(&a->scratch);
	begin_filter(a, it);
	return STEP_NEXT;
}
