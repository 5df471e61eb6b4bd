/*
 * foreign_impl: what the parsers of foreign files share.
 *
 * Layer:  maildir.  For foreign.c, import_courier.c and import_dovecot.c.
 */
#ifndef MAILDIR_FOREIGN_IMPL_H
#define MAILDIR_FOREIGN_IMPL_H

#include "maildir/foreign.h"

enum {
	FOREIGN_UIDS_BYTES = 256 * 1024 * 1024,
	FOREIGN_KEYWORD_FILE_BYTES = 64 * 1024 * 1024,
	FOREIGN_SIZELIST_BYTES = 256 * 1024 * 1024,
	FOREIGN_SUBSCRIPTION_BYTES = 16 * 1024 * 1024,
};

/* The next line; one without its end was never finished, and isn't one. */
bool foreign_line(struct slice *rest, struct slice *line) MUST_USE;
/* The base name in a file's name; false: it can be no message's. */
bool foreign_base(struct slice name, struct slice *base) MUST_USE;

void foreign_uids_add(
    struct foreign_uids *u, size_t *cap, const struct foreign_uid *one);
/* Of the entries, whose UIDs ascend, keep the last with each name. */
void foreign_uids_finish(struct foreign_uids *u);

/* The index of a name, found or added (a copy); false: no keyword, or too
 * many. */
bool foreign_keyword_name(
    struct foreign_keywords *k, struct slice name, uint16_t *index) MUST_USE;
/* Add it without looking, as it is. */
bool foreign_keyword_add(
    struct foreign_keywords *k, struct slice name, uint16_t *index) MUST_USE;
/* One more member of the set that is being put together. */
void foreign_keyword_member(struct foreign_keywords *k, uint16_t index);
void foreign_keywords_add(
    struct foreign_keywords *k, const struct foreign_keyword_set *s);
/* Sort; of several sets with one name the last one added stays. */
void foreign_keywords_finish(struct foreign_keywords *k);

#endif
