#include "maildir/record.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/pool.h"
#include "maildir/chunk.h"

struct uid_span {
	uint32_t first, last;
};

struct record {
	unsigned refs;
	uint32_t count, uidnext;
	uint64_t highest_modseq; /* as the view says */
	uint64_t last;		 /* the highest one of its messages */
	size_t n;
	struct uid_span v[]; /* ascending, neither touching nor overlapping */
};

/* The number of ranges of a view; they are put into v if it isn't NULL. */
static size_t
collect_spans(const struct view *view, struct uid_span *v)
{
	uint32_t last = 0;
	size_t n = 0;

	for (size_t k = 0; k < view->n_chunks; k++) {
		const struct chunk *c = view->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			uint32_t uid = chunk_uid(c, i);

			if (n == 0 || uid != last + 1) {
				if (v != NULL)
					v[n].first = uid;
				n++;
			}
			if (v != NULL)
				v[n - 1].last = uid;
			last = uid;
		}
	}
	return n;
}

/* A view that hides messages says less than this (view_below). */
static uint64_t
last_modseq(const struct view *v)
{
	uint64_t last = 0;

	for (size_t k = 0; k < v->n_chunks; k++)
		if (chunk_highest_modseq(v->v[k]) > last)
			last = chunk_highest_modseq(v->v[k]);
	return last;
}

struct record *
record_new(const struct view *v)
{
	size_t n = collect_spans(v, NULL);
	struct record *r = pool_take(sizeof(*r) + n * sizeof(r->v[0]));

	r->refs = 1;
	r->count = v->count;
	r->uidnext = v->uidnext;
	r->highest_modseq = v->highest_modseq;
	r->last = last_modseq(v);
	r->n = n;
	(void)collect_spans(v, r->v);
	return r;
}

struct record *
record_ref(struct record *r)
{
	r->refs++;
	return r;
}

void
record_unref(struct record **pr)
{
	struct record *r = *pr;

	*pr = NULL;
	if (r != NULL && --r->refs == 0)
		pool_free(r);
}

bool
record_is(const struct record *r, const struct view *now)
{
	/* new messages raise UIDNEXT, and changes the mod-sequence */
	return r->uidnext == now->uidnext && r->count == now->count &&
	    r->highest_modseq == now->highest_modseq &&
	    r->last == last_modseq(now);
}

/* --- the way back --------------------------------------------------------- */

/* Where the walk over the record's UIDs is. */
struct cursor {
	const struct record *r;
	size_t at;
	uint32_t uid; /* the next one, within v[at] */
};

static bool
at_end(const struct cursor *c)
{
	return c->at == c->r->n;
}

static void
next(struct cursor *c)
{
	if (c->uid < c->r->v[c->at].last)
		c->uid++;
	else if (++c->at < c->r->n)
		c->uid = c->r->v[c->at].first;
}

/* The chunks of the view under way. */
struct builder {
	struct chunk **v;
	size_t n, cap;
	struct chunk *open; /* being filled; NULL: none */
};

static void
push(struct builder *b, struct chunk *c)
{
	if (b->n == b->cap) {
		b->cap = b->cap * 2 + 8;
		b->v = mem_realloc(b->v, b->cap, sizeof(struct chunk *));
	}
	b->v[b->n++] = c;
}

static void
close_chunk(struct builder *b)
{
	if (b->open == NULL)
		return;
	b->open->own = b->open->dirty_body = false;
	push(b, b->open);
	b->open = NULL;
}

static void
put(struct builder *b, const struct message *m)
{
	const struct fixed unknown = { .internal_ms = TIME_UNKNOWN,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
	struct slice none = { NULL, 0 };

	if (b->open != NULL && b->open->n == CHUNK_MAX)
		close_chunk(b);
	if (b->open == NULL)
		b->open = chunk_new(m->uid);
	chunk_append(b->open, m, 0, none, none, &unknown);
}

/*
 * Whether the record has exactly the messages of the chunk among the UIDs
 * below end, all of them unchanged; then the cursor is behind them.
 */
static bool
is_shared(struct cursor *c, const struct chunk *chunk, uint64_t end)
{
	struct cursor k = *c;

	for (uint32_t i = 0; i < chunk->n; i++) {
		if (at_end(&k) || k.uid != chunk_uid(chunk, i) ||
		    chunk_message(chunk, i)->modseq > k.r->last)
			return false;
		next(&k);
	}
	if (!at_end(&k) && k.uid < end)
		return false;
	*c = k;
	return true;
}

/* The record's UIDs below end, with what the chunk knows of them. */
static void
mix(struct builder *b, struct cursor *c, const struct chunk *chunk,
    uint64_t end)
{
	uint32_t i = 0;

	for (; !at_end(c) && c->uid < end; next(c)) {
		struct message m = { .uid = c->uid,
			.flags = MESSAGE_FLAGS_UNKNOWN };

		while (i < chunk->n && chunk_uid(chunk, i) < c->uid)
			i++;
		if (i < chunk->n && chunk_uid(chunk, i) == c->uid &&
		    chunk_message(chunk, i)->modseq <= c->r->last)
			m = *chunk_message(chunk, i);
		put(b, &m);
	}
}

struct view *
record_view(const struct record *r, struct view *now)
{
	const struct chunk empty = { .n = 0 };
	struct cursor c = { r, 0, r->n != 0 ? r->v[0].first : 0 };
	struct builder b = { .v = NULL };

	if (record_is(r, now))
		return view_ref(now);
	for (size_t k = 0; k < now->n_chunks; k++) {
		struct chunk *chunk = now->v[k];
		uint64_t end = k + 1 < now->n_chunks ? now->v[k + 1]->first
						     : (uint64_t)UINT32_MAX + 1;

		if (is_shared(&c, chunk, end)) {
			close_chunk(&b);
			push(&b, chunk_ref(chunk));
		} else {
			mix(&b, &c, chunk, end);
		}
	}
	mix(&b, &c, &empty, (uint64_t)UINT32_MAX + 1);
	close_chunk(&b);
	return view_new(b.v, b.n, r->uidnext, r->highest_modseq);
}
