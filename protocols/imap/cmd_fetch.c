/*
 * FETCH, RFC 3501 6.4.5: from message to message.
 *
 * Messages are taken in batches: those of a batch that have no \Seen and are
 * to get it are marked first, so that their responses can tell of it.  A
 * message is looked at before its response begins; one that is gone has none,
 * and the command ends with NO (RFC 2180 4.1.2).
 */
#include <inttypes.h>

#include "protocols/imap/condstore.h"
#include "protocols/imap/fetch.h"
#include "protocols/imap/nstring.h"
#include "protocols/imap/writer.h"

static const struct imap_step step_look, step_plain, step_put, step_batch;

enum { PASS_OVER = 256 }; /* unchanged messages at a time */

static void
fetch_cleanup(struct imap_session *i)
{
	struct fetch_args *a = i->args;

	imap_fetch_close(i);
	ahead_end(&a->ahead);
	for (size_t k = 0; k < FETCH_N_TEXTS; k++)
		buf_fini(&a->texts[k]);
	buf_fini(&a->preview_text);
	change_flags_free(&a->change);
	imap_vanished_fini(&a->telling);
	if (a->newest != NULL)
		view_unref(&a->newest);
}

/* --- responses ----------------------------------------------------------- */

/* A message as it is now, or as the client knows it if it's gone. */
static const struct message *
message_of(
    const struct imap_session *i, const struct fetch_args *a, uint32_t seq)
{
	const struct message *m = view_get(i->view, seq);

	return a->newest == i->view ? m : imap_newest(a->newest, m);
}

static void
put_flags_item(struct imap_session *i, struct fetch_args *a)
{
	buf_puts(&i->s.out, "FLAGS ");
	imap_put_flags(i, &i->s.out, message_of(i, a, a->seq));
}

/* ENVELOPE, BODY, BODYSTRUCTURE: a piece of their text. */
static enum step
put_text(struct imap_session *i, struct fetch_args *a, size_t kind)
{
	struct slice rest = slice_skip(buf_slice(&a->texts[kind]), a->text_at);
	struct slice piece = slice_first(rest, STEP_SLICE_OUTPUT);

	if (a->text_at == 0)
		buf_putc(&i->s.out, ' ');
	buf_put(&i->s.out, piece);
	a->text_at += piece.n;
	if (piece.n < rest.n)
		return STEP_NEXT;
	a->text_at = 0;
	return STEP_DONE;
}

static enum step
put_number(struct buf *out, uint64_t n)
{
	buf_putc(out, ' ');
	buf_putu(out, n);
	return STEP_DONE;
}

static enum step
put_item(struct imap_session *i, const struct fetch_item *it, int *rc)
{
	struct fetch_args *a = i->args;
	struct buf *out = &i->s.out;

	switch (it->kind) {
	case FETCH_UID:
		return put_number(out, a->uid);
	case FETCH_INTERNALDATE:
		buf_putc(out, ' ');
		imap_put_date_time(out, a->info.internal_ms);
		return STEP_DONE;
	case FETCH_SIZE:
		return put_number(out, a->wire_size);
	case FETCH_ENVELOPE:
		return put_text(i, a, CACHE_ENVELOPE);
	case FETCH_BODY:
		return put_text(i, a, CACHE_BODY);
	case FETCH_BODYSTRUCTURE:
		return put_text(i, a, CACHE_BODYSTRUCTURE);
	case FETCH_SECTION:
		return imap_fetch_section(i, it, rc);
	case FETCH_BINARY:
		return imap_fetch_binary(i, it, rc);
	case FETCH_BINARY_SIZE:
		return put_number(out, it->total);
	case FETCH_PREVIEW:
		buf_putc(out, ' ');
		if (a->has_preview)
			imap_put_string(out, buf_slice(&a->preview_text));
		else
			imap_put_nil(out);
		return STEP_DONE;
	case FETCH_SAVEDATE:
		buf_putc(out, ' ');
		imap_put_date_time(out, a->info.save_ms);
		return STEP_DONE;
	case FETCH_EMAILID:
		buf_putc(out, ' ');
		imap_put_object_id(out, 'M', a->email_id);
		return STEP_DONE;
	case FETCH_THREADID:
		/* RFC 8474 5.2: not supported */
		buf_puts(out, " NIL");
		return STEP_DONE;
	case FETCH_FLAGS:
	case FETCH_MODSEQ:
		break;
	}
	/* put_name() has done it */
	assert(it->kind != FETCH_FLAGS && it->kind != FETCH_MODSEQ);
	return STEP_DONE;
}

/* What stands before an item's value. */
static bool
put_name(
    struct imap_session *i, struct fetch_args *a, const struct fetch_item *it)
{
	if (a->item != 0)
		buf_putc(&i->s.out, ' ');
	if (it->kind == FETCH_FLAGS) {
		put_flags_item(i, a);
		return false;
	}
	if (it->kind == FETCH_MODSEQ) {
		imap_put_modseq(i, &i->s.out, message_of(i, a, a->seq)->modseq);
		return false;
	}
	buf_put(&i->s.out, it->name);
	return true;
}

static enum step
message_done(struct imap_session *i, struct fetch_args *a)
{
	struct buf *out = &i->s.out;
	bool marked = imap_set_has(&a->marked, a->seq);

	/* RFC 3501 6.4.5: a flag that was set by this is told of */
	if (!a->flags && marked) {
		buf_putc(out, ' ');
		put_flags_item(i, a);
	}
	/* RFC 7162 3.2.4 */
	if (i->condstore && marked && !a->has_uid)
		buf_putf(out, " UID %" PRIu32, a->uid);
	if (i->condstore && marked && !a->has_modseq) {
		buf_putc(out, ' ');
		imap_put_modseq(i, out, message_of(i, a, a->seq)->modseq);
	}
	buf_puts(&i->s.out, ")\r\n");
	i->half = false;
	imap_fetch_close(i);
	return imap_goto(i, &step_look);
}

/* A literal that can't be completed: nothing can be said after it. */
static enum step
broken(struct imap_session *i, struct fetch_args *a, int rc)
{
	struct err e = { .code = 0 };

	(void)err_set(&e, rc, "message %" PRIu32 ": %s", a->uid,
	    rc == ERR_STALE ? "file is not what it was" : err_name(rc));
	imap_log_error(i, "sending a message", rc, &e);
	mailbox_set_wire_size(i->mailbox, a->uid, UINT64_MAX);
	return imap_bye(i, SESSION_ERROR, NULL);
}

static enum step
put_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	enum step st;
	int rc = 0;

	while (a->item < a->n_items) {
		const struct fetch_item *it = &a->items[a->item];

		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (!a->named)
			a->named = put_name(i, a, it);
		st = a->named ? put_item(i, it, &rc) : STEP_DONE;
		if (rc != 0)
			return broken(i, a, rc);
		if (st != STEP_DONE)
			return st;
		a->named = false;
		a->item++;
	}
	return message_done(i, a);
}

static const struct imap_step step_put = { "FETCH response", put_fn, false };

/* --- messages ------------------------------------------------------------ */

/* There can be no response for it. */
static enum step
no_response(struct imap_session *i, struct fetch_args *a, int rc)
{
	if (rc == ERR_NOT_FOUND)
		a->n_missing++;
	else if (rc == ERR_FORMAT)
		a->n_unknown_cte++;
	else
		a->n_unread++;
	imap_fetch_close(i);
	return STEP_NEXT;
}

/* RFC 7162 3.1.4.1 */
static bool
is_wanted(
    const struct imap_session *i, const struct fetch_args *a, uint32_t seq)
{
	return !a->changed || message_of(i, a, seq)->modseq > a->changed_since;
}

static enum step
next_message(struct imap_session *i, struct fetch_args *a)
{
	for (int n = 0; n < PASS_OVER; n++) {
		uint32_t seq = imap_set_next(&a->set, a->next);

		if (seq == 0 || (a->end != 0 && seq >= a->end)) {
			a->next = seq == 0 ? 0 : a->end;
			return imap_goto(i, &step_batch);
		}
		a->seq = seq;
		a->next = seq + 1;
		if (is_wanted(i, a, seq))
			return STEP_DONE;
	}
	return imap_spend(i, 32 * PASS_OVER) ? STEP_YIELD : STEP_NEXT;
}

static enum step
look_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	enum step st;
	int rc;

	if (imap_output_full(i))
		return STEP_WAIT_OUTPUT;
	if (a->uid == 0) {
		if (imap_spend(i, 256))
			return STEP_YIELD;
		st = next_message(i, a);
		if (st != STEP_DONE)
			return st;
	}
	st = imap_fetch_look(i, &rc);
	if (st != STEP_DONE)
		return st;
	if (a->opened && imap_spend(i, IMAP_FILE_WORK))
		i->budget = 1; /* pause behind this message */
	if (rc != 0)
		return no_response(i, a, rc);
	a->item = 0;
	a->named = false;
	buf_put(&i->s.out, SLICE("* "));
	buf_putu(&i->s.out, a->seq);
	buf_put(&i->s.out, SLICE(" FETCH ("));
	i->half = true;
	return imap_goto(i, &step_put);
}

static const struct imap_step step_look = { "FETCH look", look_fn, false };

static enum step
plain_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	const struct message *m;
	enum step st;

	for (;;) {
		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (imap_spend(i, 32))
			return STEP_YIELD;
		st = next_message(i, a);
		if (st != STEP_DONE)
			return st;
		m = message_of(i, a, a->seq);
		if (a->has_modseq && m->modseq == 0)
			a->n_missing++; /* gone, and it with it */
		else
			imap_fetch_put_plain(i, m);
	}
}

static const struct imap_step step_plain = { "FETCH index", plain_fn, false };

/* --- \Seen --------------------------------------------------------------- */

static enum step
begin_messages(struct imap_session *i, struct fetch_args *a)
{
	if (a->newest != NULL)
		view_unref(&a->newest);
	a->newest = mailbox_view(i->mailbox);
	imap_sync_keywords(i);
	return imap_goto(i, a->plain ? &step_plain : &step_look);
}

static enum step
syncing_fn(struct imap_session *i)
{
	enum step st = imap_sync_step(i);

	return st == STEP_DONE ? begin_messages(i, i->args) : st;
}

static const struct imap_step step_syncing = { "FETCH sync", syncing_fn, true };

static enum step
marking_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	const uint32_t *modified;
	size_t n_modified, missing;
	int rc;
	enum step st =
	    change_flags_step(a->change, i->s.waker, i->now, i->wall);

	if (st != STEP_DONE)
		return st;
	rc = change_flags_result(a->change, &modified, &n_modified, &missing);
	change_flags_free(&a->change);
	/* what is lost is a mark */
	if (rc != 0 && rc != ERR_LIMIT) {
		imap_log_error(i, "setting \\Seen", rc, NULL);
		a->marked.n = 0;
	}
	imap_sync_begin(i, false, &a->marked);
	return imap_goto(i, &step_syncing);
}

static const struct imap_step step_marking = { "FETCH seen", marking_fn, true };

/* Gather the messages of the next batch that aren't \Seen. */
static size_t
gather_unseen(struct imap_session *i, struct fetch_args *a, uint32_t *uids)
{
	struct view *newest = mailbox_view(i->mailbox);
	uint32_t seq = imap_set_next(&a->set, a->next);
	size_t n = 0;

	a->marked.v = a->marked_v;
	a->marked.n = 0;
	while (seq != 0 && n < FETCH_BATCH) {
		const struct message *m = view_get(i->view, seq);

		const struct message *now = imap_newest(newest, m);

		if ((now->flags & MESSAGE_SEEN) == 0 &&
		    (!a->changed || now->modseq > a->changed_since)) {
			a->marked_v[n] = (struct imap_range){ seq, seq };
			uids[n++] = m->uid;
		}
		seq = imap_set_next(&a->set, seq + 1);
	}
	a->marked.n = n;
	a->end = seq;
	view_unref(&newest);
	return n;
}

static enum step
begin_marking(struct imap_session *i, struct fetch_args *a)
{
	const struct flags_change what = { .how = FLAGS_ADD,
		.flags = MESSAGE_SEEN,
		.unchanged_since = UINT64_MAX };
	uint32_t uids[FETCH_BATCH];
	struct err e = { .code = 0 };
	size_t n = gather_unseen(i, a, uids);
	int rc;

	if (n == 0)
		return begin_messages(i, a);
	rc = change_flags_begin(i->mailbox, uids, n, &what, &a->change, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0) {
		imap_log_error(i, "setting \\Seen", rc, &e);
		a->marked.n = 0;
		return begin_messages(i, a);
	}
	return imap_goto(i, &step_marking);
}

/* --- batches ------------------------------------------------------------- */

static enum step
fetch_done(struct imap_session *i, const struct fetch_args *a)
{
	if (a->n_unread != 0)
		return imap_finish(i, "NO",
		    "[CONTACTADMIN] Some of the messages cannot be read.");
	if (a->n_unknown_cte != 0) /* RFC 3516 4.2 */
		return imap_finish(
		    i, "NO", "[UNKNOWN-CTE] Some parts cannot be decoded.");
	if (a->n_missing != 0)
		return imap_finish(i, "NO",
		    "[EXPUNGEISSUED] Some of the messages no longer exist.");
	return imap_finish(i, "OK", "FETCH completed.");
}

static enum step
batch_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;

	if (a->next == 0 || imap_set_next(&a->set, a->next) == 0)
		return fetch_done(i, a);
	/* RFC 4314 4 */
	if (a->seen && !i->read_only && (i->rights & ACL_SEEN) != 0)
		return begin_marking(i, a);
	a->end = 0;
	return begin_messages(i, a);
}

static const struct imap_step step_batch = { "FETCH batch", batch_fn, false };

/* --- the command ---------------------------------------------------------- */

static enum step
vanished_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	enum step st = imap_vanished_step(i, &a->telling);

	return st == STEP_DONE ? imap_goto(i, &step_batch) : st;
}

static const struct imap_step step_vanished = { "FETCH vanished", vanished_fn,
	false };

static enum step
fetch_fn(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	if (a->has_modseq)
		imap_condstore_enable(i);
	i->cleanup = fetch_cleanup;
	if (a->plain) {
		a->known_flags = arena_zalloc(
		    &i->arena, FETCH_KNOWN_FLAGS, sizeof(*a->known_flags));
		a->plain = a->known_flags != NULL;
		buf_init(&a->scratch, FETCH_TEXT_MAX);
	}
	if (!a->vanished)
		return imap_goto(i, &step_batch);
	/* RFC 7162 3.2.6: before any FETCH response */
	rc = imap_vanished_begin(
	    i, &a->telling, a->wanted, a->changed_since, 1, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return imap_fail(i, "VANISHED", rc, &e);
	return imap_goto(i, &step_vanished);
}

const struct imap_step imap_step_fetch = { "FETCH", fetch_fn, false };
