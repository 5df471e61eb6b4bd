/*
 * Things begin in the order of the run before, and both ways to sort leave
 * equals as they are.
 *
 * Texts: a merge sort from the bottom up: its state is five numbers, so that
 * it can stop anywhere.  Two runs that follow each other already are copied,
 * which makes texts in the order of arrival nearly free.
 * Numbers: by digits of eleven bits, the lowest first, without those that are
 * the same in all.  Dates of some years have three that aren't.
 */
#include "protocols/imap/sorter.h"

#include <endian.h>
#include <string.h>

#include "base/err.h"
#include "protocols/imap/shared.h"

enum {
	DIGIT_BITS = 11,
	DIGITS = 1 << DIGIT_BITS,
	KEY_BITS = 64,
	STEP_BYTES = 256, /* of two texts, compared in a step */
};

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
	imap_shared_free(s->places, s->cap_places, sizeof(*s->places));
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
		s->n_rank = s->n;
		for (size_t i = 0; i < s->n; i++)
			s->rank[s->v[i].item] = (uint32_t)i;
	}
	s->n = 0;
	s->n_texts = 0;
	s->by_text = by_text;
	s->reverse = reverse;
	s->width = 0;
	s->merging = false;
	s->differ = 0;
	return true;
}

static bool
add(struct imap_sorter *s, const uint64_t key[2], size_t text)
{
	struct imap_sort_entry *v =
	    imap_shared_grow(s->v, &s->cap, s->n + 1, sizeof(*v));
	uint64_t flip = s->reverse ? UINT64_MAX : 0;
	size_t place = s->n;

	if (v == NULL)
		return false;
	s->v = v;
	if (s->n_rank != 0) {
		assert(s->n < s->n_rank);
		place = s->rank[s->n];
	}
	v[place] = (struct imap_sort_entry){ { key[0] ^ flip, key[1] ^ flip },
		(uint32_t)s->n, (uint32_t)text };
	if (s->n++ == 0)
		s->first = key[0];
	s->differ |= key[0] ^ s->first;
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

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void
spend(size_t *work, size_t n)
{
	*work -= min_size(*work, n);
}

/* Whether a may stand before b. */
static bool
in_order(const struct imap_sorter *s, const struct imap_sort_entry *a,
    const struct imap_sort_entry *b, size_t *work)
{
	struct slice x, y;
	int d;

	if (a->key[0] != b->key[0])
		return a->key[0] < b->key[0];
	if (a->key[1] != b->key[1])
		return a->key[1] < b->key[1];
	x = text_of(s, a);
	y = text_of(s, b);
	d = slice_cmp(x, y);
	spend(work, min_size(x.n, y.n) / STEP_BYTES);
	return s->reverse ? d >= 0 : d <= 0;
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
		if (mid == high ||
		    in_order(s, &s->v[mid - 1], &s->v[mid], work)) {
			memcpy(s->to + s->low, s->v + s->low,
			    (high - s->low) * sizeof(*s->v));
			s->out = high;
			spend(work, (high - s->low) / 8 + 1);
		}
	}
	while (s->out < high) {
		bool left = s->right == high ||
		    (s->left < mid &&
			in_order(s, &s->v[s->left], &s->v[s->right], work));

		s->to[s->out++] = s->v[left ? s->left++ : s->right++];
		spend(work, 1);
		if (*work == 0)
			break;
	}
	if (s->out < high)
		return false;
	s->merging = false;
	return true;
}

static void
exchange_arrays(struct imap_sorter *s)
{
	struct imap_sort_entry *v = s->v;
	size_t cap = s->cap;

	s->v = s->to;
	s->cap = s->cap_to;
	s->to = v;
	s->cap_to = cap;
}

static int
run_texts(struct imap_sorter *s, size_t work)
{
	while (s->width < s->n) {
		while (s->low < s->n) {
			if (work == 0 || !merge(s, &work))
				return 0;
			s->low += 2 * s->width;
		}
		exchange_arrays(s);
		s->low = 0;
		s->width *= 2;
	}
	return 1;
}

static size_t
digit_of(const struct imap_sorter *s, size_t at)
{
	return (size_t)(s->v[at].key[0] >> s->shift) % DIGITS;
}

/* From how many have each digit to where the first of them goes. */
static void
find_places(struct imap_sorter *s)
{
	uint32_t sum = 0;

	for (size_t k = 0; k < DIGITS; k++) {
		uint32_t n = s->places[k];

		s->places[k] = sum;
		sum += n;
	}
}

/* Count a digit, then put all where it belongs; true when that's done. */
static bool
sort_digit(struct imap_sorter *s, size_t *work)
{
	size_t end;

	if (!s->counted && s->at == 0)
		memset(s->places, 0, DIGITS * sizeof(*s->places));
	end = s->at + min_size(*work, s->n - s->at);
	*work -= end - s->at;
	if (!s->counted) {
		for (; s->at < end; s->at++)
			s->places[digit_of(s, s->at)]++;
		if (end < s->n)
			return false;
		find_places(s);
		s->counted = true;
		s->at = 0;
		end = min_size(*work, s->n);
		*work -= end;
	}
	for (; s->at < end; s->at++)
		s->to[s->places[digit_of(s, s->at)]++] = s->v[s->at];
	if (end < s->n)
		return false;
	s->counted = false;
	s->at = 0;
	return true;
}

static int
run_numbers(struct imap_sorter *s, size_t work)
{
	for (; s->shift < KEY_BITS; s->shift += DIGIT_BITS) {
		if ((s->differ >> s->shift) % DIGITS == 0)
			continue;
		if (work == 0 || !sort_digit(s, &work))
			return 0;
		exchange_arrays(s);
	}
	return 1;
}

/* Room for what the run needs. */
static bool
prepare(struct imap_sorter *s)
{
	struct imap_sort_entry *to =
	    imap_shared_grow(s->to, &s->cap_to, s->n + 1, sizeof(*to));
	uint32_t *places;

	if (to == NULL)
		return false;
	s->to = to;
	s->low = s->at = 0;
	s->shift = 0;
	s->counted = false;
	if (!s->by_text) {
		places = imap_shared_grow(
		    s->places, &s->cap_places, DIGITS, sizeof(*places));
		if (places == NULL)
			return false;
		s->places = places;
	}
	s->width = 1;
	return true;
}

int
imap_sorter_run(struct imap_sorter *s, size_t work)
{
	if (s->width == 0 && !prepare(s))
		return ERR_LIMIT;
	return s->by_text ? run_texts(s, work) : run_numbers(s, work);
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
