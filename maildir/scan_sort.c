/*
 * What was found, in the order of arrival.
 *
 * That order is the one of file_name_order() on base names, then those in cur/
 * first: files of one message stand side by side.
 */
#include "maildir/scan.h"

struct slice
scan_base(const struct scan *s, const struct found *f)
{
	return slice_first(scan_name(s, f), f->n_base);
}

static int
order(const void *a, const void *b, void *arg)
{
	const struct scan *s = arg;
	const struct found *x = a, *y = b;
	int rc;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	/* a number that has no room in the key is compared as text */
	rc = x->key == UINT64_MAX
	    ? file_name_order(scan_base(s, x), scan_base(s, y))
	    : slice_cmp(scan_base(s, x), scan_base(s, y));
	if (rc != 0)
		return rc;
	if (x->in_new != y->in_new)
		return x->in_new ? 1 : -1;
	return slice_cmp(scan_name(s, x), scan_name(s, y));
}

void
scan_sort_begin(struct scan *s)
{
	piece_sort_begin(
	    &s->sort, s->found, s->n_found, sizeof(*s->found), order, s);
	s->found = NULL;
	s->cap_found = 0;
}

bool
scan_sort_step(struct scan *s)
{
	if (piece_sort_step(&s->sort))
		return true;
	s->found = piece_sort_take(&s->sort);
	s->cap_found = s->n_found;
	return false;
}
