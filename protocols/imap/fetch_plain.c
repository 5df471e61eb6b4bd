/*
 * Responses made of UID, FLAGS and MODSEQ alone: nothing has to be looked at
 * but the index, and clients ask that of whole mailboxes at every start.  So
 * they are written whole, into room that was made once, and the text of a
 * combination of flags is made once, too.
 */
#include "protocols/imap/fetch.h"

enum { NUMBER_MAX = 20, FIXED_MAX = 128 };

bool
imap_fetch_is_plain(const struct fetch_args *a)
{
	for (size_t k = 0; k < a->n_items; k++)
		if (a->items[k].kind != FETCH_UID &&
		    a->items[k].kind != FETCH_FLAGS &&
		    a->items[k].kind != FETCH_MODSEQ)
			return false;
	/* each of the three stands there once: FIXED_MAX is enough */
	return !a->seen;
}

static uint8_t *
put(uint8_t *to, struct slice s)
{
	memcpy(to, s.p, s.n);
	return to + s.n;
}

static uint8_t *
put_number(uint8_t *to, uint64_t v)
{
	uint8_t digits[NUMBER_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	return put(to, slice_of(digits + at, sizeof(digits) - at));
}

/* "FLAGS (…)", kept in the table if it isn't long; valid until the next. */
static struct slice
flags_text(
    struct imap_session *i, struct fetch_args *a, const struct message *m)
{
	bool recent = imap_is_recent(i, m->uid);
	struct fetch_flags *f = &a->known_flags[m->flags % FETCH_KNOWN_FLAGS];
	struct slice text;

	if (f->n != 0 && f->flags == m->flags && f->keywords == m->keywords &&
	    f->recent == recent)
		return slice_of(f->text, f->n);
	buf_reset(&a->scratch);
	buf_puts(&a->scratch, "FLAGS ");
	imap_put_flags(i, &a->scratch, m);
	text = buf_slice(&a->scratch);
	if (text.n <= sizeof(f->text)) {
		*f = (struct fetch_flags){ .flags = m->flags,
			.keywords = m->keywords,
			.recent = recent,
			.n = (uint8_t)text.n };
		memcpy(f->text, text.p, text.n);
	}
	return text;
}

static uint8_t *
put_modseq(struct imap_session *i, uint8_t *to, uint64_t modseq)
{
	if (modseq > i->modseq_told)
		i->modseq_told = modseq;
	to = put(to, SLICE("MODSEQ ("));
	to = put_number(to, modseq);
	*to++ = ')';
	return to;
}

void
imap_fetch_put_plain(struct imap_session *i, const struct message *m)
{
	struct fetch_args *a = i->args;
	struct buf *out = &i->s.out;
	struct slice flags = a->flags ? flags_text(i, a, m) : SLICE("");
	uint8_t *start = buf_reserve(out, FIXED_MAX + flags.n), *to = start;

	if (to == NULL)
		return; /* the caller minds imap_output_full() */
	to = put(to, SLICE("* "));
	to = put_number(to, a->seq);
	to = put(to, SLICE(" FETCH ("));
	for (size_t k = 0; k < a->n_items; k++) {
		if (k != 0)
			*to++ = ' ';
		if (a->items[k].kind == FETCH_FLAGS) {
			to = put(to, flags);
		} else if (a->items[k].kind == FETCH_MODSEQ) {
			to = put_modseq(i, to, m->modseq);
		} else {
			to = put(to, SLICE("UID "));
			to = put_number(to, m->uid);
		}
	}
	to = put(to, SLICE(")\r\n"));
	buf_advance(out, (size_t)(to - start));
}
