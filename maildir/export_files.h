/*
 * export_files: the three files of one mailbox, written piece by piece.
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_EXPORT_FILES_H
#define MAILDIR_EXPORT_FILES_H

#include "maildir/import.h"
#include "maildir/listing.h"
#include "maildir/pop3_ids.h"

enum export_file {
	EXPORT_UIDS,
	EXPORT_KEYWORDS,
	EXPORT_SIZELIST,
	EXPORT_N_FILES,
};

struct export_files {
	struct mailbox *m; /* NULL: not begun */
	struct view *v;
	uint32_t uidvalidity, uidnext;
	uint32_t pop3_next, pop3_uidvalidity;
	bool has_keywords; /* else there shall be no ":list" */
	bool has_sizelist;
	/* of the drop listing, while it is being read */
	struct pop3_ids ids;
	struct pop3_ids_loader loader;
	struct listing list;
	bool loaded, listed;
	bool *used;	   /* sets of keywords that messages have */
	size_t n_used;	   /* sets that there were */
	uint16_t *numbers; /* of each keyword in the list, from 1; 0: unused */
	size_t n_keywords; /* of numbers */
	int fd[EXPORT_N_FILES]; /* below tmp/, -1: not made */
	char *tmp[EXPORT_N_FILES];
	bool replaced; /* tmp of EXPORT_KEYWORDS is the list that was there */
	int dir_fd[2]; /* to be synced, or -1 */
	struct print prints[EXPORT_N_FILES]; /* of those that were written */
	enum export_file which;		     /* being written */
	uint32_t seq;			     /* the next message */
};

/* Take the mailbox as it is shown now, which stays open until the fini. */
void export_files_begin(struct export_files *f, struct mailbox *m);
/* Read what is to be written.  1: there is more; 0: it is all there; ERR_*. */
int export_files_prepare(struct export_files *f, struct err *e) MUST_USE;
/* A piece.  1: there is more; 0: all is written; else ERR_*. */
int export_files_write(struct export_files *f, struct err *e) MUST_USE;
void export_files_sync_fds(struct export_files *f, struct sync_fds *fds);
/* They are written: their prints, which they keep in their place, and the name
 * that the list of keywords has until then. */
int export_files_look(struct export_files *f, struct err *e) MUST_USE;
/* Rename them into place. */
int export_files_place(struct export_files *f, struct err *e) MUST_USE;
/* The directories that they were put into: it must not be known that a file is
 * there before it is, even if the power goes. */
int export_files_sync_dirs(
    struct export_files *f, struct sync_fds *fds, struct err *e) MUST_USE;
/* It is durable that they were placed. */
void export_files_noted(struct export_files *f);
/* What was not placed is removed; what the list of keywords replaced stays, if
 * that isn't noted.  A zeroed one may be handed in. */
void export_files_fini(struct export_files *f);

#endif
