/*
 * index: from base names to UIDs.
 *
 * Layer:  maildir, uses base.
 * Memory: 8 bytes a slot, at most 3/4 full; the names themselves stay in the
 *         view that the index is asked with.
 */
#ifndef MAILDIR_INDEX_H
#define MAILDIR_INDEX_H

#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

struct index;
struct view;

/* Of all messages of a view. */
struct index *index_new(const struct view *v) MUST_USE;
void index_free(struct index **x);
void index_add(struct index *x, struct slice base, uint32_t uid);
void index_remove(struct index *x, struct slice base, uint32_t uid);
/* The uid of the message in v that has the base name, or 0. */
uint32_t index_find(
    const struct index *x, const struct view *v, struct slice base);

#endif
