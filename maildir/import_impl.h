/*
 * import_impl: what the two halves of taking over share.
 *
 * Layer:  maildir.  For import.c, import_check.c and import_finish.c.
 */
#ifndef MAILDIR_IMPORT_IMPL_H
#define MAILDIR_IMPORT_IMPL_H

#include "maildir/adopt.h"
#include "maildir/foreign_impl.h"
#include "maildir/import.h"
#include "maildir/pop3_import.h"

/* One that is under way; each half has phases of its own. */
struct import {
	struct mailbox *m;
	int phase;
	uint64_t tick; /* of the store, when it went on */
	struct print now[PRINT_N_KINDS];
	bool changed[PRINT_N_KINDS]; /* and there */
	bool list_is_new;	     /* Courier's keywords, or it is gone */
	bool any;		     /* changed, come or gone */
	bool waiting; /* an update is for a message that isn't there yet */
	int64_t wall_ms;

	bool has_uids, has_keywords, has_list;
	bool courier_too; /* its keywords are to be read after Dovecot's */
	struct foreign_uids_reader uids;
	struct foreign_keywords_reader keywords;
	struct foreign_sizelist_reader list;
	uint64_t modseq;     /* that was exported */
	struct view *before; /* what we had before keywords were read */
	uint32_t from;	     /* the next message to get keywords */
	size_t at, n;	     /* entries looked at, and left */
	struct adopting adopting;
	uint32_t *ids; /* UIDs of the entries of a list for POP3 */
	struct pop3_import pop3;
};

/* It holds nothing yet, and may be copied. */
void import_init(struct import *in, struct mailbox *m);
struct import *import_new(struct mailbox *m) MUST_USE;
void import_free(struct import **in);

/* The rows of prints of kinds [from … to], in their order: kind, dev, ino,
 * size, mtime.  NULL as of db_stmt(). */
sqlite3_stmt *import_prints(
    struct db *db, int64_t mailbox, int64_t from, int64_t to);
/* What is known becomes what the database has now. */
int import_load_prints(struct mailbox *m, struct err *e) MUST_USE;
bool import_same_print(const struct print *a, const struct print *b);
/* Compare the prints of kinds [from … to) with those that are known. */
int import_compare(struct import *in, int from, int to, struct err *e) MUST_USE;
/* Note those that changed; within a transaction. */
int import_note_changed(
    struct import *in, int from, int to, struct err *e) MUST_USE;
/* Of two files, whether Dovecot's was written last. */
bool import_dovecot_last(const struct import *in, int courier, int dovecot);
/*
 * End an edit that came to rc.  Prints alone are no change of the mailbox: it
 * would be exported again for it, and that makes new prints.
 */
int import_commit(struct edit *ed, int rc, struct err *e) MUST_USE;

/* The mod-sequence up to which Courier's list had our state when it was last
 * written by somebody else; 0: never.  The prints are loaded. */
int import_exported(
    struct mailbox *m, uint64_t *modseq, struct err *e) MUST_USE;

/* --- keywords (import_updates.c) ------------------------------------------ */

/* Begin to read them; has_keywords: there are some, and new ones.  ERR_*: that
 * can't be told, and what they say must not be taken for lost. */
int import_open_keywords(
    struct import *in, bool dovecot, struct err *e) MUST_USE;
/* 1: there is more; 0: has_keywords tells what came of it; ERR_*. */
int import_read_keywords(struct import *in, int *work, struct err *e) MUST_USE;
/*
 * Adopt those of some messages; updates that were are renamed when that is
 * durable, whatever becomes of *in.  modseq: what
 * the other server had when it wrote a list that is new; 0: nothing is known.
 * 1: there are more; 0; ERR_*.
 */
int import_adopt_keywords(
    struct import *in, uint64_t modseq, int *work, struct err *e) MUST_USE;
/* All are adopted; within a transaction.  in->waiting tells whether an update
 * is left for the next time. */
int import_end_keywords(struct import *in, struct err *e) MUST_USE;
/* What is to be renamed is left for the next time. */
void import_drop_renaming(struct mailbox *m);

#endif
