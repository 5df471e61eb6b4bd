#include <stdlib.h>

#include "base/mem.h"
#include "protocols/pop3/session_impl.h"

enum { SLICE_BYTES = 512 * 1024 /* of the files, read in a step */ };

/* --- which messages ------------------------------------------------------ */

static bool
is_wanted(const struct pop3_session *p)
{
	return p->opt->unicode_type != NULL && *p->opt->unicode_type != '\0';
}

/* False: it can't be read now, and counts as ASCII until the next session. */
static bool
begin_look(struct pop3_session *p, const struct pop3_item *item)
{
	uint64_t file_size;
	int fd;

	if (mailbox_open_message(
		p->mailbox, item->uid, &fd, &file_size, NULL) != 0)
		return false;
	p->headers = MEM_NEW(struct pop3_headers);
	pop3_headers_begin(p->headers, fd, &p->opt->mime);
	return true;
}

static void
end_look(struct pop3_session *p, struct pop3_item *item, int result)
{
	struct err e = { .code = 0 };

	if (result >= 0) {
		item->header = result ? HEADER_8BIT : HEADER_ASCII;
		mailbox_set_header(
		    p->mailbox, item->uid, (enum header_bytes)item->header);
	} else {
		(void)err_sys(&e, "reading message %u", item->uid);
		pop3_log_error(p, "cannot look at a message", result, &e);
	}
	pop3_headers_end(p->headers);
	free(p->headers);
	p->headers = NULL;
}

/* Before the answer to PASS: LIST is to tell sizes as they will be. */
static enum step
headers_fn(struct pop3_session *p)
{
	int64_t budget = SLICE_BYTES;
	int result;

	for (; is_wanted(p) && p->at < p->drop.n; p->at++) {
		struct pop3_item *item = &p->drop.v[p->at];

		if (item->header != HEADER_UNKNOWN)
			continue;
		if (p->headers == NULL && !begin_look(p, item))
			continue;
		if (pop3_headers_step(p->headers, &budget, &result) !=
		    STEP_DONE)
			return STEP_YIELD;
		end_look(p, item, result);
	}
	if (is_wanted(p) && !p->utf8)
		pop3_maildrop_set_surrogate(
		    &p->drop, pop3_surrogate_octets(p->opt->unicode_type));
	pop3_reply(p, "+OK logged in.");
	return pop3_goto(p, &pop3_step_command);
}

const struct pop3_step pop3_step_headers = { "headers", headers_fn, false,
	false };

void
pop3_wrap_nothing(struct pop3_session *p)
{
	p->utf8 = true;
	/* which looks at every message there is: once */
	if (p->drop.surrogate != 0)
		pop3_maildrop_set_surrogate(&p->drop, 0);
}

/* --- what is sent -------------------------------------------------------- */

static void
put(struct pop3_session *p, const struct buf *text)
{
	size_t used = pop3_stuff_feed(&p->stuff, buf_slice(text), &p->s.out);

	*(p->is_top ? &p->top : &p->retr) += used;
}

void
pop3_wrap_head(struct pop3_session *p)
{
	struct message_info info = { .internal_ms = 0 };
	struct buf text;

	/* a message that has just gone has no date: it has been opened */
	(void)!mailbox_message_info(p->mailbox, p->uid, &info);
	buf_init(&text, POP3_SURROGATE_MAX);
	pop3_surrogate_head(
	    &text, p->opt->unicode_type, info.internal_ms, p->wrap);
	put(p, &text);
	buf_fini(&text);
}

void
pop3_wrap_tail(struct pop3_session *p)
{
	struct buf text;

	buf_init(&text, POP3_SURROGATE_MAX);
	if (p->stuff.line_len != 0)
		buf_putc(&text, '\n');
	pop3_surrogate_tail(&text, p->wrap);
	put(p, &text);
	buf_fini(&text);
}
