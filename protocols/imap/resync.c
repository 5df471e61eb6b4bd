/* QRESYNC at SELECT: RFC 7162 3.2.5. */
#include <inttypes.h>

#include "protocols/imap/condstore.h"
#include "protocols/imap/session_impl.h"

/* --- the parameter -------------------------------------------------------- */

static enum parse
bad(struct imap_lex *lx, const char *why)
{
	lx->why = why;
	return PARSE_BAD;
}

/* A set without "*". */
static enum parse
plain_set(struct imap_session *i, struct imap_lex *lx, struct imap_set *out)
{
	enum parse r = imap_lex_set(lx, &i->arena, i->opt->set_max, out);

	if (r != PARSE_OK)
		return r;
	for (size_t k = 0; k < out->n; k++)
		if (out->v[k].lo == IMAP_STAR || out->v[k].hi == IMAP_STAR)
			return bad(lx, "\"*\" isn't allowed here");
	return PARSE_OK;
}

static bool
ascending(const struct imap_set *set)
{
	for (size_t k = 0; k < set->n; k++)
		if (set->v[k].lo > set->v[k].hi ||
		    (k != 0 && set->v[k].lo <= set->v[k - 1].hi))
			return false;
	return true;
}

/* seq-match-data: "(" numbers SP UIDs ")" */
static enum parse
match_data(struct imap_session *i, struct imap_lex *lx, struct imap_resync *out)
{
	enum parse r;

	if ((r = plain_set(i, lx, &out->seqs)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = plain_set(i, lx, &out->uids)) != PARSE_OK ||
	    (r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	/* RFC 7162 3.2.5.2 */
	if (!ascending(&out->seqs) || !ascending(&out->uids) ||
	    imap_set_count(&out->seqs) != imap_set_count(&out->uids))
		return bad(lx, "numbers that don't match UIDs");
	return PARSE_OK;
}

enum parse
imap_parse_resync(
    struct imap_session *i, struct imap_lex *lx, struct imap_resync *out)
{
	enum parse r;

	/* RFC 7162 3.2.3 */
	if (!i->qresync)
		return bad(lx, "QRESYNC isn't enabled");
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK ||
	    (r = imap_lex_nz_number(lx, &out->uidvalidity)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_modseq(lx, &out->modseq)) != PARSE_OK)
		return r;
	out->given = true;
	if (imap_lex_take(lx, ')'))
		return PARSE_OK;
	if ((r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	if (!imap_lex_take(lx, '(')) {
		if ((r = plain_set(i, lx, &out->known)) != PARSE_OK)
			return r;
		out->has_known = true;
		if (imap_lex_take(lx, ')'))
			return PARSE_OK;
		if ((r = imap_lex_space(lx)) != PARSE_OK ||
		    (r = imap_lex_open(lx)) != PARSE_OK)
			return r;
	}
	if ((r = match_data(i, lx, out)) != PARSE_OK)
		return r;
	return imap_lex_close(lx);
}

/* --- what the client knows ------------------------------------------------ */

/*
 * Of n messages with numbers from seq on and UIDs from uid on, the UID of the
 * last that the view has under its number; 0: none.  Numbers grow by one and
 * UIDs by at least one, so those that match stand together, behind those with
 * smaller UIDs.
 */
static uint32_t
last_match(const struct view *v, uint32_t seq, uint32_t uid, uint32_t n)
{
	uint32_t low = 0, high, count = view_count(v);

	if (seq > count)
		return 0;
	if (n > count - seq + 1)
		n = count - seq + 1;
	high = n;
	while (low < high) { /* the first whose UID is larger than said */
		uint32_t mid = low + (high - low) / 2;

		if (view_get(v, seq + mid)->uid > uid + mid)
			high = mid;
		else
			low = mid + 1;
	}
	if (low == 0 || view_get(v, seq + low - 1)->uid != uid + low - 1)
		return 0;
	return uid + low - 1;
}

/* The highest UID up to which the client knows of all expunges; 0: none. */
static uint32_t
known_up_to(const struct imap_session *i, const struct imap_resync *r)
{
	uint32_t known = 0, s = 0, u = 0;
	size_t at_seq = 0, at_uid = 0;

	while (at_seq < r->seqs.n && at_uid < r->uids.n) {
		const struct imap_range *seqs = &r->seqs.v[at_seq];
		const struct imap_range *uids = &r->uids.v[at_uid];
		uint32_t n_seq, n_uid, n, match;

		if (s < seqs->lo)
			s = seqs->lo;
		if (u < uids->lo)
			u = uids->lo;
		n_seq = seqs->hi - s + 1;
		n_uid = uids->hi - u + 1;
		n = n_seq < n_uid ? n_seq : n_uid;
		match = last_match(i->view, s, u, n);
		if (match != 0)
			known = match;
		at_seq += n == n_seq;
		at_uid += n == n_uid;
		s += n;
		u += n;
	}
	return known;
}

/* --- the telling ---------------------------------------------------------- */

int
imap_resync_begin(struct imap_session *i, struct imap_resync *r, struct err *e)
{
	static struct imap_range all = { 1, UINT32_MAX };
	uint32_t known = known_up_to(i, r);

	imap_vanished_init(&r->vanished);
	if (r->has_known)
		imap_set_order(&r->known, 0);
	else
		r->known = (struct imap_set){ &all, 1 };
	r->at = 1;
	return imap_vanished_begin(
	    i, &r->vanished, r->known, r->modseq, known + 1, e);
}

enum step
imap_resync_step(struct imap_session *i, struct imap_resync *r)
{
	struct buf *out = &i->s.out;
	enum step st = imap_vanished_step(i, &r->vanished);

	if (st != STEP_DONE)
		return st;
	for (; r->at <= view_count(i->view); r->at++) {
		const struct message *m = view_get(i->view, r->at);

		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (imap_spend(i, 32))
			return STEP_YIELD;
		if (m->modseq <= r->modseq || !imap_set_has(&r->known, m->uid))
			continue;
		buf_putf(out, "* %" PRIu32 " FETCH (UID %" PRIu32 " FLAGS ",
		    r->at, m->uid);
		imap_put_flags(i, out, m);
		buf_putc(out, ' ');
		imap_put_modseq(i, out, m->modseq);
		buf_puts(out, ")\r\n");
	}
	return STEP_DONE;
}
