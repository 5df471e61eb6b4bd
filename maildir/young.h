/*
 * young: messages whose files the disk may not have yet, although their OK
 * was said: their bytes are in the database until it has.
 *
 * Layer:  maildir, uses base.
 * A small message that APPEND brings waits for the disk once.  Its bytes go
 * into tmp/ and, with its UID and all else, into the database (table young),
 * whose log is synced; then the file gets its name in cur/, and OK is said.
 * The file and its name are synced with whatever else is dirty on that disk,
 * by one syncfs() of the worker for all accounts each second or two, and the
 * bytes leave the database.
 * A name in cur/ thus always stands for bytes that are durable, be it in the
 * log.  Who opens the account after a crash finds what is left in the table,
 * and sees to it in the background: after a loss of power each file is
 * compared with its bytes, before anybody looks at it, and written anew if it
 * is not whole, or gone (young_mend.c).
 * What is larger, or comes while 4 MB of an account wait, or where syncfs()
 * tells of no errors, has its file synced before, as append.h says.
 */
#ifndef MAILDIR_YOUNG_H
#define MAILDIR_YOUNG_H

#include "maildir/internal.h"

/* A file that is to get its name when the log is synced. */
struct young_file;

/* Whether a message of n bytes may be young; false as well if memory of the
 * disk's errors can't be kept.  To be asked before its file is written,
 * which must be on the account's device. */
bool young_may(struct account *a, size_t n);
/* How many syncs of disks have failed so far: asked with young_may(), and
 * handed to young_committed(). */
unsigned young_errors(const struct account *a);

/*
 * Within the transaction that adds the message: its bytes, the name of its
 * file in tmp/, and its base name.
 */
int young_put(struct mailbox *m, uint32_t uid, const char *tmp,
    const char *base, struct slice bytes, struct err *e) MUST_USE;
/*
 * The transaction has been committed: tmp in tmp_fd (which is taken over) gets
 * the name in cur/ beside it when the log's next sync, or a later one, has
 * ended.  size: of the file.
 */
struct young_file *young_committed(struct mailbox *m, uint32_t uid, int tmp_fd,
    const char *tmp, const char *name, size_t size, unsigned errors) MUST_USE;
/* ERR_* if it couldn't get it; to be asked when the sync has ended. */
int young_result(const struct young_file *f);
/* Remove it, under whatever name it has: the sync failed. */
void young_undo(struct young_file *f);
/* Its owner needs it no more; it gets its name nevertheless. */
void young_leave(struct young_file **f);

/* A sync of the log that is about to begin will have taken along all up to
 * this; handed to young_synced() when it has ended well. */
uint64_t young_mark(const struct account *a);
/* Have its thread give the files after from, up to mark, their names. */
void young_name_after(
    struct account *a, uint64_t from, uint64_t mark, struct sync_fds *fds);
void young_synced(struct account *a, uint64_t mark);
/* It failed: none of the files after from, up to mark, gets a name. */
void young_failed(struct account *a, uint64_t from, uint64_t mark, int rc);

/* Whether the file of a message that isn't in cur/ has yet to come there. */
bool young_waits(const struct mailbox *m, uint32_t uid);
/* Whether that is so of all from one UID up to before another: who brings them
 * sees to their sync. */
bool young_all_wait(const struct mailbox *m, uint32_t from, uint32_t to);
/* Whether such a message was put there, and got its name, by this process. */
bool young_placed(const struct account *a, int64_t key);

/* Once a second: have the disks synced, and what they have forgotten. */
void young_tick(struct store *s);
/* The database is about to be closed: all that is done here and now. */
void young_close(struct account *a);
/* It can't be used any more: as little as can be is lost with it, and nobody
 * waits. */
void young_abandon(struct account *a);
/* No account has any more. */
void young_stop(struct store *s);

/* --- young_mend.c --------------------------------------------------------- */

/* The database has been opened; left: what young_left() said; alone: no other
 * process has it open.  Its rows are seen to from now on. */
void young_opened(struct account *a, int left, bool alone);
/* Whether the account may be used; else it is tried again later (ERR_BUSY). */
bool young_ready(const struct account *a);
/* Whether they are being seen to now. */
bool young_mending(const struct account *a);
/* Whether a message is only in its row: its file was lost with the power, and
 * can't be written anew yet. */
bool young_kept(struct mailbox *m, uint32_t uid);
/* Open what such a message says: a file without a name, in memory. */
int young_open_kept(struct mailbox *m, uint32_t uid, int *fd) MUST_USE;

/* --- young_help.c --------------------------------------------------------- */

/* Messages from that UID on were read for the first time: have a scan look for
 * the files of those that are another process's and young.  0 or ERR_*. */
int young_look_for(struct mailbox *m, uint32_t from, struct err *e) MUST_USE;
/*
 * Within a transaction, of a message whose file isn't in cur/: if another
 * process is about to give it its name, or has died before, it gets it now,
 * provided that the log was synced when this process knew of the message; else
 * young_look_for() it.  1: it has it, or may have it later; or it is
 * young_kept().  0: it has none.  ERR_*: nothing is known.
 */
int young_help(
    struct mailbox *m, uint32_t uid, bool log_synced, struct err *e) MUST_USE;
/* Whether the table has rows, 2: of another boot; ERR_*. */
int young_left(struct account *a, struct err *e) MUST_USE;

#endif
