/*
 * What must be known of a message before the first byte of its response: a
 * literal, once announced, must be kept, and a message that somebody expunged
 * meanwhile has no response at all (RFC 2180 4.1).
 */
#include <unistd.h>

#include "base/fsx.h"
#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/imap/fetch.h"
#include "protocols/imap/kept.h"
#include "protocols/imap/preview.h"

enum {
	HEAD = IMAP_PARTS_MIN,	/* read at once of a message */
	COUNT_MAX = 256 * 1024, /* counted in one go */
	TEXT_KEEP = 16 * 1024,	/* memory kept from message to message */
	AHEAD_FROM = 2,		/* files in a row before more are read */
};

void
imap_fetch_close(struct imap_session *i)
{
	struct fetch_args *a = i->args;

	imap_look_drop(i);
	if (a->filtering)
		mime_filter_fini(&a->filter);
	a->filtering = false;
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
	a->opened = a->has_begin = false;
	for (size_t k = 0; k < FETCH_N_TEXTS; k++) {
		buf_reset(&a->texts[k]);
		if (a->texts[k].cap > TEXT_KEEP)
			buf_fini(&a->texts[k]);
	}
	buf_fini(&a->scratch);
	a->has_fields = a->has_head = a->has_preview = false;
	buf_reset(&a->preview_text);
	a->counted = 0;
	a->counting = false;
	a->uid = 0;
}

/* --- what is kept -------------------------------------------------------- */

/* Take from the cache what is there; returns what must be looked into. */
static void
take_cached(
    struct imap_session *i, struct fetch_args *a, bool *header, bool *whole)
{
	struct slice kept;

	for (size_t k = 0; k < FETCH_N_TEXTS; k++) {
		if (!a->needs_text[k])
			continue;
		if (mailbox_cache_get(
			i->mailbox, a->uid, (enum cache_kind)k, &kept) &&
		    kept.n != 0)
			buf_put(&a->texts[k], kept);
		else if (k == CACHE_ENVELOPE)
			*header = true;
		else
			*whole = true;
	}
	if (a->preview) {
		a->has_preview =
		    mailbox_cache_get(i->mailbox, a->uid, CACHE_PREVIEW, &kept);
		if (a->has_preview)
			buf_put(&a->preview_text, kept);
		else if (!a->preview_lazy)
			*whole = true;
	}
	if (a->needs_fields) {
		buf_reset(&i->work->kept_fields);
		a->has_fields =
		    mailbox_cache_get(i->mailbox, a->uid, CACHE_FIELDS, &kept);
		if (a->has_fields)
			buf_put(&i->work->kept_fields, kept);
	}
}

/* The header of the message, if it is kept and nothing else is asked of it
 * that needs the file. */
static void
take_head(struct imap_session *i, struct fetch_args *a)
{
	struct buf *head = &i->work->kept_key;
	struct slice kept;

	a->has_head =
	    mailbox_cache_get(i->mailbox, a->uid, CACHE_HEADER, &kept);
	if (!a->has_head)
		return;
	buf_reset(head);
	buf_put(head, kept);
	a->source = mime_source_bytes(buf_slice(head));
}

static void
keep_head(struct imap_session *i, const struct fetch_args *a, struct slice head)
{
	size_t n = imap_header_len(head);

	if (n != 0)
		mailbox_cache_put(
		    i->mailbox, a->uid, CACHE_HEADER, slice_first(head, n));
}

static int
make_texts(struct imap_session *i, struct fetch_args *a)
{
	const struct mime_message *m = &i->work->parsed.msg;

	for (size_t k = 0; k < FETCH_N_TEXTS; k++) {
		struct buf *b = &a->texts[k];

		if (!a->needs_text[k] || buf_len(b) != 0)
			continue;
		if (k == CACHE_ENVELOPE)
			imap_envelope_put_next(b, m, 0, &i->work->addresses);
		else
			imap_bodystructure_put(b, m, k == CACHE_BODYSTRUCTURE);
		if (!buf_ok(b))
			return ERR_LIMIT;
		mailbox_cache_put(
		    i->mailbox, a->uid, (enum cache_kind)k, buf_slice(b));
	}
	return 0;
}

/* RFC 8970: made of the first bytes of a part. */
static int
make_preview(struct imap_session *i, struct fetch_args *a)
{
	const struct mime_message *m = &i->work->parsed.msg;
	uint8_t body[IMAP_PREVIEW_READ];
	uint32_t part = imap_preview_part(m);
	struct err e = { .code = 0 };
	uint64_t want;
	ssize_t got;

	if (!a->preview || a->has_preview || a->preview_lazy)
		return 0;
	if (part != MIME_NONE) {
		want = m->parts[part].body.len;
		if (want > sizeof(body))
			want = sizeof(body);
		got = a->source.read(
		    &a->source, body, (size_t)want, m->parts[part].body.off);
		if (got < 0) {
			(void)err_sys(&e, "reading message %u", a->uid);
			imap_log_error(i, "reading a message", ERR_SYS, &e);
			return ERR_SYS;
		}
		imap_preview_make(
		    m, part, slice_of(body, (size_t)got), &a->preview_text);
	}
	mailbox_cache_put(
	    i->mailbox, a->uid, CACHE_PREVIEW, buf_slice(&a->preview_text));
	a->has_preview = true;
	return 0;
}

/* --- the whole ----------------------------------------------------------- */

/* The message, if it was read ahead. */
static bool
take_ahead(struct fetch_args *a)
{
	struct ahead_message m;

	if (a->ahead == NULL || !ahead_take(a->ahead, a->uid, &m))
		return false;
	a->fd = m.fd;
	a->file_size = m.file_size;
	a->begin = m.bytes;
	a->has_begin = true;
	return true;
}

/* Messages whose files were needed are followed by more of their kind. */
static void
ask_ahead(struct imap_session *i, struct fetch_args *a)
{
	uint32_t seq;

	if (++a->n_opened < AHEAD_FROM || a->changed)
		return;
	if (a->ahead == NULL && (a->ahead = ahead_begin(i->mailbox)) == NULL)
		return;
	if (a->asked < a->seq)
		a->asked = a->seq;
	while ((seq = imap_set_next(&a->set, a->asked + 1)) != 0 &&
	    (a->end == 0 || seq < a->end) &&
	    ahead_ask(a->ahead, view_get(i->view, seq)->uid))
		a->asked = seq;
}

static int
open_file(struct imap_session *i, struct fetch_args *a)
{
	struct err e = { .code = 0 };
	int rc;

	if (!take_ahead(a)) {
		rc = mailbox_open_message(
		    i->mailbox, a->uid, &a->fd, &a->file_size, &e);
		if (rc != 0) {
			a->fd = -1;
			if (rc != ERR_NOT_FOUND)
				imap_log_error(i, "opening a message", rc, &e);
			return rc;
		}
	}
	a->opened = true;
	if (!a->has_head)
		a->source = a->fd >= 0 ? mime_source_fd(a->fd)
				       : mime_source_bytes(a->begin);
	ask_ahead(i, a);
	return 0;
}

/* A size that can be: LF may become CRLF, nothing else changes. */
static bool
is_plausible(const struct fetch_args *a)
{
	return a->wire_size != UINT64_MAX && a->wire_size >= a->file_size &&
	    a->wire_size / 2 <= a->file_size;
}

/* The size on the wire, counted from what follows the head. */
static int
count_size(struct imap_session *i, struct fetch_args *a, struct slice head)
{
	uint8_t chunk[HEAD];
	struct mime_count c = { .len = 0 };
	struct err e = { .code = 0 };
	ssize_t got;

	mime_count_feed(&c, head);
	while (c.len < a->file_size) {
		got = fsx_pread(a->fd, chunk, sizeof(chunk), (off_t)c.len);
		if (got < 0) {
			(void)err_sys(&e, "reading message %u", a->uid);
			imap_log_error(i, "reading a message", ERR_SYS, &e);
			return ERR_SYS;
		}
		if (got == 0)
			break;
		mime_count_feed(&c, slice_of(chunk, (size_t)got));
	}
	a->wire_size = c.wire;
	mailbox_set_wire_size(i->mailbox, a->uid, c.wire);
	return 0;
}

/* What of a message must be looked into. */
struct looking {
	bool header, whole, fields, size, head;
	bool parts; /* are known already */
};

/*
 * The beginning of the file, which mostly is all of it, read once for all
 * who want it.
 */
static int
read_begin(struct imap_session *i, struct fetch_args *a, uint8_t *head,
    struct slice *out)
{
	struct err e = { .code = 0 };
	ssize_t got;

	if (a->has_begin) {
		*out = a->begin;
		return 0;
	}
	got = fsx_pread(a->fd, head, HEAD, 0);
	if (got < 0) {
		(void)err_sys(&e, "reading message %u", a->uid);
		imap_log_error(i, "reading a message", ERR_SYS, &e);
		return ERR_SYS;
	}
	*out = slice_of(head, (size_t)got);
	return 0;
}

static int
look_at_head(struct imap_session *i, struct fetch_args *a, struct looking w)
{
	uint8_t head[HEAD];
	struct slice s;
	int rc = read_begin(i, a, head, &s);

	if (rc != 0)
		return rc;
	if (a->needs_head && !a->has_head)
		keep_head(i, a, s);
	if (w.fields) {
		a->has_fields = imap_kept_make(
		    i, a->uid, s, s.n >= a->file_size, &i->work->kept_fields);
		w.header = w.header || (!a->has_fields && !w.parts);
	}
	if (w.size && !w.whole && a->file_size <= COUNT_MAX) {
		if ((rc = count_size(i, a, s)) != 0)
			return rc;
	} else {
		w.whole = w.whole || w.size;
	}
	if (w.header || w.whole) {
		imap_look_begin(i, a->uid, a->fd, a->file_size, w.whole);
		imap_look_feed(i, s);
	}
	return 0;
}

/*
 * What the index tells of the message.  What it doesn't know yet it asks the
 * file for, which opening that has done already.
 */
static int
take_info(struct imap_session *i, struct fetch_args *a)
{
	int rc;

	a->wire_size = UINT64_MAX;
	if (!a->needs_info)
		return 0;
	rc = imap_message_info(i, a->uid, &a->info);
	if (rc == 0)
		a->wire_size = a->info.wire_size;
	return rc;
}

/* The first look: cache, file, information. */
static int
first_look(struct imap_session *i, struct fetch_args *a)
{
	struct looking w = { .header = false };
	int rc;

	/* gone, and its mod-sequence with it */
	if (a->has_modseq &&
	    imap_newest(a->newest, view_get(i->view, a->seq))->modseq == 0)
		return ERR_NOT_FOUND;
	if (a->needs_email_id &&
	    (rc = mailbox_email_id(i->mailbox, a->uid, &a->email_id)) != 0)
		return rc;
	take_cached(i, a, &w.header, &w.whole);
	w.fields = a->needs_fields && !a->has_fields;
	if (a->needs_head && !a->needs_file && !w.header && !w.whole &&
	    !w.fields)
		take_head(i, a);
	w.head = a->needs_head && !a->has_head;
	if (a->needs_file || w.header || w.whole || w.fields || w.head)
		if ((rc = open_file(i, a)) != 0)
			return rc;
	if ((rc = take_info(i, a)) != 0)
		return rc;
	if (!a->opened) {
		a->n_opened = 0;
		if (!a->needs_size || a->wire_size != UINT64_MAX)
			return 0;
		if ((rc = open_file(i, a)) != 0)
			return rc;
	}
	w.parts = a->needs_parts && !w.header && !w.whole && imap_parts_take(i);
	if (w.parts)
		a->wire_size = i->work->parsed.msg.all.wire;
	w.header = w.header || ((w.head || a->needs_header) && !w.parts);
	w.whole = w.whole || (a->needs_parts && !w.parts);
	w.size = a->needs_size && !is_plausible(a);
	if (w.header || w.whole || w.fields || w.size)
		return look_at_head(i, a, w);
	return 0;
}

enum step
imap_fetch_look(struct imap_session *i, int *rc)
{
	struct fetch_args *a = i->args;
	enum step st;

	*rc = 0;
	if (a->uid == 0) {
		a->uid = view_get(i->view, a->seq)->uid;
		buf_init(&a->scratch, FETCH_TEXT_MAX);
		*rc = first_look(i, a);
	}
	if (*rc == 0) {
		st = imap_look_step(i, rc);
		if (st != STEP_DONE)
			return st;
	}
	/* a pass over all of it is right where the store may be wrong */
	if (*rc == 0 && i->work->parsed.uid == a->uid && i->work->parsed.whole)
		a->wire_size = i->work->parsed.msg.all.wire;
	if (*rc == 0)
		imap_parts_keep(i);
	if (*rc == 0)
		*rc = make_texts(i, a);
	if (*rc == 0)
		*rc = make_preview(i, a);
	if (*rc == 0 && a->needs_binary)
		return imap_fetch_count(i, rc);
	return STEP_DONE;
}
