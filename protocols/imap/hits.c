#include "protocols/imap/hits.h"

#include <stdlib.h>

#include "base/mem.h"

enum { WORD = 64 };

static uint32_t
n_words(const struct imap_hits *h)
{
	return h->n_all / WORD + 1;
}

void
imap_hits_init(struct imap_hits *h, uint32_t n_all)
{
	*h = (struct imap_hits){ .n_all = n_all };
	h->bits = mem_zalloc(n_words(h), sizeof(*h->bits));
}

void
imap_hits_fini(struct imap_hits *h)
{
	free(h->bits);
	*h = (struct imap_hits){ .n = 0 };
}

void
imap_hits_add(struct imap_hits *h, uint32_t seq)
{
	uint64_t bit = UINT64_C(1) << (seq % WORD);

	assert(seq >= 1 && seq <= h->n_all && (h->bits[seq / WORD] & bit) == 0);
	h->bits[seq / WORD] |= bit;
	h->n++;
}

uint32_t
imap_hits_next(const struct imap_hits *h, uint32_t seq)
{
	uint32_t w = seq / WORD;
	uint64_t bits;

	if (seq > h->n_all)
		return 0;
	bits = h->bits[w] & UINT64_MAX << (seq % WORD);
	while (bits == 0) {
		if (++w == n_words(h))
			return 0;
		bits = h->bits[w];
	}
	return w * WORD + (uint32_t)__builtin_ctzll(bits);
}

uint32_t
imap_hits_last(const struct imap_hits *h, uint32_t seq)
{
	uint32_t w;
	uint64_t bits;

	if (seq > h->n_all)
		seq = h->n_all;
	w = seq / WORD;
	bits = h->bits[w] & UINT64_MAX >> (WORD - 1 - seq % WORD);
	while (bits == 0) {
		if (w-- == 0)
			return 0;
		bits = h->bits[w];
	}
	return w * WORD + WORD - 1 - (uint32_t)__builtin_clzll(bits);
}

uint32_t
imap_hits_nth(const struct imap_hits *h, uint32_t k, bool from_end)
{
	uint32_t w = 0, before = 0, seq;

	if (k == 0 || k > h->n)
		return 0;
	if (from_end)
		k = h->n - k + 1;
	for (;; w++) {
		uint32_t n = (uint32_t)__builtin_popcountll(h->bits[w]);

		if (before + n >= k)
			break;
		before += n;
	}
	for (seq = imap_hits_next(h, w * WORD); ++before < k;)
		seq = imap_hits_next(h, seq + 1);
	return seq;
}
