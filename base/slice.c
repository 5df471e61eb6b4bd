#include "base/slice.h"

#include "base/ascii.h"
#include "base/mem.h"

bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int
slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n != 0 ? memcmp(a.p, b.p, n) : 0;

	if (d != 0)
		return d;
	return (a.n > b.n) - (a.n < b.n);
}

int
slice_icmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = ascii_lower(a.p[i]) - ascii_lower(b.p[i]);
		if (d != 0)
			return d;
	}
	return (a.n > b.n) - (a.n < b.n);
}

bool
slice_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_eq(slice_first(s, prefix.n), prefix);
}

bool
slice_istarts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_ieq(slice_first(s, prefix.n), prefix);
}

bool
slice_ends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n &&
	    slice_eq(slice_skip(s, s.n - suffix.n), suffix);
}

size_t
slice_find(struct slice s, uint8_t c)
{
	const uint8_t *hit = s.n != 0 ? memchr(s.p, c, s.n) : NULL;

	return hit != NULL ? (size_t)(hit - s.p) : s.n;
}

size_t
slice_rfind(struct slice s, uint8_t c)
{
	const uint8_t *hit = s.n != 0 ? memrchr(s.p, c, s.n) : NULL;

	return hit != NULL ? (size_t)(hit - s.p) : s.n;
}

bool
slice_has(struct slice s, uint8_t c)
{
	return slice_find(s, c) < s.n;
}

/* Sixteen bytes at a time, compared with sixteen others. */
typedef uint8_t vector __attribute__((vector_size(16)));

static vector
vector_at(const uint8_t *p)
{
	vector v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static vector
vector_of(uint8_t c)
{
	return (vector){ 0 } + c;
}

static bool
vector_any(vector v)
{
	uint64_t any[2];

	memcpy(any, &v, sizeof(any));
	return (any[0] | any[1]) != 0;
}

/* Which of the places from p on have one byte, and another so far behind. */
static vector
places_of(const uint8_t *p, vector first, vector second, size_t behind)
{
	return (vector)(vector_at(p) == first) &
	    (vector)(vector_at(p + behind) == second);
}

/*
 * How many of n places have no such bytes for sure.  Two vectors at a time, as
 * asking whether any fits costs as much as comparing one.
 */
static size_t
pass_misses(
    const uint8_t *p, size_t n, vector first, vector second, size_t behind)
{
	const size_t step = sizeof(vector);
	size_t at = 0;

	while (n - at >= 2 * step &&
	    !vector_any(places_of(p + at, first, second, behind) |
		places_of(p + at + step, first, second, behind)))
		at += 2 * step;
	while (n - at >= step &&
	    !vector_any(places_of(p + at, first, second, behind)))
		at += step;
	return at;
}

/*
 * Where both the first and the last byte fit, the rest is compared.  Text that
 * is made for it can have that happen at every place: then memmem(), which is
 * slow and linear, does what is left.
 */
bool
slice_contains(struct slice s, struct slice what)
{
	size_t at = 0, last = what.n - 1, patience = s.n + 1024;
	vector first_byte, last_byte;

	if (what.n == 0)
		return true;
	if (what.n > s.n)
		return false;
	first_byte = vector_of(what.p[0]);
	last_byte = vector_of(what.p[last]);
	for (;; at += sizeof(vector)) {
		vector hits;

		at += pass_misses(
		    s.p + at, s.n - last - at, first_byte, last_byte, last);
		if (s.n - last - at < sizeof(vector))
			break;
		hits = places_of(s.p + at, first_byte, last_byte, last);
		for (size_t k = 0; k < sizeof(vector); k++) {
			if (hits[k] == 0)
				continue;
			if (memcmp(s.p + at + k, what.p, what.n) == 0)
				return true;
			if (patience <= what.n)
				goto rest;
			patience -= what.n;
		}
	}
rest:
	return memmem(s.p + at, s.n - at, what.p, what.n) != NULL;
}

size_t
slice_find_pair(struct slice s, uint8_t a, uint8_t b)
{
	size_t at = s.n < 2
	    ? 0
	    : pass_misses(s.p, s.n - 1, vector_of(a), vector_of(b), 1);

	for (; s.n - at > 1; at++)
		if (s.p[at] == a && s.p[at + 1] == b)
			return at;
	return s.n;
}

/* Of so many vectors, at most 255, behind a byte. */
static struct slice_lines
count_vectors(const uint8_t *p, size_t n)
{
	struct slice_lines c = { 0, 0 };
	vector all = vector_of(0), bare = vector_of(0);

	for (size_t i = 0; i < n; i++, p += sizeof(vector)) {
		vector lf = (vector)(vector_at(p) == vector_of('\n'));
		vector cr = (vector)(vector_at(p - 1) == vector_of('\r'));

		/* true is all bits, -1 */
		all -= lf;
		bare -= lf & ~cr;
	}
	for (size_t k = 0; k < sizeof(vector); k++) {
		c.all += all[k];
		c.bare += bare[k];
	}
	return c;
}

struct slice_lines
slice_count_lines(struct slice s, uint8_t before)
{
	struct slice_lines c = { 0, 0 }, more;
	size_t at = 0, n;

	if (s.n != 0 && s.p[at++] == '\n')
		c = (struct slice_lines){ 1, before != '\r' };
	while ((n = (s.n - at) / sizeof(vector)) != 0) {
		n = n > 255 ? 255 : n;
		more = count_vectors(s.p + at, n);
		c.all += more.all;
		c.bare += more.bare;
		at += n * sizeof(vector);
	}
	for (; at < s.n; at++) {
		c.all += s.p[at] == '\n';
		c.bare += s.p[at] == '\n' && s.p[at - 1] != '\r';
	}
	return c;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice
slice_trim(struct slice s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = slice_skip(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
slice_split(struct slice *rest, uint8_t sep, struct slice *piece)
{
	size_t at;

	if (rest->p == NULL)
		return false;
	at = slice_find(*rest, sep);
	*piece = slice_first(*rest, at);
	if (at == rest->n)
		*rest = slice_of(NULL, 0);
	else
		*rest = slice_of(rest->p + at + 1, rest->n - at - 1);
	return true;
}

char *
slice_dup(struct slice s)
{
	char *copy = mem_alloc(s.n + 1);

	if (s.n != 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}
