/*
 * Sequence sets: the input is one, as a client writes it.
 *
 * Checked: a set in order has the same numbers, ascending, in ranges that
 * don't touch; UIDs come out as the sequence numbers of their messages; a cut
 * leaves as many as it says.
 */
#include <stdlib.h>

#include "protocols/imap/seqset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STAR = 40, PROBE = 60 };

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* --- a view of STAR messages whose UIDs are twice their numbers ---------- */

uint32_t
view_count(const struct view *v)
{
	(void)v;
	return STAR;
}

const struct message *
view_get(const struct view *v, uint32_t seq)
{
	static struct message m;

	(void)v;
	check(seq >= 1 && seq <= STAR);
	m.uid = 2 * seq;
	return &m;
}

uint32_t
view_lower_bound(const struct view *v, uint32_t uid)
{
	(void)v;
	return uid > 2 * STAR ? STAR + 1 : uid / 2 + (uid % 2 != 0 || uid == 0);
}

/* -------------------------------------------------------------------------- */

static uint32_t
end_of(uint32_t n, uint32_t star)
{
	return n == IMAP_STAR ? star : n;
}

/* Whether a set as written has the number. */
static bool
has(const struct imap_set *set, uint32_t n, uint32_t star)
{
	for (size_t k = 0; k < set->n; k++) {
		uint32_t a = end_of(set->v[k].lo, star);
		uint32_t b = end_of(set->v[k].hi, star);

		if (n >= (a < b ? a : b) && n <= (a < b ? b : a))
			return true;
	}
	return false;
}

static void
check_in_order(const struct imap_set *set)
{
	for (size_t k = 0; k < set->n; k++) {
		check(set->v[k].lo != 0 && set->v[k].lo <= set->v[k].hi);
		check(k == 0 || set->v[k].lo - 1 > set->v[k - 1].hi);
	}
}

static void
sets(struct slice in)
{
	struct imap_lex lx = imap_lex_of(in);
	struct imap_set written, ordered, seqs;
	struct imap_partial p = { 2, 5, in.n % 2 == 0 };
	struct arena a, b, c;
	uint32_t n = 0;

	arena_init(&a, 1 << 20);
	arena_init(&b, 1 << 20);
	arena_init(&c, 1 << 20);
	if (imap_lex_set(&lx, &a, 1000, &written) != PARSE_OK)
		goto out;
	lx = imap_lex_of(in);
	check(imap_lex_set(&lx, &b, 1000, &ordered) == PARSE_OK);
	lx = imap_lex_of(in);
	check(imap_lex_set(&lx, &c, 1000, &seqs) == PARSE_OK);
	imap_set_order(&ordered, STAR);
	check_in_order(&ordered);
	for (uint32_t k = 1; k < PROBE; k++)
		check(imap_set_has(&ordered, k) == has(&written, k, STAR));
	check(imap_set_resolve(&seqs, NULL, true));
	check_in_order(&seqs);
	for (uint32_t k = 1; k <= STAR; k++) {
		bool in_set = has(&written, 2 * k, 2 * STAR);

		check(imap_set_has(&seqs, k) == in_set);
		n += in_set;
	}
	check(imap_set_count(&seqs) == n);
	imap_set_cut(&seqs, &p);
	check_in_order(&seqs);
	check(imap_set_count(&seqs) == (n < 2 ? 0 : n > 5 ? 4 : n - 1));
out:
	arena_fini(&a);
	arena_fini(&b);
	arena_fini(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	sets(slice_of(data, size));
	return 0;
}
