/*
 * append: a new message, written by us.
 *
 * Layer:  maildir, uses base.
 * Order of writes (docs/storage.md); an OK means it survives power loss.  Those
 * who append to the same account at the same time share steps 3 to 6 (group.h).
 * A small message goes another way: see young.h.  Others:
 *   1. bytes to tmp/NAME; CR removed before LF, a last LF added
 *   2. fsync of the file        (sync thread, which also writes a small one)
 *   3. BEGIN IMMEDIATE; UID taken from UIDNEXT
 *   4. rename tmp/NAME -> cur/NAME,S=…:2,FLAGS  (new/NAME without flags:
 *      never: a UID is given, so it goes to cur/)
 *   5. insert, commit
 *   6. fsync of the directory, begun after step 4, and of the database's log
 *      side by side                                   (sync thread)
 *   7. only now the UID is shown and OK said
 * Several messages may be added to one append: all come into being together
 * at the commit (RFC 3502), or none; intent.h has what is done for that between
 * steps 2 and 3.
 */
#ifndef MAILDIR_APPEND_H
#define MAILDIR_APPEND_H

#include "maildir/mailbox.h"

struct append;

/* Begin one or more messages for the named mailbox.  ERR_MORE: it is being
 * opened, call again; ERR_NOT_FOUND: none of that name (TRYCREATE). */
int append_begin(struct account *a, struct slice mailbox, struct append **out,
    struct err *e) MUST_USE;
/*
 * Begin the next message: its flags and keywords, INTERNALDATE (ms, or
 * INT64_MIN: now), and announced wire size (for the quota: ERR_QUOTA).
 */
int append_message(struct append *p, uint32_t flags,
    const struct slice *keywords, size_t n_keywords, int64_t internal_ms,
    uint64_t size, int64_t wall_ms, struct err *e) MUST_USE;
/* Bytes of that message, as they come from the wire. */
int append_write(struct append *p, struct slice bytes, struct err *e) MUST_USE;
/* All bytes of that message were given. */
int append_message_end(struct append *p, struct err *e) MUST_USE;
/*
 * Have the bytes of the message just begun written as they are, CR and last
 * line too: it is only to be read again, see append_take_back().
 */
void append_keep_raw(struct append *p);
/*
 * Remove that message again, after its append_message_end(), and leave its
 * file, open for reading and without a name, to the caller in *fd.
 */
int append_take_back(struct append *p, int *fd, struct err *e) MUST_USE;
/*
 * Open the file of the k-th message, from 0, complete and for reading, to have
 * it sent before it is stored; append_message_end() was called for all.
 */
int append_open_file(
    struct append *p, size_t k, int *fd, struct err *e) MUST_USE;
/* Steps 2 to 7; STEP_DONE: see the result; STEP_WAIT_PEER: another process
 * holds the database, call again after a while. */
enum step append_commit(
    struct append *p, struct waker waker, int64_t now_ms, int64_t wall_ms);
/* 0 or ERR_*; then the UIDs given, in order. */
int append_result(const struct append *p, uint32_t *uidvalidity,
    const uint32_t **uids, size_t *n);
/* Ends it; before the commit of step 5 everything written is removed again. */
void append_free(struct append **p);

#endif
