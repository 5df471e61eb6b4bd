#include "maildir/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/file_name.h"

enum { NAMES_MAX = CHUNK_MAX * 2 * 260 };

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
	struct slice names = buf_slice(&b->names);

	/* one message without a name leaves no memory to point into */
	return names.n == 0
	    ? names
	    : slice_of(names.p + b->at[i], b->at[i + 1] - b->at[i]);
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
chunk_sized(uint32_t first, uint32_t n)
{
	struct chunk *c = MEM_NEW(struct chunk);

	c->refs = 1;
	c->first = first;
	c->body = body_new(n);
	c->n = c->body->n = n;
	reserve(c, n);
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
