/*
 * piece_sort: a stable sort that can be left and gone on with.
 *
 * Layer:  maildir, uses base.
 * 100 000 elements in one piece would keep all other sessions waiting.  First
 * pieces that a qsort_r() is through with at once, then these merged, so many
 * elements a step.
 * Memory: the elements are the struct's from begin to take; as much again is
 *         needed meanwhile.
 */
#ifndef MAILDIR_PIECE_SORT_H
#define MAILDIR_PIECE_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

/* As for qsort_r(). */
typedef int piece_order(const void *a, const void *b, void *arg);

struct piece_sort {
	uint8_t *v, *to; /* elements, and where they are merged to */
	size_t n, size;
	piece_order *order;
	void *arg;
	size_t n_runs;			/* up to here are in sorted runs */
	size_t width, left, right, out; /* the merge; width 0: not begun */
};

/* n elements of so many bytes, of malloc(). */
void piece_sort_begin(struct piece_sort *s, void *v, size_t n, size_t size,
    piece_order *order, void *arg);
/* A piece of it, of 4096 elements or 32 768 that are merged; true: there is
 * more. */
bool piece_sort_step(struct piece_sort *s);
/* As many pieces as there is work for: one is as much as to look at 8192
 * elements, if there are as many. */
bool piece_sort_some(struct piece_sort *s, int *work) MUST_USE;
/* The sorted elements, the caller's again. */
void *piece_sort_take(struct piece_sort *s) MUST_USE;
/* A zeroed one may be handed in. */
void piece_sort_fini(struct piece_sort *s);

#endif
