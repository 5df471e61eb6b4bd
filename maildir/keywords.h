/*
 * keywords: those of a mailbox, by number, and the sets of them that its
 * messages have.
 *
 * Layer:  maildir, uses base.
 * Numbers are given in the order of the first use.  What makes one is called
 * within a transaction, and keywords_truncate() if that fails.
 */
#ifndef MAILDIR_KEYWORDS_H
#define MAILDIR_KEYWORDS_H

#include "maildir/internal.h"

struct keyword_set {
	uint16_t *v; /* ascending */
	uint32_t n;
};

/*
 * Keywords of one mailbox as those of another, worked out once: good as long as
 * a transaction of the other goes.  Zeroed at first.
 */
struct keyword_map {
	uint16_t *to; /* by number; KEYWORD_NONE: not yet known */
	size_t n;
	bool has_set; /* the set mapped last */
	uint32_t from_set, to_set;
};
enum { KEYWORD_NONE = UINT16_MAX };

void keywords_fini(struct mailbox *m);
/* Read those numbered from what memory has. */
int keywords_load(struct mailbox *m, size_t n_keywords, size_t n_sets,
    struct err *e) MUST_USE;
/* A new keyword or set, whose number is above those of all. */
int keyword_add(struct mailbox *m, struct slice name, uint16_t *out,
    struct err *e) MUST_USE;
int keyword_set_add(struct mailbox *m, const uint16_t *v, size_t n,
    uint32_t *out, struct err *e) MUST_USE;
/* Index of a keyword, made if it isn't there; ERR_LIMIT, …. */
int keywords_intern(struct mailbox *m, struct slice name, uint16_t *out,
    struct err *e) MUST_USE;
/* The set with these members (ascending), made if it isn't there. */
int keyword_set_intern(struct mailbox *m, const uint16_t *v, size_t n,
    uint32_t *out, struct err *e) MUST_USE;
/* A failed transaction takes back what it made. */
void keywords_truncate(struct mailbox *m, size_t n_keywords, size_t n_sets);
/*
 * The numbers of the named keywords, ascending, each once, into v, which has
 * room for n: of those that there are (returns how many), or of all, made
 * where they aren't there (ERR_LIMIT, …).
 */
size_t keywords_find_all(
    const struct mailbox *m, const struct slice *names, size_t n, uint16_t *v);
int keywords_intern_all(struct mailbox *m, const struct slice *names, size_t n,
    uint16_t *v, size_t *n_v, struct err *e) MUST_USE;
/* The set of the named keywords. */
int keyword_set_of_names(struct mailbox *m, const struct slice *names, size_t n,
    uint32_t *out, struct err *e) MUST_USE;
/* The set in m with the keywords that another mailbox's set has. */
int keyword_set_copy(struct mailbox *m, const struct mailbox *from,
    uint32_t set, struct keyword_map *map, uint32_t *out,
    struct err *e) MUST_USE;
void keyword_map_fini(struct keyword_map *map);
/*
 * The mailbox has been read, and nobody has a view of it: give back the
 * keywords, and sets of them, that no message has, if they are many and no
 * other process has the database open.  If it fails the mailbox is to be read
 * again.
 */
int keywords_drop_unused(struct mailbox *m, struct err *e) MUST_USE;

#endif
