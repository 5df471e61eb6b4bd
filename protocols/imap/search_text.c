/*
 * Text of a message for SEARCH: header fields with their encoded words
 * decoded, body text with its transfer encoding and charset decoded.
 *
 * A header is read in pieces that end between two fields, so that a header of
 * any size needs little memory; a field longer than that is looked at in
 * pieces.
 */
#include "base/fsx.h"
#include "protocols/imap/fields.h"
#include "protocols/imap/kept.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/search.h"
#include "protocols/mime/date.h"
#include "protocols/mime/header.h"

enum {
	HEAD_CHUNK = 16 * 1024,
	HELD_MAX = 64 * 1024,
	BODY_CHUNK = 32 * 1024,
	DECODED_MAX = 1024 * 1024,
};

/* --- reading headers ----------------------------------------------------- */

struct header_reader {
	struct imap_session *i;
	uint64_t off, len; /* the stretch of the file */
	bool end;
};

/* Read more into held; false at the end or on failure. */
static bool
read_more(struct header_reader *r)
{
	struct search_args *a = r->i->args;
	struct search_text *s = &a->text;
	uint64_t left = r->len - s->at;
	size_t want = left < HEAD_CHUNK ? (size_t)left : HEAD_CHUNK;
	uint8_t *to;
	ssize_t got;

	if (want == 0)
		return false;
	to = buf_reserve(&s->held, want);
	if (to == NULL)
		return false;
	got = fsx_pread(a->fd, to, want, (off_t)(r->off + s->at));
	if (got <= 0)
		return false;
	buf_advance(&s->held, (size_t)got);
	s->at += (uint64_t)got;
	return true;
}

/*
 * The next field, valid until the next call.  False at the end of the header.
 * A field is complete when another line follows that doesn't continue it.
 */
static bool
next_field(struct header_reader *r, struct mime_header_field *f, size_t *used)
{
	struct search_args *a = r->i->args;
	struct search_text *s = &a->text;

	buf_drain(&s->held, *used);
	*used = 0;
	for (;;) {
		struct slice rest = buf_slice(&s->held);
		size_t had = rest.n;
		bool any = mime_header_next(&rest, f);

		if (rest.n > 1 || r->end || had >= HELD_MAX - HEAD_CHUNK) {
			*used = had - rest.n;
			return any;
		}
		if (!read_more(r))
			r->end = true;
	}
}

static bool
value_has(struct slice raw, const struct imap_needle *needle)
{
	struct buf text, prepared;
	bool found;

	buf_init(&text, DECODED_MAX);
	buf_init(&prepared, 4 * DECODED_MAX);
	imap_key_decode(raw, &text);
	imap_casemap(buf_slice(&text), &prepared);
	found = imap_needle_in(needle, buf_slice(&prepared));
	buf_fini(&prepared);
	buf_fini(&text);
	return found;
}

/* --- HEADER, FROM, …, SENTON, … ------------------------------------------ */

static bool
days_test(const struct search_test *t, int64_t days)
{
	if (t->op == SEARCH_SENTBEFORE)
		return days < t->days;
	if (t->op == SEARCH_SENTON)
		return days == t->days;
	return days >= t->days;
}

static bool
date_test(const struct search_test *t, struct slice raw)
{
	struct mime_date d;
	struct buf plain;
	bool ok;

	buf_init(&plain, HELD_MAX);
	mime_unfold(raw, &plain);
	ok = mime_date_parse(buf_slice(&plain), &d);
	buf_fini(&plain);
	if (!ok)
		return false;
	/* RFC 3501 6.4.4: disregarding time and timezone */
	return days_test(t, mime_date_days(d.year, d.month, d.day));
}

/* What is kept of the field that a test looks at; CACHE_N_KINDS: nothing. */
static enum cache_kind
kept_kind(const struct search_test *t)
{
	if (t->op != SEARCH_HEADER)
		return CACHE_DATE;
	switch (imap_fields_number(t->name)) {
	case -1:
		return CACHE_N_KINDS;
	case IMAP_F_SUBJECT:
		return CACHE_SUBJECT;
	case IMAP_F_FROM:
		return CACHE_FROM;
	case IMAP_F_TO:
		return CACHE_TO;
	case IMAP_F_CC:
		return CACHE_CC;
	case IMAP_F_BCC:
		return CACHE_BCC;
	default:
		return CACHE_FIELDS;
	}
}

static bool
kept_has(const struct search_test *t, enum cache_kind kind, struct slice kept)
{
	struct slice rest = imap_fields_begin(kept);
	struct imap_kept_field f;
	int64_t epoch_s;
	int32_t days;

	if (kind == CACHE_DATE)
		return imap_key_date_get(kept, &epoch_s, &days) &&
		    days_test(t, days);
	if (kind != CACHE_FIELDS)
		return kept.n != 0 && imap_needle_in(&t->needle, kept);
	while (imap_fields_next(&rest, &f))
		if ((int)f.number == imap_fields_number(t->name) &&
		    value_has(imap_fields_value(&f), &t->needle))
			return true;
	return false;
}

bool
imap_search_kept(
    struct imap_session *i, const struct search_test *t, bool *ok, bool *match)
{
	struct search_args *a = i->args;
	enum cache_kind kind = kept_kind(t);
	struct slice kept;
	bool read;
	int rc;

	if (kind == CACHE_N_KINDS)
		return false;
	rc = imap_kept(i, a->m->uid, kind, &kept, &read);
	*match = rc == 0 && kept_has(t, kind, kept);
	*ok = rc == 0;
	(void)imap_spend(i, read ? HEAD_CHUNK : kept.n);
	/* of a header that is too long to be kept, the file has the rest */
	return rc != ERR_LIMIT;
}

static void
begin_text(struct search_text *s, const struct search_test *t)
{
	*s = (struct search_text){ .begun = true };
	if (t->op >= SEARCH_BODY)
		imap_finder_init(&s->finder, &t->needle);
	buf_init(&s->held, HELD_MAX + HEAD_CHUNK);
}

void
imap_search_text_close(struct imap_session *i)
{
	struct search_args *a = i->args;
	struct search_text *s = &a->text;

	if (!s->begun)
		return;
	if (s->in_body)
		mime_text_fini(&s->text);
	imap_finder_fini(&s->finder);
	buf_fini(&s->held);
	s->begun = false;
	s->in_body = false;
}

enum step
imap_search_header(
    struct imap_session *i, const struct search_test *t, bool *match)
{
	struct search_args *a = i->args;
	struct header_reader r = { .i = i, .len = a->file_size };
	struct mime_header_field f;
	bool date = t->op != SEARCH_HEADER, found = false, done = false;
	struct slice name = date ? SLICE("Date") : t->name;
	size_t used = 0, work = HEAD_CHUNK;

	if (!a->text.begun)
		begin_text(&a->text, t);
	while (!done && next_field(&r, &f, &used)) {
		work += f.raw.n;
		if (f.name.n != 0 && slice_ieq(f.name, name)) {
			found = date ? date_test(t, f.value)
				     : value_has(f.value, &t->needle);
			/* RFC 5322 3.6: there is one Date */
			done = date || found;
		} else if (imap_spend(i, f.raw.n)) {
			buf_drain(&a->text.held, used);
			return STEP_YIELD;
		}
	}
	(void)imap_spend(i, work);
	imap_search_text_close(i);
	*match = found;
	return STEP_DONE;
}

/* --- BODY and TEXT ------------------------------------------------------- */

/* Whether a part's header is text to be searched, and its body. */
static bool
header_counts(
    const struct mime_message *m, uint32_t part, const struct search_test *t)
{
	uint32_t parent = m->parts[part].parent;

	/* TEXT means headers, too; those of parts have names of files */
	if (t->op == SEARCH_TEXT)
		return true;
	/* of an encapsulated message, which is body text of the outer one */
	return parent != MIME_NONE && m->parts[parent].kind == MIME_MESSAGE;
}

static bool
body_counts(const struct mime_message *m, uint32_t part)
{
	/* message/delivery-status and the like are text for people as well */
	return m->parts[part].kind == MIME_LEAF && !m->parts[part].capped &&
	    (mime_part_is(m, part, SLICE("text")) ||
		mime_part_is(m, part, SLICE("message")));
}

/* A slice of the header of the part; true when it's done. */
static bool
search_head(struct imap_session *i, const struct mime_span *span)
{
	struct search_args *a = i->args;
	struct search_text *s = &a->text;
	struct header_reader r = { .i = i, .off = span->off, .len = span->len };
	struct mime_header_field f;
	struct buf text;
	size_t used = 0;
	bool more;

	buf_init(&text, DECODED_MAX);
	while ((more = next_field(&r, &f, &used)) && !s->finder.found) {
		buf_reset(&text);
		buf_put(&text, f.name);
		buf_puts(&text, ": ");
		imap_key_decode(f.value, &text);
		buf_putc(&text, '\n');
		(void)imap_finder_feed(&s->finder, buf_slice(&text));
		if (imap_spend(i, f.raw.n))
			break;
	}
	buf_drain(&s->held, used);
	buf_fini(&text);
	return !more || s->finder.found;
}

static void
begin_body(struct imap_session *i, struct search_text *s)
{
	const struct mime_message *m = &i->work->parsed.msg;
	struct buf charset;

	buf_init(&charset, 256);
	mime_part_charset(m, s->part, &charset);
	(void)mime_text_init(&s->text,
	    (enum mime_encoding)m->parts[s->part].encoding,
	    buf_slice(&charset));
	buf_fini(&charset);
	s->in_body = true;
	s->at = 0;
}

/* A slice of the body of the part; true when it's done. */
static bool
search_body(struct imap_session *i, const struct mime_span *span)
{
	struct search_args *a = i->args;
	struct search_text *s = &a->text;
	uint8_t chunk[BODY_CHUNK];
	uint64_t left = span->len - s->at;
	size_t want = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
	struct buf text;
	ssize_t got = 0;

	if (want != 0)
		got = fsx_pread(a->fd, chunk, want, (off_t)(span->off + s->at));
	buf_init(&text, DECODED_MAX);
	if (got > 0) {
		s->at += (uint64_t)got;
		mime_text_feed(&s->text, slice_of(chunk, (size_t)got), &text);
	} else {
		mime_text_finish(&s->text, &text);
	}
	(void)imap_finder_feed(&s->finder, buf_slice(&text));
	buf_fini(&text);
	return got <= 0 || s->finder.found;
}

/* A slice of the part under way; true when all of it has been seen. */
static bool
search_part(struct imap_session *i, const struct search_test *t)
{
	struct search_args *a = i->args;
	struct search_text *s = &a->text;
	const struct mime_message *m = &i->work->parsed.msg;
	const struct mime_part *p = &m->parts[s->part];

	if (!s->in_body) {
		if (header_counts(m, s->part, t) && !search_head(i, &p->header))
			return false;
		if (s->finder.found || !body_counts(m, s->part))
			return true;
		begin_body(i, s);
		return false;
	}
	if (!search_body(i, &p->body))
		return false;
	mime_text_fini(&s->text);
	s->in_body = false;
	return true;
}

static void
next_part(struct search_text *s)
{
	s->part++;
	s->at = 0;
	buf_reset(&s->held);
	/* text doesn't go on from one part to the next */
	imap_finder_restart(&s->finder);
}

enum step
imap_search_text(
    struct imap_session *i, const struct search_test *t, bool *match)
{
	struct search_args *a = i->args;
	struct search_text *s = &a->text;
	enum step st;
	int rc = 0;

	if (!s->begun) {
		if (i->work->parsed.parser == NULL &&
		    i->work->parsed.uid != a->m->uid &&
		    imap_search_ruled_out(i, t)) {
			*match = false;
			return STEP_DONE;
		}
		if (i->work->parsed.parser == NULL)
			imap_look_begin(
		    i, a->m->uid, a->fd, a->file_size, true);
		st = imap_look_step(i, &rc);
		if (st != STEP_DONE)
			return st;
		if (rc == 0)
			begin_text(s, t);
	}
	while (rc == 0 && !s->finder.found &&
	    s->part < i->work->parsed.msg.n_parts) {
		if (search_part(i, t))
			next_part(s);
		if (imap_spend(i, 1024 + (s->in_body ? BODY_CHUNK : 0)))
			return STEP_YIELD;
	}
	*match = rc == 0 && s->finder.found;
	imap_search_text_close(i);
	return STEP_DONE;
}
