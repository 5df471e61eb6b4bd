/*
 * Mod-sequences, RFC 7162: who is to be told of them, and what the client
 * holds for the highest one.
 *
 * The client keeps the highest mod-sequence that it was told in a FETCH since
 * the last tagged response, or the one of a HIGHESTMODSEQ code, which wins
 * (RFC 7162 6).  It may ask for what came after that number once the
 * connection is lost; so whenever it would hold more than what it has been told
 * completely, since an expunge had to wait, it gets a lower one by that code
 * (RFC 7162 3.2).
 */
#include "protocols/imap/condstore.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

static void
put_highest(struct imap_session *i, struct buf *out)
{
	uint64_t highest = view_highest_modseq(i->view);

	buf_putf(out, "[HIGHESTMODSEQ %" PRIu64 "]", highest);
	i->modseq_held = highest;
	i->modseq_told = 0;
}

void
imap_condstore_selected(struct imap_session *i)
{
	buf_puts(&i->s.out, "* OK ");
	put_highest(i, &i->s.out);
	buf_puts(&i->s.out, " Highest.\r\n");
	i->modseq_lowered = false;
}

void
imap_condstore_enable(struct imap_session *i)
{
	if (i->condstore)
		return;
	i->condstore = true;
	/* RFC 7162 3.1: the first one in a selected mailbox */
	if (i->mailbox != NULL && i->view != NULL)
		imap_condstore_selected(i);
}

void
imap_put_modseq(struct imap_session *i, struct buf *out, uint64_t modseq)
{
	buf_putf(out, "MODSEQ (%" PRIu64 ")", modseq);
	if (modseq > i->modseq_told)
		i->modseq_told = modseq;
}

void
imap_condstore_reply(struct imap_session *i, const char *state, struct buf *out)
{
	uint64_t highest, held;

	if (!i->condstore || i->view == NULL)
		return;
	highest = view_highest_modseq(i->view);
	held =
	    i->modseq_told > i->modseq_held ? i->modseq_told : i->modseq_held;
	i->modseq_told = 0;
	if (held == highest ||
	    (held < highest && !i->qresync && !i->modseq_lowered)) {
		i->modseq_held = held;
		return;
	}
	i->modseq_lowered = held > highest;
	/* a reply has one code only */
	if (strcmp(state, "OK") == 0 && !i->modified &&
	    !slice_starts(buf_slice(&i->reply), SLICE("["))) {
		put_highest(i, out);
		buf_putc(out, ' ');
		return;
	}
	i->modseq_held = highest;
	i->modseq_code = true;
}

/* --- RFC 7162 3.2.5, 3.2.6: what has vanished ---------------------------- */

void
imap_vanished_init(struct imap_vanished *v)
{
	*v = (struct imap_vanished){ .known = NULL };
}

void
imap_vanished_fini(struct imap_vanished *v)
{
	free(v->known);
	imap_vanished_init(v);
}

int
imap_vanished_begin(struct imap_session *i, struct imap_vanished *v,
    struct imap_set wanted, uint64_t since, uint32_t from, struct err *e)
{
	bool complete;
	int rc =
	    mailbox_vanished(i->mailbox, since, &v->known, &v->n, &complete, e);

	if (rc != 0)
		return rc;
	v->wanted = wanted;
	v->uid = from;
	v->uidnext = view_uidnext(i->view);
	if (complete)
		return 0;
	/* too long ago: all that isn't there */
	free(v->known);
	v->known = mem_alloc(sizeof(*v->known));
	v->known[0] = (struct uid_range){ 1, UINT32_MAX };
	v->n = 1;
	return 0;
}

/* The next stretch of UIDs that are wanted and known, from v->uid on; false:
 * there are no more. */
static bool
next_stretch(struct imap_vanished *v, uint32_t *lo, uint32_t *hi)
{
	while (v->at_known < v->n && v->at_wanted < v->wanted.n) {
		const struct uid_range *k = &v->known[v->at_known];
		const struct imap_range *w = &v->wanted.v[v->at_wanted];
		uint32_t last;

		*lo = k->first > w->lo ? k->first : w->lo;
		if (*lo < v->uid)
			*lo = v->uid;
		last = k->last < w->hi ? k->last : w->hi;
		*hi = last < v->uidnext - 1 ? last : v->uidnext - 1;
		if (*lo <= *hi)
			return true;
		if (*lo >= v->uidnext)
			return false;
		v->at_known += k->last == last;
		v->at_wanted += w->hi == last;
	}
	return false;
}

static void
put_gone(struct imap_session *i, struct imap_vanished *v, uint32_t first,
    uint32_t last)
{
	struct buf *out = &i->s.out;

	if (!v->open) {
		buf_puts(out, "* VANISHED (EARLIER) ");
		imap_put_set_begin(&v->set, out);
		v->open = true;
		v->n_line = 0;
	}
	imap_put_set_range(&v->set, first, last);
	v->n_line++;
}

static void
end_line(struct imap_session *i, struct imap_vanished *v)
{
	if (!v->open)
		return;
	imap_put_set_end(&v->set);
	buf_puts(&i->s.out, "\r\n");
	v->open = false;
}

enum step
imap_vanished_step(struct imap_session *i, struct imap_vanished *v)
{
	enum { LINE_RANGES = 500, MESSAGES = 1000 };
	uint32_t lo, hi;

	while (next_stretch(v, &lo, &hi)) {
		uint32_t seq = view_lower_bound(i->view, lo), n;

		for (n = 0; n < MESSAGES && seq <= view_count(i->view);
		     n++, seq++) {
			uint32_t uid = view_get(i->view, seq)->uid;

			if (uid > hi)
				break;
			if (uid > lo)
				put_gone(i, v, lo, uid - 1);
			lo = uid + 1;
		}
		if (n < MESSAGES) {
			if (lo <= hi)
				put_gone(i, v, lo, hi);
			lo = hi + 1;
		}
		v->uid = lo;
		if (v->open && v->n_line >= LINE_RANGES)
			end_line(i, v);
		if (imap_output_full(i)) {
			end_line(i, v);
			return STEP_WAIT_OUTPUT;
		}
		if (imap_spend(i, 64 + 16 * n)) {
			end_line(i, v);
			return STEP_YIELD;
		}
		if (lo == 0)
			break;
	}
	end_line(i, v);
	return STEP_DONE;
}
