/*
 * scan: what the files of a scan share.
 *
 * Layer:  maildir.  Not for anybody outside.
 *
 *   scan.c         what is to be done, and the end; mailbox_refresh()
 *   scan_read.c    directories and events: what is there, what may be missing
 *   scan_sort.c    what was found, in the order of arrival
 *   scan_change.c  what follows from it for what is known
 *   scan_missing.c what is gone
 */
#ifndef MAILDIR_SCAN_H
#define MAILDIR_SCAN_H

#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/piece_sort.h"

enum scan_state {
	SCAN_LOG,
	SCAN_READ,
	SCAN_TAKE,
	SCAN_MOVE,
	SCAN_SORT,
	SCAN_CHANGE,
	SCAN_MISSING,
	SCAN_ADD,
	SCAN_FINISH,
	SCAN_SYNC,
	SCAN_DONE,
};

/* A name that isn't just what was known. */
struct found {
	uint64_t key; /* file_name_key() of its base name */
	uint32_t at;  /* in names */
	uint16_t n, n_base;
	bool in_new;
	bool twin; /* one of the adds: there is another with its base name */
};

struct scan {
	enum scan_state state, after_log;
	bool move_new, again, unsure, settled;
	bool reread;	 /* the directories, before something can be said */
	bool told;	 /* what is wrong with a file was logged */
	uint64_t change; /* of the mailbox, as far as this scan knows it */
	int which;	 /* DIR_* being read */
	bool reading;
	struct dir_reader r;
	bool read[2], events[2]; /* how each was looked at */
	int64_t mtime_ns[2];
	uint64_t ino[2];
	int64_t looked_ms[2]; /* wall time at which that began */

	struct view *base; /* when the reading began */
	uint8_t *seen;	   /* bit for each sequence number of base */
	struct buf names;
	struct found *found;
	size_t n_found, cap_found;
	size_t moved; /* found up to here are moved */
	struct found *absent;
	size_t n_absent, cap_absent;
	struct piece_sort sort; /* has found meanwhile */
	size_t changed;		/* found up to here are dealt with */
	uint32_t *doubts;	/* ascending once all are there */
	size_t n_doubts, cap_doubts, looked; /* at so many of them */
	uint32_t *heard;		     /* ascending once all are there */
	size_t n_heard, cap_heard;
	/* has a name that was listed, whatever stat() says of it; likewise */
	uint32_t *listed;
	size_t n_listed, cap_listed;
	uint32_t *unsure_uids; /* doubts that nothing settled */
	size_t n_unsure, cap_unsure;
	uint32_t *twins; /* noticed by this look */
	size_t n_twins, cap_twins;
	struct found *adds;
	size_t n_adds, cap_adds, added;

	struct sync sync;
	uint32_t sync_uidnext;
	uint64_t sync_change;
	uint64_t sync_young; /* mark, see young.h */
	/* when the log was last synced, before messages without files were
	 * looked at; 0: it wasn't */
	uint32_t log_uidnext;
	struct waker_list wakers;
};

/* --- scan_read.c ---------------------------------------------------------- */

/* A directory's mtime, ns. */
int64_t scan_mtime(const struct stat *st);
/* stat() of new/ or cur/ (DIR_*); -1 with errno. */
int scan_stat_dir(struct mailbox *m, int which, struct stat *st);
/* Note the state in which a directory is being looked at. */
void scan_look_at(
    struct scan *s, int which, const struct stat *st, int64_t wall_ms);
/* The name that was found, NUL behind it; good until the next is added. */
struct slice scan_name(const struct scan *s, const struct found *f);
void scan_add_found(struct scan *s, struct slice name, bool in_new);
/* This message may be missing. */
void scan_add_doubt(struct scan *s, uint32_t uid);
/* Whether the parsed name is the file that message i is known by. */
bool scan_is_place(
    const struct chunk *c, uint32_t i, const struct file_name *f);
/* Add a UID to a list that grows. */
void scan_add_uid(uint32_t **v, size_t *n, size_t *cap, uint32_t uid);
/* Whether ascending UIDs hold this one. */
bool scan_has_uid(const uint32_t *uids, size_t n, uint32_t uid);

/* The steps SCAN_READ and SCAN_TAKE. */
int scan_step_read(struct mailbox *m, struct scan *s, int64_t wall_ms,
    enum step *step) MUST_USE;
int scan_step_take(struct mailbox *m, struct scan *s, int64_t wall_ms,
    enum step *step) MUST_USE;

/*
 * Wait for renames under way, and read their events: what comes of them is
 * all that happened up to this call.  0 or ERR_*.
 */
int scan_settle(struct mailbox *m) MUST_USE;

/* --- scan_sort.c ---------------------------------------------------------- */

struct slice scan_base(const struct scan *s, const struct found *f);
void scan_sort_begin(struct scan *s);
/* A piece of it; true: there is more. */
bool scan_sort_step(struct scan *s);

/* --- scan_missing.c ------------------------------------------------------- */

/* Whether a file is there.  UNSEEN: the disk doesn't say, errno tells why. */
enum presence { ABSENT, PRESENT, UNSEEN };

/* That of a name, or of message i. */
enum presence scan_presence(struct mailbox *m, bool in_new, const char *name);
enum presence scan_place_presence(
    struct mailbox *m, const struct chunk *c, uint32_t i);
/* The mtimes of new/ and cur/, each -1 if the next change may leave it as it
 * is; whether these are the ones they have still, so that nothing changed. */
void scan_note_still(struct mailbox *m, int64_t wall_ms, int64_t mtime_ns[2]);
bool scan_is_still(struct mailbox *m, const int64_t mtime_ns[2]) MUST_USE;
/* The mailbox is told which messages have more than one file. */
void scan_note_twins(struct mailbox *m, const struct scan *s);
/* A piece of the step SCAN_MISSING. */
int scan_step_missing(
    struct mailbox *m, struct scan *s, int64_t wall_ms) MUST_USE;

/* --- scan_change.c -------------------------------------------------------- */

/* Commit; what this scan changes itself is no surprise to it. */
int scan_commit(struct edit *ed, struct scan *s) MUST_USE;
/* The steps SCAN_MOVE, SCAN_CHANGE and SCAN_ADD. */
enum step scan_step_move(struct mailbox *m, struct scan *s);
int scan_step_change(struct mailbox *m, struct scan *s) MUST_USE;
int scan_step_add(struct mailbox *m, struct scan *s, int64_t wall_ms) MUST_USE;

#endif
