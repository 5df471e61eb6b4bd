/*
 * A merge sort from the bottom up: its state is five numbers, so that it can
 * stop anywhere.  Two runs that follow each other already are copied, which
 * makes dates of a mailbox in the order of arrival nearly free.
 */
#include "protocols/imap/sorter.h"

#include <endian.h>
#include <string.h>

#include "base/err.h"
#include "protocols/imap/shared.h"

void
imap_sorter_init(struct imap_sorter *s)
{
	*s = (struct imap_sorter){ .n = 0 };
}

void
imap_sorter_fini(struct imap_sorter *s)
{
	imap_shared_free(s->v, s->cap, sizeof(*s->v));
	imap_shared_free(s->to, s->cap_to, sizeof(*s->to));
	imap_shared_free(s->texts, s->cap_texts, 1);
	imap_shared_free(s->rank, s->cap_rank, sizeof(*s->rank));
	imap_shared_free(s->before, s->cap_before, sizeof(*s->before));
	imap_sorter_init(s);
}

bool
imap_sorter_begin(struct imap_sorter *s, bool by_text, bool reverse)
{
	if (s->n != 0) {
		uint32_t *rank = imap_shared_grow(
		    s->rank, &s->cap_rank, s->n, sizeof(*rank));

		if (rank == NULL)
			return false;
		s->rank = rank;
		for (size_t i = 0; i < s->n; i++)
			s->rank[s->v[i].item] = (uint32_t)i;
	}
	s->n = 0;
	s->n_texts = 0;
	s->by_text = by_text;
	s->reverse = reverse;
	s->width = 0;
	s->merging = false;
	s->n_ranks = 0;
	return true;
}

bool
imap_sorter_begin_ranks(struct imap_sorter *s, size_t n_ranks)
{
	uint32_t *before;
	bool first = s->n == 0;

	if (!imap_sorter_begin(s, false, false))
		return false;
	if (!first)
		return true; /* equals have an order: the merge knows it */
	before = imap_shared_grow(
	    s->before, &s->cap_before, n_ranks + 1, sizeof(*before));
	if (before == NULL)
		return false;
	s->before = before;
	memset(before, 0, (n_ranks + 1) * sizeof(*before));
	s->n_ranks = n_ranks;
	s->at = 0;
	s->phase = 0;
	return true;
}

static bool
add(struct imap_sorter *s, const uint64_t key[2], size_t text)
{
	struct imap_sort_entry *v =
	    imap_shared_grow(s->v, &s->cap, s->n + 1, sizeof(*v));

	if (v == NULL)
		return false;
	s->v = v;
	s->v[s->n] = (struct imap_sort_entry){ { key[0], key[1] },
		(uint32_t)s->n, (uint32_t)text };
	if (s->reverse) {
		s->v[s->n].key[0] = ~key[0];
		s->v[s->n].key[1] = ~key[1];
	}
	s->n++;
	return true;
}

bool
imap_sorter_number(struct imap_sorter *s, int64_t key)
{
	const uint64_t first[2] = { (uint64_t)key ^ UINT64_C(1) << 63, 0 };

	return add(s, first, 0);
}

/* The first bytes of a text as a number that orders as they do. */
static uint64_t
eight_bytes(struct slice s)
{
	uint64_t v = 0;

	if (s.n >= sizeof(v)) {
		memcpy(&v, s.p, sizeof(v));
		return be64toh(v);
	}
	for (size_t i = 0; i < sizeof(v); i++)
		v = v << 8 | (i < s.n ? s.p[i] : 0);
	return v;
}

bool
imap_sorter_text(struct imap_sorter *s, struct slice key)
{
	size_t at = s->n_texts;
	uint32_t n = (uint32_t)key.n;
	uint64_t first[2];
	uint8_t *texts;

	if (at + 4 + key.n > UINT32_MAX)
		return false;
	texts = imap_shared_grow(s->texts, &s->cap_texts, at + 4 + key.n, 1);
	if (texts == NULL)
		return false;
	s->texts = texts;
	memcpy(s->texts + at, &n, 4);
	if (n != 0)
		memcpy(s->texts + at + 4, key.p, n);
	s->n_texts += 4 + key.n;
	first[0] = eight_bytes(key);
	first[1] = eight_bytes(slice_skip(key, 8));
	return add(s, first, at);
}

static struct slice
text_of(const struct imap_sorter *s, const struct imap_sort_entry *e)
{
	uint32_t n;

	memcpy(&n, s->texts + e->text, 4);
	return slice_of(s->texts + e->text + 4, n);
}

/* Whether a belongs before b. */
static bool
before(const struct imap_sorter *s, const struct imap_sort_entry *a,
    const struct imap_sort_entry *b)
{
	if (a->key[0] != b->key[0])
		return a->key[0] < b->key[0];
	if (a->key[1] != b->key[1])
		return a->key[1] < b->key[1];
	if (s->by_text) {
		int d = slice_cmp(text_of(s, a), text_of(s, b));

		if (d != 0)
			return (d < 0) != s->reverse;
	}
	if (s->rank != NULL)
		return s->rank[a->item] < s->rank[b->item];
	return a->item < b->item;
}

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Merge the two runs at low; true when it's done. */
static bool
merge(struct imap_sorter *s, size_t *work)
{
	size_t mid = min_size(s->low + s->width, s->n);
	size_t high = min_size(s->low + 2 * s->width, s->n);

	if (!s->merging) {
		s->left = s->out = s->low;
		s->right = mid;
		s->merging = true;
		if (mid == high || before(s, &s->v[mid - 1], &s->v[mid])) {
			memcpy(s->to + s->low, s->v + s->low,
			    (high - s->low) * sizeof(*s->v));
			s->out = high;
			*work -= min_size(*work, (high - s->low) / 8 + 1);
		}
	}
	while (s->out < high) {
		bool left = s->right == high ||
		    (s->left < mid &&
			before(s, &s->v[s->left], &s->v[s->right]));

		s->to[s->out++] = s->v[left ? s->left++ : s->right++];
		if (--*work == 0)
			break;
	}
	if (s->out < high)
		return false;
	s->merging = false;
	return true;
}

/* The two arrays change places for the next, longer runs. */
static void
next_width(struct imap_sorter *s)
{
	struct imap_sort_entry *v = s->v;
	size_t cap = s->cap;

	s->v = s->to;
	s->cap = s->cap_to;
	s->to = v;
	s->cap_to = cap;
	s->low = 0;
	s->width *= 2;
}

/* The rank that imap_sorter_number() was told. */
static size_t
rank_of(const struct imap_sort_entry *e)
{
	return (size_t)(e->key[0] ^ UINT64_C(1) << 63);
}

/* One step of the counting sort; false at the end of its phase. */
static bool
count(struct imap_sorter *s)
{
	size_t at = s->at++;

	if (s->phase == 0) {
		if (at == s->n)
			return false;
		assert(rank_of(&s->v[at]) < s->n_ranks);
		s->before[rank_of(&s->v[at]) + 1]++;
	} else if (s->phase == 1) {
		if (at >= s->n_ranks)
			return false;
		s->before[at + 1] += s->before[at];
	} else {
		if (at == s->n)
			return false;
		s->to[s->before[rank_of(&s->v[at])]++] = s->v[at];
	}
	return true;
}

static int
run_ranks(struct imap_sorter *s, size_t work)
{
	while (s->phase < 3) {
		if (work-- == 0)
			return 0;
		if (!count(s)) {
			s->phase++;
			s->at = 0;
		}
	}
	next_width(s);
	s->n_ranks = 0; /* once */
	s->width = s->n;
	return 1;
}

int
imap_sorter_run(struct imap_sorter *s, size_t work)
{
	if (s->width == 0) {
		struct imap_sort_entry *to =
		    imap_shared_grow(s->to, &s->cap_to, s->n + 1, sizeof(*to));

		if (to == NULL)
			return ERR_LIMIT;
		s->to = to;
		s->width = 1;
		s->low = 0;
	}
	if (s->n_ranks != 0)
		return run_ranks(s, work);
	while (s->width < s->n) {
		while (s->low < s->n) {
			if (work == 0 || !merge(s, &work))
				return 0;
			s->low += 2 * s->width;
		}
		next_width(s);
	}
	return 1;
}

uint32_t
imap_sorter_item(const struct imap_sorter *s, size_t place)
{
	return s->v[place].item;
}

bool
imap_sorter_same(const struct imap_sorter *s, size_t place)
{
	return slice_eq(text_of(s, &s->v[place - 1]), text_of(s, &s->v[place]));
}

size_t
imap_sorter_count(const struct imap_sorter *s)
{
	return s->n;
}
