/* SEARCH, RFC 3501 6.4.4 and 7.2.5. */
#include "protocols/imap/search.h"

static void
search_cleanup(struct imap_session *i)
{
	struct search_args *a = i->args;

	imap_search_close(i);
	if (a->newest != NULL)
		view_unref(&a->newest);
}

static const struct message *
message_of(struct imap_session *i, const struct search_args *a)
{
	const struct message *m = view_get(i->view, a->seq);

	return a->newest == i->view ? m : imap_newest(a->newest, m);
}

static enum step
searching_fn(struct imap_session *i)
{
	struct search_args *a = i->args;
	uint32_t count = view_count(i->view);
	enum step st;
	bool match;

	for (; a->seq <= count; a->seq++) {
		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (a->m == NULL) {
			if (imap_spend(i, 64))
				return STEP_YIELD;
			a->m = message_of(i, a);
			a->at = a->start;
		}
		st = imap_search_eval(i, &match);
		if (st != STEP_DONE)
			return st;
		if (match) {
			buf_putc(&i->s.out, ' ');
			buf_putu(&i->s.out, i->uid ? a->m->uid : a->seq);
		}
		imap_search_close(i);
	}
	buf_puts(&i->s.out, "\r\n");
	i->half = false;
	return imap_finish(i, "OK", "SEARCH completed.");
}

static const struct imap_step step_searching = { "searching", searching_fn,
	false };

static enum step
search_fn(struct imap_session *i)
{
	struct search_args *a = i->args;

	if (a->bad_charset)
		return imap_finish(
		    i, "NO", "[BADCHARSET (US-ASCII UTF-8)] Unknown charset.");
	i->cleanup = search_cleanup;
	a->newest = mailbox_view(i->mailbox);
	a->seq = 1;
	buf_puts(&i->s.out, "* SEARCH");
	i->half = true;
	return imap_goto(i, &step_searching);
}

const struct imap_step imap_step_search = { "SEARCH", search_fn, false };
