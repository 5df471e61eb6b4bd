/*
 * What was found, in the order of arrival: 100 000 names in one piece would
 * keep all other sessions waiting.  First pieces that a qsort() is through with
 * at once, then these merged, so many names a step.
 *
 * The order is the one of file_name_order() on base names, then those in cur/
 * first: files of one message stand side by side.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/scan.h"

enum { RUN = 4096, MERGE_SLICE = 32768 };

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
	s->sort = (struct scan_sort){ .n_runs = 0 };
}

/* Sort the next run; false: all are sorted. */
static bool
sort_run(struct scan *s)
{
	struct scan_sort *so = &s->sort;
	size_t n = s->n_found - so->n_runs;

	if (n == 0)
		return false;
	if (n > RUN)
		n = RUN;
	qsort_r(s->found + so->n_runs, n, sizeof(*s->found), order, s);
	so->n_runs += n;
	return true;
}

/* Begin to merge runs of this width. */
static void
begin_pass(struct scan *s, size_t width)
{
	struct scan_sort *so = &s->sort;

	so->width = width;
	so->out = so->left = 0;
	so->right = width < s->n_found ? width : s->n_found;
}

/* The end of the pair of runs at which the merge is. */
static size_t
pair_end(const struct scan *s, size_t parts)
{
	size_t width = s->sort.width;
	size_t low = s->sort.out / (2 * width) * (2 * width);
	size_t end = low + parts * width;

	return end < s->n_found ? end : s->n_found;
}

/* Merge some; false: the pass is through. */
static bool
merge(struct scan *s)
{
	struct scan_sort *so = &s->sort;
	const struct found *v = s->found;

	for (size_t n = 0; so->out < s->n_found && n < MERGE_SLICE;) {
		size_t middle = pair_end(s, 1), end = pair_end(s, 2);

		for (; so->out < end && n < MERGE_SLICE; n++) {
			bool left = so->left < middle &&
			    (so->right >= end ||
				order(&v[so->left], &v[so->right], s) <= 0);

			so->to[so->out++] =
			    left ? v[so->left++] : v[so->right++];
		}
		if (so->out == end && end < s->n_found) {
			so->left = end;
			so->right = pair_end(s, 1);
		}
	}
	return so->out < s->n_found;
}

bool
scan_sort_step(struct scan *s)
{
	struct scan_sort *so = &s->sort;
	struct found *swap;

	if (sort_run(s))
		return so->n_runs < s->n_found || s->n_found > RUN;
	if (so->width == 0) {
		if (s->n_found <= RUN)
			return false;
		so->to = mem_realloc(NULL, s->n_found, sizeof(*so->to));
		begin_pass(s, RUN);
	}
	if (merge(s))
		return true;
	swap = s->found;
	s->found = so->to;
	so->to = swap;
	s->cap_found = s->n_found;
	if (so->width < s->n_found - so->width) {
		begin_pass(s, so->width * 2);
		return true;
	}
	scan_sort_fini(s);
	return false;
}

void
scan_sort_fini(struct scan *s)
{
	free(s->sort.to);
	s->sort.to = NULL;
}
