#include "maildir/piece_sort.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { RUN = 4096, MERGE_SLICE = 32768, STEP_WORK = 8192 };

void
piece_sort_begin(struct piece_sort *s, void *v, size_t n, size_t size,
    piece_order *order, void *arg)
{
	*s = (struct piece_sort){
		.v = v, .n = n, .size = size, .order = order, .arg = arg
	};
}

static uint8_t *
at(const struct piece_sort *s, size_t i)
{
	return s->v + i * s->size;
}

/* Sort the next run; false: all are sorted. */
static bool
sort_run(struct piece_sort *s)
{
	size_t n = s->n - s->n_runs;

	if (n == 0)
		return false;
	if (n > RUN)
		n = RUN;
	qsort_r(at(s, s->n_runs), n, s->size, s->order, s->arg);
	s->n_runs += n;
	return true;
}

/* Begin to merge runs of this width. */
static void
begin_pass(struct piece_sort *s, size_t width)
{
	s->width = width;
	s->out = s->left = 0;
	s->right = width < s->n ? width : s->n;
}

/* The end of the pair of runs at which the merge is. */
static size_t
pair_end(const struct piece_sort *s, size_t parts)
{
	size_t low = s->out / (2 * s->width) * (2 * s->width);
	size_t end = low + parts * s->width;

	return end < s->n ? end : s->n;
}

/* Merge some; false: the pass is through. */
static bool
merge(struct piece_sort *s)
{
	for (size_t n = 0; s->out < s->n && n < MERGE_SLICE;) {
		size_t middle = pair_end(s, 1), end = pair_end(s, 2);

		for (; s->out < end && n < MERGE_SLICE; n++) {
			bool left = s->left < middle &&
			    (s->right >= end ||
				s->order(at(s, s->left), at(s, s->right),
				    s->arg) <= 0);

			memcpy(s->to + s->out++ * s->size,
			    at(s, left ? s->left++ : s->right++), s->size);
		}
		if (s->out == end && end < s->n) {
			s->left = end;
			s->right = pair_end(s, 1);
		}
	}
	return s->out < s->n;
}

bool
piece_sort_step(struct piece_sort *s)
{
	uint8_t *swap;

	if (sort_run(s))
		return s->n_runs < s->n || s->n > RUN;
	if (s->width == 0) {
		if (s->n <= RUN)
			return false;
		s->to = mem_realloc(NULL, s->n, s->size);
		begin_pass(s, RUN);
	}
	if (merge(s))
		return true;
	swap = s->v;
	s->v = s->to;
	s->to = swap;
	if (s->width >= s->n - s->width)
		return false;
	begin_pass(s, s->width * 2);
	return true;
}

bool
piece_sort_some(struct piece_sort *s, int *work)
{
	bool more = true;

	while (more && *work > 0) {
		more = piece_sort_step(s);
		*work -= s->n < STEP_WORK ? (int)s->n : STEP_WORK;
	}
	return more;
}

void *
piece_sort_take(struct piece_sort *s)
{
	void *v = s->v;

	s->v = NULL;
	piece_sort_fini(s);
	return v;
}

void
piece_sort_fini(struct piece_sort *s)
{
	free(s->v);
	free(s->to);
	*s = (struct piece_sort){ 0 };
}
