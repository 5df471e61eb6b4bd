/*
 * The names of a chunk as they are in the database.
 *
 * A name repeats the beginning and the end of the one before, but for the size
 * that it may tell.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/le.h"
#include "maildir/chunk_impl.h"

enum { NAME_HEAD = 3, DIGITS_MAX = 18 };

/* Cut ",S=n" from the end of a base name, spelled as put_size() would, and
 * return n + 1; else 0. */
static uint64_t
cut_size(struct slice *base)
{
	size_t at = base->n;
	uint64_t v = 0;

	while (at > 0 && ascii_is_digit(base->p[at - 1]))
		at--;
	if (at == base->n || base->n - at > DIGITS_MAX || at < 3 ||
	    memcmp(base->p + at - 3, ",S=", 3) != 0 ||
	    (base->p[at] == '0' && base->n - at > 1))
		return 0;
	for (size_t i = at; i < base->n; i++)
		v = v * 10 + (uint64_t)(base->p[i] - '0');
	base->n = at - 3;
	return v + 1;
}

/* What cut_size() made n + 1 of; the length. */
static size_t
put_size(uint8_t *to, uint64_t v)
{
	uint8_t digits[20];
	size_t n = 0, at = 3;

	if (v == 0)
		return 0;
	v--;
	do
		digits[n++] = (uint8_t)('0' + v % 10);
	while ((v /= 10) != 0);
	memcpy(to, ",S=", 3);
	while (n > 0)
		to[at++] = digits[--n];
	return at;
}

static size_t
common_prefix(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

static size_t
common_suffix(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[a.n - 1 - n] == b.p[b.n - 1 - n])
		n++;
	return n;
}

void
chunk_encode_names(const struct chunk *c, struct buf *out)
{
	uint64_t sizes[CHUNK_MAX], odds[CHUNK_MAX];
	struct slice stem[CHUNK_MAX], last = { NULL, 0 };

	for (uint32_t i = 0; i < c->n; i++) {
		stem[i] = chunk_base(c, i);
		sizes[i] = cut_size(&stem[i]);
		odds[i] = chunk_odd(c, i).n;
	}
	count_put(out, c->n);
	le_put(out, buf_len(&c->body->names), 4);
	column_put(out, sizes, c->n);
	column_put(out, odds, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		size_t before = common_prefix(last, stem[i]);
		size_t after = common_suffix(
		    slice_skip(last, before), slice_skip(stem[i], before));
		size_t n = stem[i].n - before - after;

		le_put(out, before | after << 8 | n << 16, NAME_HEAD);
		buf_put(out, slice_first(slice_skip(stem[i], before), n));
		buf_put(out, chunk_odd(c, i));
		last = stem[i];
	}
	chunk_seal(out);
}

/* How many bytes put_size() makes. */
static size_t
size_length(uint64_t v)
{
	size_t n = 4;

	if (v == 0)
		return 0;
	for (v--; v > 9999; v /= 10000)
		n += 4;
	return n + (v > 9) + (v > 99) + (v > 999);
}

/* What there is of one name: so much of its beginning and of its end, without
 * the size, are those of the one before. */
struct name_parts {
	size_t before, after, between, size, odd;
	uint64_t size_value;
};

/* The parts of the next; *stem: length of the last one without its size. */
static bool
take_parts(struct slice *in, struct name_parts *p, size_t *stem)
{
	if (in->n < NAME_HEAD)
		return false;
	p->before = in->p[0];
	p->after = in->p[1];
	p->between = in->p[2];
	p->size = size_length(p->size_value);
	*in = slice_skip(*in, NAME_HEAD);
	if (p->before > *stem || p->after > *stem - p->before)
		return false;
	*stem = p->before + p->between + p->after;
	return *stem + p->size <= CHUNK_TEXT_MAX && p->odd <= CHUNK_TEXT_MAX &&
	    p->between + p->odd <= in->n;
}

/* Write a name behind the last, whose stem is at from and was so long; the
 * bytes that are its own, and those of the odd part, are at own. */
static void
put_name(uint8_t *to, const uint8_t *from, size_t was,
    const struct name_parts *p, const uint8_t *own)
{
	memcpy(to, from, p->before);
	memcpy(to + p->before, own, p->between);
	memcpy(to + p->before + p->between, from + was - p->after, p->after);
	to += p->before + p->between + p->after;
	(void)put_size(to, p->size_value);
	memcpy(to + p->size, own + p->between, p->odd);
}

/*
 * Go through the names of n messages, and write them if there is where to; else
 * they are looked at only.  b->at and memory at `to' are there, or neither is.
 */
static bool
take_names(struct slice in, struct body *b, uint32_t n)
{
	uint64_t sizes[CHUNK_MAX], odds[CHUNK_MAX];
	size_t total, at = 0, last = 0, stem = 0;
	uint8_t *to = NULL;

	if (!count_is(&in, n) || in.n < 4)
		return false;
	/* it may be none: ":2,S" has an empty base name */
	total = (size_t)le_get32(in.p);
	in = slice_skip(in, 4);
	if (!column_take(&in, sizes, n) || !column_take(&in, odds, n))
		return false;
	if (b != NULL && (to = buf_reserve(&b->names, total + 1)) == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct name_parts p = { .size_value = sizes[i],
			.odd = odds[i] > CHUNK_TEXT_MAX ? SIZE_MAX
							: (size_t)odds[i] };
		size_t was = stem;

		if (!take_parts(&in, &p, &stem) ||
		    stem + p.size + p.odd > total - at)
			return false;
		if (to != NULL) {
			put_name(to + at, to + last, was, &p, in.p);
			b->at[2 * i + 1] = (uint32_t)(at + stem + p.size);
			b->at[2 * i + 2] = b->at[2 * i + 1] + (uint32_t)p.odd;
		}
		last = at;
		at += stem + p.size + p.odd;
		in = slice_skip(in, p.between + p.odd);
	}
	if (b != NULL)
		buf_advance(&b->names, at);
	return in.n == 0 && at == total;
}

bool
chunk_open_names(struct chunk *c, struct slice in)
{
	if (!take_names(in, NULL, c->n))
		return false;
	packed_set(&c->body->packed_names, in);
	return true;
}

void
body_unpack_names(struct body *b)
{
	bool ok;

	body_make_names(b);
	ok =
	    take_names(slice_of(b->packed_names.p, b->packed_names.n), b, b->n);
	assert(ok);
	packed_fini(&b->packed_names);
}
