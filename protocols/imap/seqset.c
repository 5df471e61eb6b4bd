#include "protocols/imap/seqset.h"

#include <stdlib.h>
#include <string.h>

static enum parse
seq_number(struct imap_lex *lx, uint32_t *out)
{
	if (imap_lex_take(lx, '*')) {
		*out = IMAP_STAR;
		return PARSE_OK;
	}
	return imap_lex_nz_number(lx, out);
}

static enum parse
element(struct imap_lex *lx, struct imap_range *out)
{
	enum parse r = seq_number(lx, &out->lo);

	if (r != PARSE_OK)
		return r;
	out->hi = out->lo;
	return imap_lex_take(lx, ':') ? seq_number(lx, &out->hi) : PARSE_OK;
}

/* Room for one more in the arena; false beyond its limit. */
static bool
grow(struct arena *a, struct imap_set *set, size_t *cap)
{
	size_t more = *cap == 0 ? 8 : *cap * 2;
	struct imap_range *v = arena_zalloc(a, more, sizeof(*v));

	if (v == NULL)
		return false;
	if (set->n != 0)
		memcpy(v, set->v, set->n * sizeof(*v));
	set->v = v;
	*cap = more;
	return true;
}

enum parse
imap_lex_set(
    struct imap_lex *lx, struct arena *a, size_t max, struct imap_set *out)
{
	struct imap_set set = { .n = 0 };
	size_t start = lx->pos, cap = 0;
	enum parse r;

	do {
		if (set.n == max || (set.n == cap && !grow(a, &set, &cap))) {
			lx->pos = start;
			lx->why = "too many elements in a sequence set";
			return PARSE_LIMIT;
		}
		r = element(lx, &set.v[set.n++]);
		if (r != PARSE_OK) {
			lx->pos = start;
			if (r == PARSE_BAD)
				lx->why = "invalid sequence set";
			return r;
		}
	} while (imap_lex_take(lx, ','));
	*out = set;
	return PARSE_OK;
}

enum parse
imap_lex_partial(struct imap_lex *lx, struct imap_partial *out)
{
	struct imap_partial p = { .from_end = imap_lex_take(lx, '-') };
	uint32_t last;
	enum parse r;

	if ((r = imap_lex_nz_number(lx, &p.first)) != PARSE_OK ||
	    (r = imap_lex_char(lx, ':')) != PARSE_OK ||
	    (p.from_end && (r = imap_lex_char(lx, '-')) != PARSE_OK) ||
	    (r = imap_lex_nz_number(lx, &last)) != PARSE_OK)
		return r;
	/* 500:400 is the same as 400:500 */
	p.last = last > p.first ? last : p.first;
	p.first = last > p.first ? p.first : last;
	*out = p;
	return PARSE_OK;
}

/* --- resolving ----------------------------------------------------------- */

static int
by_lo(const void *a, const void *b)
{
	const struct imap_range *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sort, and join what overlaps or touches. */
static void
normalise(struct imap_set *set)
{
	size_t n = 0;

	if (set->n == 0)
		return;
	qsort(set->v, set->n, sizeof(*set->v), by_lo);
	for (size_t i = 1; i < set->n; i++) {
		if (set->v[i].lo <= set->v[n].hi ||
		    set->v[i].lo - 1 == set->v[n].hi) {
			if (set->v[i].hi > set->v[n].hi)
				set->v[n].hi = set->v[i].hi;
		} else {
			set->v[++n] = set->v[i];
		}
	}
	set->n = n + 1;
}

static struct imap_range
in_order(struct imap_range r, uint32_t star)
{
	struct imap_range out;
	uint32_t lo = r.lo == IMAP_STAR ? star : r.lo;
	uint32_t hi = r.hi == IMAP_STAR ? star : r.hi;

	out.lo = lo < hi ? lo : hi;
	out.hi = lo < hi ? hi : lo;
	return out;
}

void
imap_set_order(struct imap_set *set, uint32_t star)
{
	for (size_t i = 0; i < set->n; i++)
		set->v[i] = in_order(set->v[i], star);
	normalise(set);
}

/* UIDs to sequence numbers; lo > hi when none is there. */
static struct imap_range
uids_to_seqs(struct imap_range r, const struct view *v)
{
	struct imap_range out;

	out.lo = view_lower_bound(v, r.lo);
	out.hi = r.hi == UINT32_MAX ? view_count(v)
				    : view_lower_bound(v, r.hi + 1) - 1;
	return out;
}

bool
imap_set_resolve(struct imap_set *set, const struct view *v, bool uid)
{
	uint32_t count = view_count(v);
	uint32_t star = count == 0 ? 0 : uid ? view_get(v, count)->uid : count;
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct imap_range r = in_order(set->v[i], star);

		/* RFC 3501 9 seq-number: beyond the last one is an error, but
		 * "1:*" is what clients say to see whatever there is. */
		if (!uid && r.hi > count) {
			if (count != 0 ||
			    (set->v[i].lo != IMAP_STAR &&
				set->v[i].hi != IMAP_STAR))
				return false;
			continue;
		}
		if (count == 0)
			continue;
		if (uid)
			r = uids_to_seqs(r, v);
		if (r.lo <= r.hi && r.lo != 0)
			set->v[n++] = r;
	}
	set->n = n;
	normalise(set);
	return true;
}

uint32_t
imap_set_count(const struct imap_set *set)
{
	uint32_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		n += set->v[i].hi - set->v[i].lo + 1;
	return n;
}

void
imap_set_cut(struct imap_set *set, const struct imap_partial *p)
{
	uint32_t count = imap_set_count(set), first = p->first, last = p->last;
	uint32_t before = 0;
	size_t n = 0;

	if (last > count)
		last = count;
	if (p->from_end && first <= last) {
		uint32_t swap = count - last + 1;

		last = count - first + 1;
		first = swap;
	}
	for (size_t i = 0; i < set->n; i++) {
		struct imap_range r = set->v[i];
		uint32_t size = r.hi - r.lo + 1;

		/* it holds those from before + 1 to before + size */
		if (first > before + 1)
			r.lo += first - before - 1;
		if (last < before + size)
			r.hi -= before + size - last;
		if (first <= last && before + size >= first &&
		    before + 1 <= last)
			set->v[n++] = r;
		before += size;
	}
	set->n = n;
}

uint32_t
imap_set_next(const struct imap_set *set, uint32_t n)
{
	size_t lo = 0, hi = set->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (set->v[mid].hi < n)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == set->n)
		return 0;
	return n > set->v[lo].lo ? n : set->v[lo].lo;
}

bool
imap_set_has(const struct imap_set *set, uint32_t n)
{
	return imap_set_next(set, n) == n;
}
