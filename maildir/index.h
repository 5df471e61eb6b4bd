/*
 * index: from base names to UIDs.
 *
 * Layer:  maildir, uses base.
 * Memory: 8 bytes a slot, at most 3/4 full; the names themselves stay in the
 *         view that the index is asked with.
 */
#ifndef MAILDIR_INDEX_H
#define MAILDIR_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

struct index;
struct view;

/* An empty one, with room for the messages of a view. */
struct index *index_new(const struct view *v) MUST_USE;
/*
 * Go on to take in the messages of v, at most so many as *work says and a
 * chunk; whether all are there now.  v may be a newer view than the last time:
 * what was taken in is kept up by the two below.
 */
bool index_extend(struct index *x, const struct view *v, int *work);
bool index_is_whole(const struct index *x);
void index_free(struct index **x);
/* A message that is newer than all; one that isn't whole takes it in later. */
void index_add(struct index *x, struct slice base, uint32_t uid);
void index_remove(struct index *x, struct slice base, uint32_t uid);
/* The uid of the message in v that has the base name, or 0. */
uint32_t index_find(
    const struct index *x, const struct view *v, struct slice base);

#endif
