#include "maildir/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/file_name.h"

enum {
	FIXED_BYTES = 44,
	FIXED_BYTES_1 = 36, /* of schema 1 */
	STATE_BYTES = 20,
	SUM_BYTES = 8,
	NAMES_MAX = CHUNK_MAX * 2 * 260,
	ENDING_SHIFT = 62, /* above any size that a file can have */
};

void
le_put(struct buf *b, uint64_t v, unsigned n_bytes)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < n_bytes; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	buf_put(b, slice_of(bytes, n_bytes));
}

uint64_t
le_get(const uint8_t *p, unsigned n_bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint64_t
blob_sum(struct slice s)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ s.n;

	while (s.n >= 8) {
		h = (h ^ le_get(s.p, 8)) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
		s = slice_skip(s, 8);
	}
	if (s.n != 0)
		h = (h ^ le_get(s.p, (unsigned)s.n)) * 0xff51afd7ed558ccdu;
	return h ^ h >> 29;
}

void
blob_seal(struct buf *b)
{
	le_put(b, blob_sum(buf_slice(b)), SUM_BYTES);
}

bool
blob_open(struct slice *s)
{
	struct slice in = *s;

	if (in.n < SUM_BYTES)
		return false;
	in.n -= SUM_BYTES;
	if (blob_sum(in) != le_get(in.p + in.n, SUM_BYTES))
		return false;
	*s = in;
	return true;
}

/* --- bodies -------------------------------------------------------------- */

static struct body *
body_new(uint32_t cap)
{
	struct body *b = MEM_NEW(struct body);

	b->refs = 1;
	b->cap = cap;
	b->fixed = mem_zalloc(cap, sizeof(*b->fixed));
	b->at = mem_zalloc(2 * (size_t)cap + 1, sizeof(*b->at));
	buf_init(&b->names, NAMES_MAX);
	return b;
}

static void
body_unref(struct body **b)
{
	if (*b != NULL && --(*b)->refs == 0) {
		free((*b)->fixed);
		free((*b)->at);
		buf_fini(&(*b)->names);
		free(*b);
	}
	*b = NULL;
}

static void
body_append(struct body *b, struct slice base, struct slice odd,
    const struct fixed *fixed)
{
	if (b->n == b->cap) {
		b->cap = b->cap < 8 ? 8 : b->cap * 2;
		b->fixed = mem_realloc(b->fixed, b->cap, sizeof(*b->fixed));
		b->at =
		    mem_realloc(b->at, 2 * (size_t)b->cap + 1, sizeof(*b->at));
	}
	b->fixed[b->n] = *fixed;
	buf_put(&b->names, base);
	b->at[2 * b->n + 1] = (uint32_t)buf_len(&b->names);
	buf_put(&b->names, odd);
	b->at[2 * b->n + 2] = (uint32_t)buf_len(&b->names);
	assert(buf_ok(&b->names));
	b->n++;
}

static struct slice
body_text(const struct body *b, size_t i)
{
	return slice_of(
	    buf_slice(&b->names).p + b->at[i], b->at[i + 1] - b->at[i]);
}

/* A body of its own for c: without removed messages, and with odd instead of
 * what message odd_at (or UINT32_MAX) had. */
static void
body_remake(struct chunk *c, uint32_t odd_at, struct slice odd)
{
	struct body *old = c->body, *b = body_new(c->n);

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].uid != 0)
			body_append(b, body_text(old, 2 * (size_t)i),
			    i == odd_at ? odd
					: body_text(old, 2 * (size_t)i + 1),
			    &old->fixed[i]);
	b->dirty = old->dirty;
	body_unref(&c->body);
	c->body = b;
	c->dirty_body = true;
}

/* --- chunks -------------------------------------------------------------- */

static void
reserve(struct chunk *c, uint32_t cap)
{
	c->cap = cap;
	c->m = mem_realloc(c->m, cap, sizeof(*c->m));
	c->place = mem_realloc(c->place, cap, sizeof(*c->place));
}

struct chunk *
chunk_new(uint32_t first)
{
	struct chunk *c = MEM_NEW(struct chunk);

	c->refs = 1;
	c->first = first;
	c->own = c->dirty_body = true;
	c->body = body_new(0);
	return c;
}

struct chunk *
chunk_ref(struct chunk *c)
{
	c->refs++;
	return c;
}

void
chunk_unref(struct chunk **c)
{
	if (*c != NULL && --(*c)->refs == 0) {
		free((*c)->m);
		free((*c)->place);
		body_unref(&(*c)->body);
		free(*c);
	}
	*c = NULL;
}

struct chunk *
chunk_clone(const struct chunk *c)
{
	struct chunk *d = MEM_NEW(struct chunk);

	d->refs = 1;
	d->first = c->first;
	d->own = true;
	d->n = c->n;
	d->body = c->body;
	d->body->refs++;
	reserve(d, c->n);
	memcpy(d->m, c->m, c->n * sizeof(*c->m));
	memcpy(d->place, c->place, c->n * sizeof(*c->place));
	return d;
}

struct slice
chunk_base(const struct chunk *c, uint32_t i)
{
	return body_text(c->body, 2 * (size_t)i);
}

struct slice
chunk_odd(const struct chunk *c, uint32_t i)
{
	return body_text(c->body, 2 * (size_t)i + 1);
}

struct fixed *
chunk_fixed(const struct chunk *c, uint32_t i)
{
	return &c->body->fixed[i];
}

void
chunk_append(struct chunk *c, const struct message *m, uint64_t place,
    struct slice base, struct slice odd, const struct fixed *fixed)
{
	assert(c->own && c->n < CHUNK_MAX);
	if (c->body->refs != 1)
		body_remake(c, UINT32_MAX, slice_of(NULL, 0));
	assert(c->body->n == c->n);
	if (c->n == c->cap)
		reserve(c, c->cap < 8 ? 8 : c->cap * 2);
	c->m[c->n] = *m;
	c->place[c->n] = place;
	c->n++;
	c->dirty_body = true;
	body_append(c->body, base, odd, fixed);
}

void
chunk_set_place(struct chunk *c, uint32_t i, uint64_t place, struct slice odd)
{
	assert(c->own && i < c->n);
	if (!(place & PLACE_ODD))
		odd = slice_of(NULL, 0);
	/* Removed messages must stay in step with the body until the end. */
	if (!slice_eq(odd, chunk_odd(c, i)) && c->n_removed == 0)
		body_remake(c, i, odd);
	else if (place & PLACE_ODD && c->n_removed != 0)
		place &= ~PLACE_ODD;
	c->place[i] = place;
}

uint64_t
chunk_email_id(const struct chunk *c, uint32_t i)
{
	uint64_t id = chunk_fixed(c, i)->email_id;

	if (id == 0)
		id = blob_sum(chunk_base(c, i));
	return id != 0 ? id : 1;
}

void
chunk_set_saved(struct chunk *c, int64_t save_ms)
{
	assert(c->own && c->n_removed == 0);
	body_remake(c, UINT32_MAX, slice_of(NULL, 0));
	for (uint32_t i = 0; i < c->n; i++)
		chunk_fixed(c, i)->save_ms = save_ms;
}

void
chunk_compact(struct chunk *c)
{
	uint32_t n = 0;

	if (c->n_removed == 0)
		return;
	body_remake(c, UINT32_MAX, slice_of(NULL, 0));
	for (uint32_t i = 0; i < c->n; i++) {
		if (c->m[i].uid == 0)
			continue;
		c->m[n] = c->m[i];
		c->place[n++] = c->place[i];
	}
	c->n = n;
	c->n_removed = 0;
}

/* --- on disk ------------------------------------------------------------- */

void
chunk_encode_fixed(const struct chunk *c, struct buf *out)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const struct fixed *f = chunk_fixed(c, i);

		le_put(out, c->m[i].uid, 4);
		le_put(out, (uint64_t)f->internal_ms, 8);
		le_put(out, (uint64_t)f->save_ms, 8);
		le_put(out, f->file_size, 8);
		le_put(out,
		    f->wire_size == SIZE_UNKNOWN
			? SIZE_UNKNOWN
			: f->wire_size | (uint64_t)f->ending << ENDING_SHIFT,
		    8);
		le_put(out, f->email_id, 8);
	}
	blob_seal(out);
}

void
chunk_encode_names(const struct chunk *c, struct buf *out)
{
	for (uint32_t i = 0; i < 2 * c->n; i++) {
		struct slice s = body_text(c->body, i);

		le_put(out, s.n, 2);
		buf_put(out, s);
	}
	blob_seal(out);
}

void
chunk_encode_state(const struct chunk *c, struct buf *out)
{
	for (uint32_t i = 0; i < c->n; i++) {
		le_put(out, c->place[i], 8);
		le_put(out, c->m[i].keywords, 4);
		le_put(out, c->m[i].modseq, 8);
	}
	blob_seal(out);
}

static bool
take_text(struct slice *in, struct slice *out)
{
	size_t n;

	if (in->n < 2 || (n = (size_t)le_get(in->p, 2)) > in->n - 2 || n > 255)
		return false;
	*out = slice_of(in->p + 2, n);
	*in = slice_skip(*in, 2 + n);
	return true;
}

static void
decode_one(const uint8_t *fixed, size_t size, const uint8_t *state,
    struct message *m, struct fixed *f)
{
	m->uid = (uint32_t)le_get(fixed, 4);
	f->internal_ms = (int64_t)le_get(fixed + 4, 8);
	f->save_ms = (int64_t)le_get(fixed + 12, 8);
	f->file_size = le_get(fixed + 20, 8);
	f->wire_size = le_get(fixed + 28, 8);
	f->ending = ENDING_UNKNOWN;
	if (f->wire_size != SIZE_UNKNOWN) {
		f->ending = (enum ending)(f->wire_size >> ENDING_SHIFT);
		f->wire_size &= (UINT64_C(1) << ENDING_SHIFT) - 1;
	}
	f->email_id = size == FIXED_BYTES ? le_get(fixed + 36, 8) : 0;
	m->flags = place_flags(le_get(state, 8));
	m->keywords = (uint32_t)le_get(state + 8, 4);
	m->modseq = le_get(state + 12, 8);
}

/* The texts of n messages, which are all there is. */
static bool
take_names(struct body *b, uint32_t n, struct slice in)
{
	uint8_t *to = buf_reserve(&b->names, in.n);
	size_t at = 0;

	if (to == NULL)
		return false;

	for (uint32_t i = 0; i < 2 * n; i++) {
		struct slice text;

		if (!take_text(&in, &text))
			return false;
		if (text.n != 0)
			memcpy(to + at, text.p, text.n);
		at += text.n;
		b->at[i + 1] = (uint32_t)at;
	}
	buf_advance(&b->names, at);
	return in.n == 0;
}

/* An owned one with room for n messages. */
static struct chunk *
chunk_with(uint32_t first, uint32_t n)
{
	struct chunk *c = MEM_NEW(struct chunk);

	c->refs = 1;
	c->first = first;
	c->own = c->dirty_body = true;
	c->body = body_new(n);
	reserve(c, n);
	return c;
}

struct chunk *
chunk_decode(
    uint32_t first, struct slice fixed, struct slice names, struct slice state)
{
	struct chunk *c;
	uint32_t n, last = 0;
	size_t size = FIXED_BYTES;

	if (!blob_open(&fixed) || !blob_open(&names) || !blob_open(&state) ||
	    state.n % STATE_BYTES != 0 || state.n / STATE_BYTES > CHUNK_MAX)
		return NULL;
	n = (uint32_t)(state.n / STATE_BYTES);
	if (fixed.n == n * (size_t)FIXED_BYTES_1)
		size = FIXED_BYTES_1;
	else if (fixed.n != n * size)
		return NULL;
	if (n == 0)
		return NULL;
	c = chunk_with(first, n);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *s = state.p + (size_t)i * STATE_BYTES;

		decode_one(
		    fixed.p + i * size, size, s, &c->m[i], &c->body->fixed[i]);
		c->place[i] = le_get(s, 8);
		if (c->m[i].uid <= last || c->m[i].uid < first)
			goto damaged;
		last = c->m[i].uid;
	}
	if (!take_names(c->body, n, names))
		goto damaged;
	c->n = c->body->n = n;
	c->own = c->dirty_body = false;
	return c;
damaged:
	chunk_unref(&c);
	return NULL;
}
