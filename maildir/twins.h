/*
 * twins: the files of messages that have more than one, for who removes them.
 *
 * Layer:  maildir.  Not for anybody outside.
 *
 * Of two files with one base name one is the message (scan.c), and nothing
 * notes the name of the other.  If that stayed it would come back as new mail:
 * so both directories are read before such a message is removed, once for all
 * of a command.
 */
#ifndef MAILDIR_TWINS_H
#define MAILDIR_TWINS_H

#include "maildir/dir.h"
#include "maildir/internal.h"

struct twin;
struct twin_file;

/* Zeroed at first. */
struct twins {
	struct twin *v; /* messages */
	size_t n, cap;
	struct twin_file *files; /* of them */
	size_t n_files, cap_files;
	bool found; /* all were read */
	int which;  /* DIR_* being read */
	bool reading;
	struct dir_reader r;
};

/* Whether a message has more than one file, as far as is known. */
bool twins_known(const struct mailbox *m, uint32_t uid);
/* The files of this one are wanted; not once any were looked for. */
void twins_add(struct twins *t, uint32_t uid, struct slice base);
/* Look for them: a piece of that.  0: all were found; ERR_MORE: call again;
 * ERR_*. */
int twins_find(struct twins *t, struct mailbox *m) MUST_USE;
/* The messages, t->n of them; to be freed. */
uint32_t *twins_uids(const struct twins *t);
/* Remove all that were found of one, but for the file of this name.  0, or -1
 * with errno; *n: so many were. */
int twins_unlink(const struct twins *t, struct mailbox *m, uint32_t uid,
    int which, const char *but, size_t *n) MUST_USE;
void twins_fini(struct twins *t);

#endif
