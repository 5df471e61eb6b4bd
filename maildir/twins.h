/*
 * twins: the files of messages that have more than one, for who removes them.
 *
 * Layer:  maildir.  Not for anybody outside.
 *
 * Of two files with one base name one is the message (scan.c), and nothing
 * notes the name of the other.  If that stayed it would come back as new mail:
 * so both directories are read before such a message is removed, for all of a
 * command together.
 *
 * Other programs rename meanwhile.  A name that isn't there any more when it is
 * to be removed is looked for once more, before the message's own file goes.
 * One that is renamed while the directory is read may be missed under both
 * names: so it is read again, unless nothing changed while it was.
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
	int64_t mtime_ns[2];	   /* of both, before */
	unsigned readings, rounds; /* of this round; of looking for them */
	size_t n_again;		   /* messages of which a file was renamed */
};

/* Whether a message has more than one file, as far as is known. */
bool twins_known(const struct mailbox *m, uint32_t uid);
/* The files of this one are wanted; not once they were looked for. */
void twins_add(struct twins *t, uint32_t uid, struct slice base);
/* Look for them: a piece of that.  0: all were found; ERR_MORE: call again;
 * ERR_*. */
int twins_find(struct twins *t, struct mailbox *m) MUST_USE;
/* The messages, t->n of them; to be freed. */
uint32_t *twins_uids(const struct twins *t);
/* Remove all that were found of one, but for the file of this name.  0; 1: one
 * of them has another name by now; -1 with errno.  *n: so many were removed. */
int twins_unlink(struct twins *t, struct mailbox *m, uint32_t uid, int which,
    const char *but, size_t *n) MUST_USE;
/* Have them looked for again, of those messages of which one was renamed: true;
 * false: there are none, or it was done so often that they stay as they are. */
bool twins_again(struct twins *t) MUST_USE;
void twins_fini(struct twins *t);

#endif
