#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "protocols/pop3/session_impl.h"

enum { CHUNK = 32 * 1024 }; /* of one read; may double on the way out */

/* --- LIST and UIDL of everything ----------------------------------------- */

static enum step
put_all(struct pop3_session *p, bool unique_ids)
{
	struct buf *out = &p->s.out;
	size_t had = buf_len(out);

	for (; p->at < p->drop.n; p->at++) {
		const struct pop3_item *item = &p->drop.v[p->at];
		if (buf_len(out) - had >= STEP_SLICE_OUTPUT)
			return STEP_YIELD;
		if (item->deleted)
			continue;
		buf_putu(out, p->at + 1);
		buf_putc(out, ' ');
		if (unique_ids)
			buf_put(out, pop3_maildrop_unique_id(&p->drop, item));
		else
			buf_putu(out, pop3_maildrop_octets(&p->drop, item));
		buf_puts(out, "\r\n");
	}
	pop3_reply(p, ".");
	return pop3_goto(p, &pop3_step_command);
}

static enum step
list_fn(struct pop3_session *p)
{
	return put_all(p, false);
}

static enum step
uidl_fn(struct pop3_session *p)
{
	return put_all(p, true);
}

const struct pop3_step pop3_step_list = { "LIST", list_fn, false, true };
const struct pop3_step pop3_step_uidl = { "UIDL", uidl_fn, false, true };

/* --- RETR and TOP -------------------------------------------------------- */

void
pop3_message_begin(struct pop3_session *p, const struct pop3_item *item,
    bool top, uint64_t lines)
{
	struct err e = { .code = 0 };
	uint64_t file_size;
	int rc;

	assert(p->fd < 0);
	rc =
	    mailbox_open_message(p->mailbox, item->uid, &p->fd, &file_size, &e);
	if (rc != 0) {
		p->fd = -1;
		if (rc == ERR_NOT_FOUND) {
			pop3_reply(p, "-ERR Message is no longer there.");
			return;
		}
		pop3_log_error(p, "cannot read a message", rc, &e);
		pop3_reply(p, "-ERR [SYS/TEMP] Message cannot be read.");
		return;
	}
	if (top)
		pop3_reply(p, "+OK Top of message follows.");
	else
		buf_putf(&p->s.out, "+OK %" PRIu64 " octets follow.\r\n",
		    pop3_maildrop_octets(&p->drop, item));
	p->uid = item->uid;
	p->off = 0;
	p->is_top = top;
	pop3_stuff_init(&p->stuff, lines);
	p->wrap = 0;
	/* gone since it was opened: it goes out as it is */
	if (pop3_maildrop_wraps(&p->drop, item) &&
	    mailbox_email_id(p->mailbox, item->uid, &p->wrap) != 0)
		p->wrap = 0;
	if (p->wrap != 0)
		pop3_wrap_head(p);
	(void)pop3_goto(p, &pop3_step_send);
}

static enum step
sent(struct pop3_session *p)
{
	if (p->wrap != 0)
		pop3_wrap_tail(p);
	pop3_stuff_end(&p->stuff, &p->s.out);
	(void)close(p->fd);
	p->fd = -1;
	return pop3_goto(p, p->is_top ? &pop3_step_command : &pop3_step_seen);
}

/*
 * The response is half out and can't be taken back: only a stream that ends
 * without the final dot tells the client that this isn't the message.
 */
static enum step
send_failed(struct pop3_session *p)
{
	struct err e = { .code = 0 };
	int rc = err_sys(&e, "reading message %" PRIu32, p->uid);

	pop3_log_error(p, "cannot read a message", rc, &e);
	return pop3_end(p, SESSION_ERROR);
}

static enum step
send_fn(struct pop3_session *p)
{
	uint8_t chunk[CHUNK];
	size_t used;
	ssize_t got;

	if (buf_len(&p->s.out) >= session_output_mark(&p->s))
		return STEP_WAIT_OUTPUT;
	while (buf_len(&p->s.out) < session_output_mark(&p->s)) {
		if (p->stuff.done)
			return sent(p);
		got = fsx_pread(p->fd, chunk, sizeof(chunk), (off_t)p->off);
		if (got < 0)
			return send_failed(p);
		p->off += (uint64_t)got;
		used = pop3_stuff_feed(
		    &p->stuff, slice_of(chunk, (size_t)got), &p->s.out);
		*(p->is_top ? &p->top : &p->retr) += used;
		if (got == 0)
			return sent(p);
	}
	return STEP_YIELD;
}

const struct pop3_step pop3_step_send = { "send", send_fn, false, true };

/* --- \Seen --------------------------------------------------------------- */

static bool
is_seen(struct pop3_session *p)
{
	struct view *v = mailbox_view(p->mailbox);
	uint32_t seq = view_find(v, p->uid);
	bool seen = seq == 0 || (view_get(v, seq)->flags & MESSAGE_SEEN) != 0;

	view_unref(&v);
	return seen;
}

static enum step
seen_done(struct pop3_session *p, int rc, const struct err *e)
{
	/* The client has its message; what is lost is a mark. */
	if (rc != 0)
		pop3_log_error(p, "cannot mark a message as seen", rc, e);
	change_flags_free(&p->flags);
	return pop3_goto(p, &pop3_step_command);
}

static enum step
seen_fn(struct pop3_session *p)
{
	static const struct flags_change seen = { .how = FLAGS_ADD,
		.flags = MESSAGE_SEEN,
		.unchanged_since = UINT64_MAX };
	struct err e = { .code = 0 };
	const uint32_t *modified;
	size_t n_modified, missing;
	enum step st;
	int rc;

	if (p->flags == NULL) {
		if (is_seen(p))
			return seen_done(p, 0, &e);
		rc = change_flags_begin(
		    p->mailbox, &p->uid, 1, &seen, &p->flags, &e);
		if (pop3_retry(p, rc))
			return STEP_WAIT_PEER;
		if (rc != 0)
			return seen_done(p, rc, &e);
	}
	st = change_flags_step(p->flags, p->s.waker, p->now, p->wall);
	if (st != STEP_DONE)
		return st;
	rc = change_flags_result(p->flags, &modified, &n_modified, &missing);
	return seen_done(p, rc, &e);
}

const struct pop3_step pop3_step_seen = { "seen", seen_fn, false, false };
