/*
 * SEARCH, RFC 3501 6.4.4 and 7.2.5; ESEARCH, RFC 4731; SEARCHRES, RFC 5182;
 * PARTIAL, RFC 9394.
 *
 * First all messages are found that the result needs, then it is saved if that
 * is wanted, then told.  For MIN, MAX and PARTIAL alone the search ends as
 * soon as there are enough hits: it goes from the front until there are
 * from_front of them, then from the end back until there are from_end.
 */
#include <inttypes.h>

#include "protocols/imap/condstore.h"
#include "protocols/imap/search.h"

static const struct imap_step step_saving, step_telling;

static void
search_cleanup(struct imap_session *i)
{
	struct search_command *c = i->args;

	imap_search_close(i);
	imap_hits_fini(&c->hits);
	if (c->search.newest != NULL)
		view_unref(&c->search.newest);
}

static const struct message *
message_of(
    const struct imap_session *i, const struct search_args *a, uint32_t seq)
{
	const struct message *m = view_get(i->view, seq);

	return a->newest == i->view ? m : imap_newest(a->newest, m);
}

/* Whether every message found counts for the result. */
static bool
wants_all(const struct search_command *c)
{
	return !c->ret.given || c->ret.what == SEARCH_RETURN_SAVE ||
	    (c->ret.what & (SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT)) != 0;
}

/* --- finding -------------------------------------------------------------- */

static void
plan(struct search_command *c)
{
	const struct imap_partial *p = &c->ret.partial;

	if (wants_all(c)) {
		c->from_front = UINT32_MAX;
		return;
	}
	c->from_front = (c->ret.what & SEARCH_RETURN_MIN) != 0;
	c->from_end = (c->ret.what & SEARCH_RETURN_MAX) != 0;
	if ((c->ret.what & SEARCH_RETURN_PARTIAL) == 0)
		return;
	if (p->from_end)
		c->from_end = p->last;
	else
		c->from_front = p->last;
}

/* The next message to be looked at, into search.seq; false: there is none. */
static bool
next_message(struct search_command *c)
{
	if (!c->backwards) {
		if (c->hits.n < c->from_front && c->front < c->end) {
			c->search.seq = c->front++;
			return true;
		}
		c->backwards = true;
		c->n_front = c->hits.n;
	}
	if (c->hits.n - c->n_front >= c->from_end || c->front == c->end)
		return false;
	c->search.seq = --c->end;
	return true;
}

/* All hits are there: those that have a name of their own. */
static void
found(struct search_command *c)
{
	const struct imap_partial *p = &c->ret.partial;
	uint32_t last, near, far;

	c->min = imap_hits_next(&c->hits, 1);
	c->max = imap_hits_last(&c->hits, UINT32_MAX);
	if ((c->ret.what & SEARCH_RETURN_PARTIAL) == 0 || p->first > c->hits.n)
		return;
	last = p->last < c->hits.n ? p->last : c->hits.n;
	near = imap_hits_nth(&c->hits, p->first, p->from_end);
	far = imap_hits_nth(&c->hits, last, p->from_end);
	c->partial_lo = p->from_end ? far : near;
	c->partial_hi = p->from_end ? near : far;
}

static enum step
searching_fn(struct imap_session *i)
{
	struct search_command *c = i->args;
	struct search_args *a = &c->search;
	uint32_t count = view_count(i->view);
	enum step st;
	bool match;

	for (;;) {
		if (a->m == NULL) {
			if (imap_spend(i, 64)) {
				imap_progress(i,
				    c->front - 1 + count + 1 - c->end, count);
				return STEP_YIELD;
			}
			if (!next_message(c))
				break;
			a->m = message_of(i, a, a->seq);
			a->at = a->start;
		}
		st = imap_search_eval(i, &match);
		if (st != STEP_DONE)
			return st;
		if (match) {
			imap_hits_add(&c->hits, a->seq);
			if (a->m->modseq > c->modseq)
				c->modseq = a->m->modseq;
		}
		imap_search_close(i);
	}
	found(c);
	return imap_goto(i,
	    (c->ret.what & SEARCH_RETURN_SAVE) != 0 ? &step_saving
						    : &step_telling);
}

static const struct imap_step step_searching = { "searching", searching_fn,
	false };

/* --- saving, RFC 5182 ----------------------------------------------------- */

/* RFC 5182 2.4, RFC 9394 3.2: whether a hit is to be saved. */
static bool
is_saved(const struct search_command *c, uint32_t seq)
{
	return wants_all(c) ||
	    ((c->ret.what & SEARCH_RETURN_MIN) != 0 && seq == c->min) ||
	    ((c->ret.what & SEARCH_RETURN_MAX) != 0 && seq == c->max) ||
	    (seq >= c->partial_lo && seq <= c->partial_hi);
}

static enum step
not_saved(struct imap_session *i)
{
	imap_saved_clear(&i->saved);
	return imap_finish(
	    i, "NO", "[NOTSAVED] Too many messages with gaps between them.");
}

static enum step
saving_fn(struct imap_session *i)
{
	struct search_command *c = i->args;

	if (c->at == 0) {
		imap_saved_clear(&i->saved);
		c->at = 1;
	}
	for (;;) {
		uint32_t first = imap_hits_next(&c->hits, c->at), last = first;

		if (first == 0)
			break;
		c->at = first + 1;
		if (!is_saved(c, first))
			continue;
		while (imap_hits_next(&c->hits, last + 1) == last + 1 &&
		    is_saved(c, last + 1))
			last++;
		c->at = last + 1;
		if (!imap_saved_add(&i->saved, view_get(i->view, first)->uid,
			view_get(i->view, last)->uid))
			return not_saved(i);
		if (imap_spend(i, 64 + (last - first) / 8))
			return STEP_YIELD;
	}
	c->at = 0;
	if (c->ret.what == SEARCH_RETURN_SAVE)
		return imap_finish(i, "OK", "SEARCH completed, result saved.");
	return imap_goto(i, &step_telling);
}

static const struct imap_step step_saving = { "SEARCH save", saving_fn, false };

/* --- telling -------------------------------------------------------------- */

static uint32_t
number_of(const struct imap_session *i, uint32_t seq)
{
	return i->uid ? view_get(i->view, seq)->uid : seq;
}

static void
put_one(struct imap_session *i, const char *name, uint32_t seq)
{
	if (seq != 0)
		buf_putf(&i->s.out, " %s %" PRIu32, name, number_of(i, seq));
}

/* What comes before the list of messages. */
static void
tell_begin(struct imap_session *i, struct search_command *c)
{
	const struct imap_partial *p = &c->ret.partial;
	const char *minus = p->from_end ? "-" : "";
	struct buf *out = &i->s.out;

	c->at = c->min;
	c->last = c->max;
	if (!c->ret.given) {
		buf_puts(out, "* SEARCH");
		return;
	}
	buf_puts(out, "* ESEARCH (TAG \"");
	buf_put(out, i->tag);
	buf_puts(out, i->uid ? "\") UID" : "\")");
	if ((c->ret.what & SEARCH_RETURN_MIN) != 0)
		put_one(i, "MIN", c->min);
	if ((c->ret.what & SEARCH_RETURN_MAX) != 0)
		put_one(i, "MAX", c->max);
	if ((c->ret.what & SEARCH_RETURN_COUNT) != 0)
		buf_putf(out, " COUNT %" PRIu32, c->hits.n);
	if ((c->ret.what & SEARCH_RETURN_PARTIAL) != 0) {
		c->at = c->partial_lo;
		c->last = c->partial_hi;
		buf_putf(out, " PARTIAL (%s%" PRIu32 ":%s%" PRIu32 " %s", minus,
		    p->first, minus, p->last, c->at == 0 ? "NIL" : "");
	} else if ((c->ret.what & SEARCH_RETURN_ALL) == 0) {
		c->at = 0;
	} else if (c->at != 0) {
		buf_puts(out, " ALL ");
	}
	imap_put_set_begin(&c->set, out);
}

static uint64_t
higher(const struct imap_session *i, const struct search_command *c,
    uint32_t seq, uint64_t modseq)
{
	uint64_t own = seq != 0 ? message_of(i, &c->search, seq)->modseq : 0;

	return own > modseq ? own : modseq;
}

/* RFC 4731 3.2: the highest mod-sequence of what is told. */
static uint64_t
told_modseq(struct imap_session *i, const struct search_command *c)
{
	uint64_t modseq = c->modseq;

	if (wants_all(c) || (c->ret.what & SEARCH_RETURN_PARTIAL) == 0)
		return modseq;
	modseq = c->partial_modseq;
	if ((c->ret.what & SEARCH_RETURN_MIN) != 0)
		modseq = higher(i, c, c->min, modseq);
	if ((c->ret.what & SEARCH_RETURN_MAX) != 0)
		modseq = higher(i, c, c->max, modseq);
	return modseq;
}

static enum step
tell_end(struct imap_session *i, struct search_command *c)
{
	struct buf *out = &i->s.out;
	uint64_t modseq = told_modseq(i, c);

	if (c->ret.given) {
		imap_put_set_end(&c->set);
		if ((c->ret.what & SEARCH_RETURN_PARTIAL) != 0)
			buf_putc(out, ')');
	}
	if (c->search.by_modseq && modseq != 0)
		buf_putf(out,
		    c->ret.given ? " MODSEQ %" PRIu64 : " (MODSEQ %" PRIu64 ")",
		    modseq);
	buf_puts(out, "\r\n");
	i->half = false;
	return imap_finish(i, "OK", "SEARCH completed.");
}

static enum step
telling_fn(struct imap_session *i)
{
	struct search_command *c = i->args;

	if (!i->half) {
		tell_begin(i, c);
		i->half = true;
	}
	for (; c->at != 0 && c->at <= c->last;
	     c->at = imap_hits_next(&c->hits, c->at + 1)) {
		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (imap_spend(i, 32))
			return STEP_YIELD;
		if (c->ret.given) {
			imap_put_set_add(&c->set, number_of(i, c->at));
			c->partial_modseq =
			    higher(i, c, c->at, c->partial_modseq);
		} else {
			buf_putc(&i->s.out, ' ');
			buf_putu(&i->s.out, number_of(i, c->at));
		}
	}
	return tell_end(i, c);
}

static const struct imap_step step_telling = { "SEARCH result", telling_fn,
	false };

/* --- the command ---------------------------------------------------------- */

static enum step
search_fn(struct imap_session *i)
{
	struct search_command *c = i->args;
	struct search_args *a = &c->search;

	if (a->bad_charset) {
		/* RFC 5182 2.1 */
		if ((c->ret.what & SEARCH_RETURN_SAVE) != 0)
			imap_saved_clear(&i->saved);
		return imap_finish(
		    i, "NO", "[BADCHARSET (US-ASCII UTF-8)] Unknown charset.");
	}
	if (a->by_modseq)
		imap_condstore_enable(i);
	i->cleanup = search_cleanup;
	a->newest = mailbox_view(i->mailbox);
	imap_hits_init(&c->hits, view_count(i->view));
	c->front = 1;
	c->end = view_count(i->view) + 1;
	plan(c);
	return imap_goto(i, &step_searching);
}

const struct imap_step imap_step_search = { "SEARCH", search_fn, false };
