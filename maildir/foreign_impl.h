/*
 * foreign_impl: what the parsers of foreign files share.
 *
 * Layer:  maildir.  For foreign.c, import.c and import_*.c.
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
/* Open DIR/NAME; false: it isn't there, or isn't a regular file. */
bool foreign_file_open(struct foreign_file *f, int root_fd, const char *dir,
    const char *name, size_t max) MUST_USE;
/* Whether an errno says that there is nothing of the name that could be such a
 * file. */
bool foreign_is_absence(int error);
/* A call failed: note it, unless that says that there is no such thing. */
void foreign_file_note(struct foreign_file *f, int error);
/* Take bytes that are there for a file that was read. */
void foreign_file_of(struct foreign_file *f, struct slice bytes);
enum foreign_step foreign_file_step(struct foreign_file *f, int *work) MUST_USE;
/* The next line, and its work done; false: there is none, or no work left. */
bool foreign_file_line(
    struct foreign_file *f, int *work, struct slice *line) MUST_USE;
/* Bytes are kept if they are handed over to a result. */
void foreign_file_close(struct foreign_file *f);

/* Take a word and the blank behind it off a line; a number. */
bool foreign_u32(struct slice *rest, uint32_t *v) MUST_USE;

/* The base name in a file's name; false: it can be no message's. */
bool foreign_base(struct slice name, struct slice *base) MUST_USE;

/* The index of a name, found or added (a copy); false: no keyword, or too
 * many. */
bool foreign_keyword_name(
    struct foreign_keywords *k, struct slice name, uint16_t *index) MUST_USE;
/* Add it without looking, as it is. */
bool foreign_keyword_add(
    struct foreign_keywords *k, struct slice name, uint16_t *index) MUST_USE;
/* One more member of the set that is being put together. */
void foreign_keyword_member(struct foreign_keywords *k, uint16_t index);
/* Of several sets with one name the last one added stays. */
void foreign_keywords_add(
    struct foreign_keywords *k, const struct foreign_keyword_set *s);

/* --- updates of keywords (import_update_files.c) -------------------------- */

/* One that waits, or that was merged of late. */
struct foreign_update {
	char *name; /* of the file */
	struct slice base;
	uint64_t period; /* of ".N.BASENAME"; UINT64_MAX: it waits */
	int64_t mtime_ns;
	uint64_t ino;
};

/* Open the directory of keywords; -1 with errno. */
int foreign_updates_open(
    int root_fd, const char *dir, struct dir_reader *r) MUST_USE;
/* Take names from the directory; MORE: there may be more. */
enum foreign_step foreign_updates_list(struct dir_reader *r,
    struct foreign_file *f, struct foreign_updates *u, int *work) MUST_USE;
/* Read them; of each message the newest one counts. */
enum foreign_step foreign_updates_read(int fd, struct foreign_file *f,
    struct foreign_updates *u, struct foreign_keywords *k, int *work) MUST_USE;
void foreign_updates_fini(struct foreign_updates *u);

#endif
