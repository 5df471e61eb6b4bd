/*
 * What must be known of a message before the first byte of its response: a
 * literal, once announced, must be kept, and a message that somebody expunged
 * meanwhile has no response at all (RFC 2180 4.1).
 */
#include <unistd.h>

#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/imap/fetch.h"

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
	for (size_t k = 0; k < FETCH_N_TEXTS; k++)
		buf_fini(&a->texts[k]);
	buf_fini(&a->scratch);
	a->uid = 0;
}

/* --- texts --------------------------------------------------------------- */

/* Take from the cache what is there; returns what must be looked into. */
static void
take_cached(
    struct imap_session *i, struct fetch_args *a, bool *header, bool *whole)
{
	for (size_t k = 0; k < FETCH_N_TEXTS; k++) {
		if (!a->needs_text[k])
			continue;
		buf_init(&a->texts[k], FETCH_TEXT_MAX);
		if (mailbox_cache_get(
			i->mailbox, a->uid, (enum cache_kind)k, &a->texts[k]) &&
		    buf_len(&a->texts[k]) != 0)
			continue;
		if (k == CACHE_ENVELOPE)
			*header = true;
		else
			*whole = true;
	}
}

static int
make_texts(struct imap_session *i, struct fetch_args *a)
{
	const struct mime_message *m = &i->parsed.msg;

	for (size_t k = 0; k < FETCH_N_TEXTS; k++) {
		struct buf *b = &a->texts[k];

		if (!a->needs_text[k] || buf_len(b) != 0)
			continue;
		if (k == CACHE_ENVELOPE)
			imap_envelope_put(b, m, 0);
		else
			imap_bodystructure_put(b, m, k == CACHE_BODYSTRUCTURE);
		if (!buf_ok(b))
			return ERR_LIMIT;
		mailbox_cache_put(
		    i->mailbox, a->uid, (enum cache_kind)k, buf_slice(b));
	}
	return 0;
}

/* --- the whole ----------------------------------------------------------- */

static int
open_file(struct imap_session *i, struct fetch_args *a)
{
	struct err e = { .code = 0 };
	int rc =
	    mailbox_open_message(i->mailbox, a->uid, &a->fd, &a->file_size, &e);

	if (rc != 0) {
		a->fd = -1;
		if (rc != ERR_NOT_FOUND)
			imap_log_error(i, "opening a message", rc, &e);
		return rc;
	}
	a->source = mime_source_fd(a->fd);
	return 0;
}

/* A size that can be: LF may become CRLF, nothing else changes. */
static bool
is_plausible(const struct fetch_args *a)
{
	return a->wire_size != UINT64_MAX && a->wire_size >= a->file_size &&
	    a->wire_size / 2 <= a->file_size;
}

/* The first look: information, cache, file. */
static int
first_look(struct imap_session *i, struct fetch_args *a)
{
	bool header = a->needs_header, whole = a->needs_parts, file;
	int rc;

	a->wire_size = UINT64_MAX;
	if (a->needs_info) {
		rc = mailbox_message_info(i->mailbox, a->uid, &a->info);
		if (rc != 0)
			return rc;
		a->wire_size = a->info.wire_size;
	}
	take_cached(i, a, &header, &whole);
	file = a->needs_file || header || whole ||
	    (a->needs_size && a->wire_size == UINT64_MAX);
	if (!file)
		return 0;
	rc = open_file(i, a);
	if (rc != 0)
		return rc;
	if (a->needs_size && !is_plausible(a))
		whole = true;
	if (header || whole)
		imap_look_begin(i, a->uid, a->fd, whole);
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
	if (*rc == 0 && i->parsed.uid == a->uid && i->parsed.whole)
		a->wire_size = i->parsed.msg.all.wire;
	if (*rc == 0)
		*rc = make_texts(i, a);
	return STEP_DONE;
}
