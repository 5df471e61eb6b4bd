/*
 * copy_impl: one message of a COPY or MOVE, and its file.
 *
 * Layer:  maildir.  Not for anybody outside of copy.c, copy_bytes.c,
 * copy_file.c, copy_look.c and copy_sync.c.
 */
#ifndef MAILDIR_COPY_IMPL_H
#define MAILDIR_COPY_IMPL_H

#include <sys/stat.h>

#include "maildir/edit.h"
#include "maildir/work.h"

struct copy_item {
	uint32_t from, to; /* to 0: no UID yet */
	uint64_t place;
	uint32_t keywords; /* a set of the source */
	struct fixed fixed;
	struct file_unique unique;
	uint64_t dev, ino; /* of the source */
	char *tmp;	   /* bytes were copied: name in the target's tmp/ */
	char *base;	   /* what the copy is called */
	char *committed;   /* its name in cur/ of the target */
	bool counts;	   /* for the quota */
	bool counted;	   /* so does the source, which goes */
	bool young;	   /* its bytes may not be on the disk */
	bool gone;	   /* expunged meanwhile */
};

/*
 * Look at the message; it->from is filled in.  place: what the copy gets of
 * flags is the caller's to take away.  0; ERR_NOT_FOUND: it is gone, or,
 * without search, elsewhere; ERR_*.
 */
int copy_item_look(struct copy_item *it, struct mailbox *from,
    struct mailbox *to, bool search, int64_t wall_ms) MUST_USE;
/*
 * Bring it into cur/ of the target under its name, within the transaction that
 * gives it a UID.  0, perhaps with it->gone; else ERR_*, and then *bytes: no
 * link can be made, so the bytes must be copied, and *all: nor of any other
 * message.
 */
int copy_item_place(struct copy_item *it, struct mailbox *from,
    struct mailbox *to, int tmp_fd, bool *bytes, bool *all) MUST_USE;

/* Looking at all of them (copy_look.c). */
struct copy_look {
	struct mailbox *from, *to;
	struct uid_work work;
	struct copy_item *v; /* those that are there */
	size_t n;
};
void copy_look_begin(struct copy_look *l, struct mailbox *from,
    struct mailbox *to, const uint32_t *uids, size_t n);
/* STEP_DONE: *rc is 0 or ERR_*; else a step to return. */
enum step copy_look_step(struct copy_look *l, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *rc) MUST_USE;
/* What it has found, in the order of UIDs; the caller's. */
struct copy_item *copy_look_take(struct copy_look *l, size_t *n) MUST_USE;
void copy_look_fini(struct copy_look *l);

/* What the copy is called, from its source or (st) its own file. */
void copy_item_name(struct copy_item *it, const struct stat *st);

/* Copying bytes, of one item after the other (copy_bytes.c). */
enum { COPY_BYTES_SLICE = 256 * 1024 }; /* more aren't copied by the caller */
struct copy_bytes {
	struct mailbox *from, *to;
	struct copying *file; /* under way */
	struct sync sync;
};
/*
 * Into the target's tmp/.  STEP_DONE: *rc is 0, and the file is young;
 * ERR_NOT_FOUND without it->tmp: the source is gone; ERR_*.  Else a step to
 * return, and to be called again for the same item.
 */
enum step copy_bytes_step(struct copy_bytes *b, struct copy_item *it,
    int tmp_fd, struct waker waker, int *rc) MUST_USE;
void copy_bytes_fini(struct copy_bytes *b);

/* Take away what the above have made. */
void copy_item_undo(struct copy_item *it, struct mailbox *to, int tmp_fd);
void copy_item_fini(struct copy_item *it);

/*
 * The items whose files are to be synced: the young ones, but of several names
 * of one file only one.  Indexes of v, *n of them; the caller frees.
 */
size_t *copy_items_young(const struct copy_item *v, size_t n_items, size_t *n);

/* Those syncs, some side by side (copy_sync.c). */
enum { COPY_SYNC_AT_ONCE = 16 };
struct copy_sync {
	struct mailbox *from, *to;
	int tmp_fd;
	size_t *young, n, at; /* items to sync, or NULL */
	bool again;	      /* one of them was gone */
	struct sync sync;
	int fds[COPY_SYNC_AT_ONCE];
	int n_fds;
};
/* STEP_DONE: *rc is 0, and no item is young any more, but some may be gone; or
 * ERR_*.  Else a step to return. */
enum step copy_sync_step(struct copy_sync *y, struct copy_item *v, size_t n,
    struct waker waker, int *rc) MUST_USE;
void copy_sync_fini(struct copy_sync *y);

#endif
