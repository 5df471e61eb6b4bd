/*
 * listing: messages of a view in the order of a drop listing, made in pieces.
 *
 * Layer:  maildir, uses base.
 * Those with a place (Dovecot's) come first, by that; the others by the order
 * of arrival, as their names tell it.
 */
#ifndef MAILDIR_LISTING_H
#define MAILDIR_LISTING_H

#include "maildir/chunk.h"
#include "maildir/piece_sort.h"

struct listed {
	uint64_t key;	/* file_name_key() of its base name */
	uint32_t place; /* UINT32_MAX: it has none */
	uint32_t seq;
};

struct listing {
	struct view *view; /* borrowed */
	struct listed *v;
	size_t n, cap;
	bool in_order; /* up to now */
	bool sorting;
	struct piece_sort sort; /* has v meanwhile */
};

void listing_begin(struct listing *l, struct view *view);
/* Add a message; place 0: it has none. */
void listing_add(struct listing *l, uint32_t seq, uint32_t place);
/* Bring them into order; true: there is more to be done. */
bool listing_sort(struct listing *l, int *work) MUST_USE;
/* A zeroed one may be handed in. */
void listing_fini(struct listing *l);

#endif
