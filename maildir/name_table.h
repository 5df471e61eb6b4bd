/*
 * name_table: where in an array the element with a name is.
 *
 * Layer:  maildir, uses base.
 * The names stay in the array; the table knows how to come by them.  A zeroed
 * struct is an empty table.
 */
#ifndef MAILDIR_NAME_TABLE_H
#define MAILDIR_NAME_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct name_slot {
	uint32_t hash, at; /* at: index + 1; 0: free */
};

struct name_table {
	struct name_slot *v;
	size_t cap, n; /* cap: a power of two, or 0 */
};

/* The name of element i of the array. */
typedef struct slice name_of(const void *array, size_t i);

/* The index of the element with the name, or SIZE_MAX. */
size_t name_table_find(const struct name_table *t, struct slice name,
    name_of *of, const void *array);
/* Add element i, whose name isn't there yet. */
void name_table_add(struct name_table *t, struct slice name, size_t i);
/* The same if it is there: then i takes the place of that index, which is
 * returned; else SIZE_MAX. */
size_t name_table_put(struct name_table *t, struct slice name, name_of *of,
    const void *array, size_t i);
/* Take element i, whose name this is, out again, if it is there. */
void name_table_remove(struct name_table *t, struct slice name, size_t i);
void name_table_fini(struct name_table *t);

#endif
