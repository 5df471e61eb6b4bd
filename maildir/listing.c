#include "maildir/listing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/file_name.h"

void
listing_begin(struct listing *l, struct view *view)
{
	*l = (struct listing){ .view = view, .in_order = true };
}

static struct slice
base_of(const struct view *view, const struct listed *x)
{
	uint32_t i;
	const struct chunk *c = view_at(view, x->seq, &i);

	return chunk_base(c, i);
}

static int
order(const void *a, const void *b, void *arg)
{
	const struct view *view = arg;
	const struct listed *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return file_name_order(base_of(view, x), base_of(view, y));
}

void
listing_add(struct listing *l, uint32_t seq, uint32_t place)
{
	struct listed *x;

	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : l->cap * 2;
		l->v = mem_realloc(l->v, l->cap, sizeof(*l->v));
	}
	x = &l->v[l->n++];
	*x = (struct listed){ .place = place != 0 ? place - 1 : UINT32_MAX,
		.seq = seq };
	x->key = file_name_key(base_of(l->view, x));
	/* UIDs are given in this order, if all comes one by one */
	l->in_order =
	    l->in_order && (l->n == 1 || order(x - 1, x, l->view) <= 0);
}

bool
listing_sort(struct listing *l, int *work)
{
	if (l->in_order)
		return false;
	if (!l->sorting) {
		piece_sort_begin(
		    &l->sort, l->v, l->n, sizeof(*l->v), order, l->view);
		l->v = NULL;
		l->sorting = true;
	}
	if (piece_sort_some(&l->sort, work))
		return true;
	l->v = piece_sort_take(&l->sort);
	l->cap = l->n;
	l->sorting = false;
	l->in_order = true;
	return false;
}

void
listing_fini(struct listing *l)
{
	free(l->v);
	piece_sort_fini(&l->sort);
	*l = (struct listing){ 0 };
}
