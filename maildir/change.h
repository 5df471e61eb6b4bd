/*
 * change: resumable changes of messages: STORE, COPY, MOVE, EXPUNGE.
 *
 * Layer:  maildir, uses base.
 * Each is begun with the UIDs it is about, then stepped until STEP_DONE (or
 * freed: what has been done stays done, what has not is left); STEP_WAIT_PEER:
 * another process holds the database, for 10 s at most: call again after a
 * while.  Messages that
 * somebody expunged meanwhile are passed over.  The order of writes of each is
 * in docs/storage.md; the caller answers OK only after STEP_DONE with result 0.
 * Memory: uids are copied; results live until the free.
 */
#ifndef MAILDIR_CHANGE_H
#define MAILDIR_CHANGE_H

#include "maildir/mailbox.h"

enum flags_how { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };

struct flags_change {
	enum flags_how how;
	uint32_t flags;		      /* enum message_flag */
	const struct slice *keywords; /* borrowed until begin returns */
	size_t n_keywords;
	uint64_t
	    unchanged_since; /* UINT64_MAX: no condition (RFC 7162 3.1.3) */
	/*
	 * What the client has been told, or NULL; borrowed until begin returns.
	 * A message in it that is unchanged since fails the condition only if
	 * flags have changed that this is about (RFC 7162 3.1.12).
	 */
	struct view *known;
	/* What stays as it is, whatever how says: flags, and all keywords. */
	uint32_t keep;
	bool keep_keywords;
};

struct change_flags;
int change_flags_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const struct flags_change *what, struct change_flags **out,
    struct err *e) MUST_USE;
enum step change_flags_step(struct change_flags *c, struct waker waker,
    int64_t now_ms, int64_t wall_ms);
/* 0 or ERR_*; ERR_LIMIT: all were changed but those whose file's name would be
 * longer than names can be.  *modified: UIDs that failed unchanged_since;
 * *missing: how many were gone. */
int change_flags_result(const struct change_flags *c, const uint32_t **modified,
    size_t *n_modified, size_t *missing);
void change_flags_free(struct change_flags **c);

struct change_copy;
/*
 * COPY or (move) MOVE to a mailbox of the same account or another one.
 * ERR_MORE: it is being opened, call again; ERR_NOT_FOUND: no such target
 * (TRYCREATE).  All or nothing for COPY: on
 * failure the copies made are removed again.
 */
int change_copy_begin(struct mailbox *from, struct account *to,
    struct slice target, const uint32_t *uids, size_t n, bool move,
    struct change_copy **out, struct err *e) MUST_USE;
/* The copies get none of these flags, or (keywords) no keywords; before the
 * first step. */
void change_copy_drop(struct change_copy *c, uint32_t flags, bool keywords);
/* A MOVE whose copies lack these flags. */
int change_move_without_begin(struct mailbox *from, struct slice target,
    const uint32_t *uids, size_t n, uint32_t flags, struct change_copy **out,
    struct err *e) MUST_USE;
enum step change_copy_step(
    struct change_copy *c, struct waker waker, int64_t now_ms, int64_t wall_ms);
/* How many of the messages are done, of how many: never less than before. */
void change_copy_progress(
    const struct change_copy *c, uint64_t *done, uint64_t *goal);
struct copy_result {
	int result;
	uint32_t uidvalidity;	   /* of the target */
	const uint32_t *from, *to; /* n pairs, ascending in from */
	size_t n;
};
const struct copy_result *change_copy_result(const struct change_copy *c);
/*
 * Told of each file that goes, for a log: its UID, its path, and the path of
 * what is kept of it elsewhere, empty if nothing is.
 */
typedef void change_observer(
    void *arg, uint32_t uid, struct slice path, struct slice kept);
/* Of a move, before the first step. */
void change_copy_observe(struct change_copy *c, change_observer *fn, void *arg);
void change_copy_free(struct change_copy **c);

struct change_expunge;
/* Remove those of the UIDs that have \Deleted (uids NULL: all that have). */
int change_expunge_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e) MUST_USE;
/* Before the first step; with the trash, kept is the path there. */
void change_expunge_observe(
    struct change_expunge *c, change_observer *fn, void *arg);
enum step change_expunge_step(struct change_expunge *c, struct waker waker,
    int64_t now_ms, int64_t wall_ms);
int change_expunge_result(const struct change_expunge *c, size_t *n_removed);
void change_expunge_free(struct change_expunge **c);

/*
 * The same, but what is removed is moved into the trash mailbox first, without
 * \Deleted and \Draft; not so in the trash itself, nor the UIDs of skip.
 * The trash is made if it is missing.
 */
int change_expunge_to_trash_begin(struct mailbox *m, const uint32_t *uids,
    size_t n, const uint32_t *skip, size_t n_skip, struct change_expunge **out,
    struct err *e) MUST_USE;

/* Remove exactly these, whatever their flags (POP3's UPDATE state). */
int change_remove_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e) MUST_USE;

#endif
