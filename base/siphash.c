#include "base/siphash.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static uint64_t
rotated(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void
mix(struct state *s, unsigned rounds)
{
	while (rounds-- != 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotated(s->v1, 13) ^ s->v0;
		s->v3 = rotated(s->v3, 16) ^ s->v2;
		s->v0 = rotated(s->v0, 32) + s->v3;
		s->v2 += s->v1;
		s->v1 = rotated(s->v1, 17) ^ s->v2;
		s->v3 = rotated(s->v3, 21) ^ s->v0;
		s->v2 = rotated(s->v2, 32);
	}
}

/* Up to eight bytes, the first one lowest. */
static uint64_t
word_of(const uint8_t *p, size_t n)
{
	uint64_t w = 0;

	while (n-- != 0)
		w = w << 8 | p[n];
	return w;
}

static void
take(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s, 2);
	s->v0 ^= word;
}

uint64_t
siphash(const uint8_t key[SIPHASH_KEY_LEN], struct slice text)
{
	uint64_t k0 = word_of(key, 8), k1 = word_of(key + 8, 8);
	uint64_t length = (uint64_t)text.n << 56;
	struct state s = {
		.v0 = k0 ^ 0x736f6d6570736575u,
		.v1 = k1 ^ 0x646f72616e646f6du,
		.v2 = k0 ^ 0x6c7967656e657261u,
		.v3 = k1 ^ 0x7465646279746573u,
	};

	while (text.n >= 8) {
		take(&s, word_of(text.p, 8));
		text = slice_skip(text, 8);
	}
	take(&s, length | word_of(text.p, text.n));
	s.v2 ^= 0xff;
	mix(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
