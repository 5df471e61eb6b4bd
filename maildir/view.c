#include "maildir/view.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/chunk.h"

#define UNASKED UINT32_MAX /* more than there are sequence numbers */

struct view *
view_new(struct chunk **v, size_t n, uint32_t uidnext, uint64_t highest_modseq)
{
	struct view *view = MEM_NEW(struct view);

	view->refs = 1;
	view->uidnext = uidnext;
	view->highest_modseq = highest_modseq;
	view->n_chunks = n;
	view->v = v;
	view->start = mem_alloc((n + 2) * sizeof(*view->start));
	view->recent = &view->start[n];
	*view->recent = 0;
	view->unseen = &view->start[n + 1];
	*view->unseen = UNASKED;
	for (size_t i = 0; i < n; i++) {
		assert(v[i]->n != 0);
		view->start[i] = view->count + 1;
		view->count += v[i]->n;
	}
	return view;
}

struct view *
view_ref(struct view *v)
{
	v->refs++;
	return v;
}

void
view_unref(struct view **pv)
{
	struct view *v = *pv;

	*pv = NULL;
	if (v == NULL || --v->refs != 0)
		return;
	for (size_t i = 0; i < v->n_chunks; i++)
		chunk_unref(&v->v[i]);
	free(v->v);
	free(v->start);
	free(v);
}

struct view *
view_below(struct view *v, uint32_t uidnext)
{
	struct chunk **copy;
	uint64_t highest = v->highest_modseq;
	size_t n = 0;

	if (v->uidnext <= uidnext)
		return view_ref(v);
	/* Who has seen all up to it must not have missed what is hidden. */
	for (uint32_t seq = view_lower_bound(v, uidnext); seq <= v->count;
	     seq++)
		if (view_get(v, seq)->modseq <= highest)
			highest = view_get(v, seq)->modseq - 1;
	copy = mem_alloc(v->n_chunks * sizeof(struct chunk *));
	for (; n < v->n_chunks; n++) {
		struct chunk *c = v->v[n];

		if (chunk_uid(c, 0) >= uidnext)
			break;
		if (chunk_uid(c, c->n - 1) < uidnext) {
			copy[n] = chunk_ref(c);
			continue;
		}
		copy[n] = chunk_clone(c);
		copy[n]->own = false;
		while (chunk_uid(copy[n], copy[n]->n - 1) >= uidnext)
			copy[n]->n--;
	}
	return view_new(copy, n, uidnext, highest);
}

uint32_t
view_count(const struct view *v)
{
	return v->count;
}

uint64_t
view_highest_modseq(const struct view *v)
{
	return v->highest_modseq;
}

uint32_t
view_uidnext(const struct view *v)
{
	return v->uidnext;
}

/* The chunk that holds a sequence number (1 … count). */
static size_t
chunk_of(const struct view *v, uint32_t seq)
{
	size_t low = *v->recent, high = v->n_chunks;

	/* messages are mostly looked at one after the other */
	if (seq >= v->start[low] && seq - v->start[low] < v->v[low]->n)
		return low;
	low = 0;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (v->start[mid] <= seq)
			low = mid;
		else
			high = mid;
	}
	*v->recent = (uint32_t)low;
	return low;
}

struct chunk *
view_at(const struct view *v, uint32_t seq, uint32_t *i)
{
	size_t at;

	assert(seq >= 1 && seq <= v->count);
	at = chunk_of(v, seq);
	*i = seq - v->start[at];
	return v->v[at];
}

const struct message *
view_get(const struct view *v, uint32_t seq)
{
	uint32_t i;
	const struct chunk *c = view_at(v, seq, &i);

	return chunk_message(c, i);
}

uint32_t
view_uid(const struct view *v, uint32_t seq)
{
	uint32_t i;
	const struct chunk *c = view_at(v, seq, &i);

	return chunk_uid(c, i);
}

size_t
chunks_find(struct chunk *const *v, size_t n, uint32_t uid)
{
	size_t low = 0, high = n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (v[mid]->first <= uid)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* The chunk where it is, or would be. */
static size_t
chunk_of_uid(const struct view *v, uint32_t uid)
{
	size_t at = *v->recent;

	if (v->v[at]->first > uid ||
	    (at + 1 < v->n_chunks && v->v[at + 1]->first <= uid)) {
		at = chunks_find(v->v, v->n_chunks, uid);
		*v->recent = (uint32_t)at;
	}
	return at;
}

uint32_t
view_lower_bound(const struct view *v, uint32_t uid)
{
	const struct chunk *c;
	size_t at;
	uint32_t low, high;

	if (v->n_chunks == 0)
		return 1;
	at = chunk_of_uid(v, uid);
	c = v->v[at];
	/* mostly no UID is missing */
	low = uid - chunk_uid(c, 0);
	if (low < c->n && chunk_uid(c, low) == uid)
		return v->start[at] + low;
	low = 0;
	high = c->n;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (chunk_uid(c, mid) < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return v->start[at] + low;
}

uint32_t
view_find(const struct view *v, uint32_t uid)
{
	uint32_t seq = view_lower_bound(v, uid);

	return seq <= v->count && view_uid(v, seq) == uid ? seq : 0;
}

static uint32_t
find_unseen(const struct view *v)
{
	for (size_t k = 0; k < v->n_chunks; k++) {
		if (chunk_all_seen(v->v[k]))
			continue;
		for (uint32_t i = 0; i < v->v[k]->n; i++)
			if (!(chunk_message(v->v[k], i)->flags & MESSAGE_SEEN))
				return v->start[k] + i;
	}
	return 0;
}

/* Each SELECT wants it, and most of them of a view that others have. */
uint32_t
view_find_unseen(const struct view *v)
{
	if (*v->unseen == UNASKED)
		*v->unseen = find_unseen(v);
	return *v->unseen;
}

void
view_diff_init(
    struct view_diff *d, const struct view *from, const struct view *to)
{
	*d = (struct view_diff){ from, to, 1, 1 };
}

/* Pass over what both share; false: the next messages must be compared. */
static bool
skip_shared(struct view_diff *d)
{
	const struct chunk *a, *b;
	uint32_t i, j;

	if (d->at_from > d->from->count || d->at_to > d->to->count)
		return false;
	a = view_at(d->from, d->at_from, &i);
	b = view_at(d->to, d->at_to, &j);
	if (a != b || i != j)
		return false;
	d->at_from += a->n - i;
	d->at_to += a->n - i;
	return true;
}

enum view_change
view_diff_next(struct view_diff *d, uint32_t *seq, const struct message **m)
{
	for (;;) {
		const struct message *a = NULL, *b = NULL;

		if (skip_shared(d))
			continue;
		if (d->at_from <= d->from->count)
			a = view_get(d->from, d->at_from);
		if (d->at_to <= d->to->count)
			b = view_get(d->to, d->at_to);
		if (a == NULL && b == NULL)
			return VIEW_SAME_END;
		if (b == NULL || (a != NULL && a->uid < b->uid)) {
			*seq = d->at_from++;
			*m = a;
			return VIEW_EXPUNGED;
		}
		*m = b;
		*seq = d->at_to++;
		if (a == NULL || b->uid < a->uid)
			return VIEW_ADDED;
		d->at_from++;
		if (a->modseq != b->modseq)
			return VIEW_FLAGS;
	}
}
