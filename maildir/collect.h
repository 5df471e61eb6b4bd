/*
 * collect: from names of mailboxes, as they are found, to a list of them.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_COLLECT_H
#define MAILDIR_COLLECT_H

#include "base/buf.h"
#include "maildir/store.h"

enum { COLLECT_MAX = 64 * 1024 * 1024 };

struct collect {
	struct buf names; /* slices are offsets into it until the end */
	struct entry_at {
		size_t at, n;
		unsigned attrs;
	} * v;
	size_t n, cap;
};

void collect_init(struct collect *c);
/* Also after collect_finish(), which has left nothing. */
void collect_fini(struct collect *c);
/* Names beyond COLLECT_MAX bytes are left out. */
void collect_add(struct collect *c, struct slice name, unsigned attrs);
/* Add the parents of all names below the root, as \Noselect. */
void collect_parents(struct collect *c, struct slice root);
/* Sort, fold doubles together, and see who has children. */
void collect_finish(struct collect *c, struct mailbox_list *out);

#endif
