#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/chunk_impl.h"
#include "maildir/file_name.h"

enum { NAMES_MAX = CHUNK_MAX * 2 * 260 };

/* --- bodies -------------------------------------------------------------- */

static struct body *
body_new(uint32_t cap)
{
	struct body *b = MEM_NEW(struct body);

	b->refs = 1;
	b->cap = cap;
	b->save_floor = INT64_MIN;
	buf_init(&b->names, NAMES_MAX);
	return b;
}

void
body_make_fixed(struct body *b)
{
	b->fixed = mem_zalloc(b->cap, sizeof(*b->fixed));
}

void
body_make_names(struct body *b)
{
	b->at = mem_zalloc(2 * (size_t)b->cap + 1, sizeof(*b->at));
}

void
body_drop_names(struct body *b)
{
	free(b->at);
	b->at = NULL;
	buf_fini(&b->names);
	buf_init(&b->names, NAMES_MAX);
}

static struct body *
body_new_unpacked(uint32_t cap)
{
	struct body *b = body_new(cap);

	body_make_fixed(b);
	body_make_names(b);
	return b;
}

static void
body_unref(struct body **b)
{
	if (*b != NULL && --(*b)->refs == 0) {
		free((*b)->packed_fixed.p);
		free((*b)->packed_names.p);
		free((*b)->fixed);
		free((*b)->at);
		buf_fini(&(*b)->names);
		free(*b);
	}
	*b = NULL;
}

static struct fixed *
body_fixed(struct body *b, uint32_t i)
{
	if (b->packed_fixed.p != NULL)
		body_unpack_fixed(b);
	return &b->fixed[i];
}

static struct slice
body_text(struct body *b, size_t i)
{
	struct slice names;

	assert(!b->nameless);
	if (b->packed_names.p != NULL)
		body_unpack_names(b);
	names = buf_slice(&b->names);
	/* one message without a name leaves no memory to point into */
	return names.n == 0
	    ? names
	    : slice_of(names.p + b->at[i], b->at[i + 1] - b->at[i]);
}

static void
body_append(struct body *b, struct slice base, struct slice odd,
    const struct fixed *fixed)
{
	assert(!b->nameless);
	if (b->packed_fixed.p != NULL)
		body_unpack_fixed(b);
	if (b->packed_names.p != NULL)
		body_unpack_names(b);
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

/* A body of its own for c: without removed messages, and with odd instead of
 * what message odd_at (or UINT32_MAX) had. */
static void
body_remake(struct chunk *c, uint32_t odd_at, struct slice odd)
{
	struct body *old = c->body, *b = body_new_unpacked(c->n);

	for (uint32_t i = 0; i < c->n; i++)
		if (chunk_uid(c, i) != 0)
			body_append(b, body_text(old, 2 * (size_t)i),
			    i == odd_at ? odd
					: body_text(old, 2 * (size_t)i + 1),
			    body_fixed(old, i));
	b->dirty = old->dirty;
	body_unref(&c->body);
	c->body = b;
	c->dirty_body = true;
}

/* --- chunks -------------------------------------------------------------- */

void
chunk_reserve(struct chunk *c, uint32_t cap)
{
	c->cap = cap;
	c->messages = mem_realloc(c->messages, cap, sizeof(*c->messages));
	c->places = mem_realloc(c->places, cap, sizeof(*c->places));
}

/* A chunk that is in a view is the same, packed or not. */
static void
unpack_state(const struct chunk *c)
{
	if (c->packed_state.p != NULL)
		chunk_unpack_state((struct chunk *)(uintptr_t)c);
}

struct chunk *
chunk_new(uint32_t first)
{
	struct chunk *c = MEM_NEW(struct chunk);

	c->refs = 1;
	c->first = first;
	c->own = c->dirty_body = true;
	c->body = body_new_unpacked(0);
	return c;
}

struct chunk *
chunk_sized(uint32_t first, uint32_t n)
{
	struct chunk *c = MEM_NEW(struct chunk);

	c->refs = 1;
	c->first = first;
	c->body = body_new(n);
	c->body->nameless = true;
	c->n = c->body->n = n;
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
		free((*c)->packed_state.p);
		free((*c)->facts.uids);
		free((*c)->messages);
		free((*c)->places);
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
	unpack_state(c);
	chunk_reserve(d, c->n);
	memcpy(d->messages, c->messages, c->n * sizeof(*c->messages));
	memcpy(d->places, c->places, c->n * sizeof(*c->places));
	return d;
}

struct message *
chunk_message(const struct chunk *c, uint32_t i)
{
	unpack_state(c);
	return &c->messages[i];
}

uint64_t
chunk_place(const struct chunk *c, uint32_t i)
{
	unpack_state(c);
	return c->places[i];
}

uint32_t
chunk_uid(const struct chunk *c, uint32_t i)
{
	if (c->packed_state.p == NULL)
		return c->messages[i].uid;
	return c->facts.uids != NULL ? c->facts.uids[i]
				     : c->facts.first_uid + i;
}

uint32_t
chunk_count_new(const struct chunk *c)
{
	uint32_t n = 0;

	if (c->packed_state.p != NULL)
		return c->facts.n_new;
	for (uint32_t i = 0; i < c->n; i++)
		n += (c->places[i] & PLACE_NEW) != 0;
	return n;
}

bool
chunk_all_seen(const struct chunk *c)
{
	return c->packed_state.p != NULL && c->facts.all_seen;
}

uint64_t
chunk_highest_modseq(const struct chunk *c)
{
	uint64_t high = 0;

	if (c->packed_state.p != NULL)
		return c->facts.highest_modseq > c->facts.modseq_floor
		    ? c->facts.highest_modseq
		    : c->facts.modseq_floor;
	for (uint32_t i = 0; i < c->n; i++)
		if (c->messages[i].modseq > high)
			high = c->messages[i].modseq;
	return high;
}

void
chunk_set_modseq_floor(struct chunk *c, uint64_t floor)
{
	c->facts.modseq_floor = floor;
	if (c->packed_state.p != NULL)
		return;
	for (uint32_t i = 0; i < c->n; i++)
		if (c->messages[i].modseq < floor)
			c->messages[i].modseq = floor;
}

void
chunk_set_save_floor(struct chunk *c, int64_t floor)
{
	struct body *b = c->body;

	b->save_floor = floor;
	if (b->packed_fixed.p != NULL)
		return;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->fixed[i].save_ms < floor)
			b->fixed[i].save_ms = floor;
}

bool
chunk_has_names(const struct chunk *c)
{
	return !c->body->nameless;
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
	return body_fixed(c->body, i);
}

void
chunk_append(struct chunk *c, const struct message *m, uint64_t place,
    struct slice base, struct slice odd, const struct fixed *fixed)
{
	assert(c->own && c->n < CHUNK_MAX);
	unpack_state(c);
	if (c->body->refs != 1)
		body_remake(c, UINT32_MAX, slice_of(NULL, 0));
	assert(c->body->n == c->n);
	if (c->n == c->cap)
		chunk_reserve(c, c->cap < 8 ? 8 : c->cap * 2);
	c->messages[c->n] = *m;
	c->places[c->n] = place;
	c->n++;
	c->dirty_body = true;
	body_append(c->body, base, odd, fixed);
}

void
chunk_set_place(struct chunk *c, uint32_t i, uint64_t place, struct slice odd)
{
	assert(c->own && i < c->n);
	unpack_state(c);
	if (!(place & PLACE_ODD))
		odd = slice_of(NULL, 0);
	/* Removed messages must stay in step with the body until the end. */
	if (!slice_eq(odd, chunk_odd(c, i)) && c->n_removed == 0)
		body_remake(c, i, odd);
	else if (place & PLACE_ODD && c->n_removed != 0)
		place &= ~PLACE_ODD;
	c->places[i] = place;
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
chunk_compact(struct chunk *c)
{
	uint32_t n = 0;

	if (c->n_removed == 0)
		return;
	body_remake(c, UINT32_MAX, slice_of(NULL, 0));
	for (uint32_t i = 0; i < c->n; i++) {
		if (c->messages[i].uid == 0)
			continue;
		c->messages[n] = c->messages[i];
		c->places[n++] = c->places[i];
	}
	c->n = n;
	c->n_removed = 0;
}
