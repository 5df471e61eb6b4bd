#include "protocols/mime/boundary.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocols/mime/lex.h"
#include "protocols/mime/message.h"

static const uint32_t HASH_SEED = 0x811c9dc5U;

/* FNV-1a, continued. */
static uint32_t
hash_add(uint32_t hash, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		hash = (hash ^ s.p[i]) * 0x01000193U;
	return hash;
}

static struct slice
boundary_of(const struct mime_boundaries *b, const struct mime_open *o)
{
	return slice_of(b->text.p + o->off, o->n);
}

void
mime_boundaries_init(struct mime_boundaries *b, size_t max)
{
	*b = (struct mime_boundaries){ .n = 0 };
	buf_init(&b->text, (max + 1) * MIME_BOUNDARY_MAX);
}

void
mime_boundaries_fini(struct mime_boundaries *b)
{
	free(b->v);
	b->v = NULL;
	b->n = b->cap = 0;
	buf_fini(&b->text);
}

void
mime_boundaries_push(
    struct mime_boundaries *b, uint32_t part, struct slice boundary)
{
	assert(boundary.n != 0 && boundary.n <= MIME_BOUNDARY_MAX);
	if (b->n == b->cap) {
		b->cap = b->cap == 0 ? 4 : b->cap * 2;
		b->v = mem_realloc(b->v, b->cap, sizeof(*b->v));
	}
	b->v[b->n++] = (struct mime_open){ .part = part,
		.last = MIME_NONE,
		.off = (uint32_t)buf_len(&b->text),
		.n = (uint32_t)boundary.n,
		.hash = hash_add(HASH_SEED, boundary) };
	buf_put(&b->text, boundary);
	assert(buf_ok(&b->text));
}

void
mime_boundaries_truncate(struct mime_boundaries *b, size_t n)
{
	if (n >= b->n)
		return;
	buf_truncate(&b->text, b->v[n].off);
	b->n = n;
}

/*
 * RFC 2046 5.1.1: it is enough that a line begins with the delimiter.  But one
 * boundary often begins another, of a multipart that isn't open any more or
 * never was, as "part1" does "part12": so a blank or "--" must follow.  The
 * longest boundary is meant.
 */
static enum mime_delimiter
match_beginning(
    const struct mime_boundaries *b, struct slice line, size_t *level)
{
	enum mime_delimiter found = MIME_DELIMITER_NONE;
	size_t longest = 0;

	for (size_t i = b->n; i-- > 0;) {
		struct slice boundary = boundary_of(b, &b->v[i]), rest;

		if (boundary.n <= longest || boundary.n >= line.n ||
		    !slice_starts(line, boundary))
			continue;
		rest = slice_skip(line, boundary.n);
		if (!mime_is_space(rest.p[0]) &&
		    !slice_starts(rest, SLICE("--")))
			continue;
		found = rest.p[0] == '-' ? MIME_DELIMITER_CLOSE
					 : MIME_DELIMITER_OPEN;
		longest = boundary.n;
		*level = i;
	}
	return found;
}

/*
 * The innermost exact match wins.  The hashes keep a hundred open multiparts
 * from making every line of dashes a hundred comparisons.
 */
enum mime_delimiter
mime_boundaries_match(
    const struct mime_boundaries *b, struct slice line, size_t *level)
{
	struct slice name, stem;
	uint32_t name_hash, stem_hash;
	bool closes;

	if (b->n == 0 || !slice_starts(line, SLICE("--")))
		return MIME_DELIMITER_NONE;
	/* transport-padding */
	name = slice_skip(line, 2);
	while (name.n != 0 && mime_is_space(name.p[name.n - 1]))
		name.n--;
	closes = slice_ends(name, SLICE("--"));
	stem = slice_first(name, closes ? name.n - 2 : name.n);
	stem_hash = hash_add(HASH_SEED, stem);
	name_hash = hash_add(stem_hash, slice_skip(name, stem.n));
	for (size_t i = b->n; i-- > 0;) {
		const struct mime_open *o = &b->v[i];
		*level = i;
		if (o->hash == name_hash && slice_eq(boundary_of(b, o), name))
			return MIME_DELIMITER_OPEN;
		if (closes && o->hash == stem_hash &&
		    slice_eq(boundary_of(b, o), stem))
			return MIME_DELIMITER_CLOSE;
	}
	return match_beginning(b, name, level);
}
