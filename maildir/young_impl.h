/*
 * young_impl: what the parts of young share: messages that come into the
 * database (young.c), and leave it (young_disk.c); what others have left there
 * (young_mend.c, young_round.c, young_row.c, young_search.c), or are about to
 * do (young_help.c).
 *
 * Layer:  maildir.  Not for anybody outside.
 */
#ifndef MAILDIR_YOUNG_IMPL_H
#define MAILDIR_YOUNG_IMPL_H

#include "maildir/young.h"

/* Messages of one mailbox with UIDs that follow one another. */
struct young_range {
	int64_t first, last; /* keys */
	size_t bytes;
};

struct young {
	/* committed, and without a name yet */
	struct young_file *files, **end;
	/* with a name; the first of these as the sync under way finds them, or
	 * the one that has ended, if the rows couldn't be deleted */
	struct young_range *v;
	size_t n, cap, n_syncing;
	bool synced;
	uint64_t device;
	size_t bytes; /* of all */
};

/* Whether the row is of a message that this process sees to. */
bool young_is_own(const struct account *a, int64_t key);
/* A descriptor of the log, for a sync by a thread; -1: it can't be synced. */
int young_log_copy(struct account *a) MUST_USE;
/* That failed. */
void young_log_failed(struct account *a);

/* --- young_disk.c --------------------------------------------------------- */

/* Whether the disk's errors are kept in mind from now on. */
bool young_disk_ready(struct account *a);
/* Nothing is known of its files any more: they are mended. */
void young_doubt(struct account *a);
/* There are many: have it synced without waiting for a tick. */
void young_disk_haste(struct account *a);

/* --- young_mend.c --------------------------------------------------------- */

/* Another process has rows: if they stay, it is gone. */
void young_mend_later(struct account *a);
/* Our own are to be mended. */
void young_mend_now(struct account *a);
void young_mend_tick(struct account *a);
void young_mend_free(struct account *a);

/* --- young_row.c ---------------------------------------------------------- */

/* A mailbox's directories, as a thread has them open. */
struct young_dir {
	char *path;
	int tmp_fd, cur_fd; /* -1: it isn't there */
	bool gone;	    /* it isn't, and nothing is to be done */
	bool to_make;	    /* it isn't; tmp_fd is INBOX's */
	bool made;	    /* it was made, and isn't synced yet */
	int rc;
};

enum { ROW_NOWHERE = 9999 };

struct young_row {
	int64_t key;
	bool rebooted; /* what is in the file may be anything */
	char *tmp, *base, *store;
	struct slice bytes; /* of store */
	char *dir;	    /* its mailbox; NULL: that is gone */
	uint64_t cur_ino;   /* of that, when it was last read; 0: never */
	struct file_unique unique;
	size_t at; /* of the round's directories, or: */

	bool known; /* the index has the message, and: */
	struct buf name;
	int64_t internal_ms;

	int64_t written_s;
	bool lost;     /* not where it should be */
	bool has_tmp;  /* it has no name yet */
	bool is_there; /* it is in cur/, as: */
	struct buf found;
	bool copied; /* one to take its place is in tmp/: */
	char *copy;
	int rc;
};

/* 1: it was read; 0: there is none; ERR_*. */
int young_row_read(struct account *a, int64_t key, struct young_row *r,
    struct err *e) MUST_USE;
void young_row_fini(struct young_row *r);
/* Look for its file: r->is_there.  0 or ERR_*. */
int young_row_find(struct young_row *r, const struct young_dir *d) MUST_USE;
/* The same in another directory: a name there is this one. */
bool young_row_is(const struct young_row *r, struct slice name);
/* 0: the file is durable, or will be with its name; or ERR_*. */
int young_row_write(
    struct young_row *r, const struct young_dir *d, mode_t mode) MUST_USE;
/* Within a transaction: the copy gets its name.  0; ERR_BUSY: the mailbox has
 * another directory by now; ERR_*. */
int young_row_place(
    struct account *a, struct young_row *r, struct young_dir *d) MUST_USE;
/* Within one: whether its mailbox has gone elsewhere since it was read, so that
 * what was found there says nothing. */
bool young_row_moved(struct account *a, const struct young_row *r);
/* Within one: rows leave the table. */
int young_row_delete(struct account *a, int64_t first, int64_t last) MUST_USE;

/* --- young_round.c -------------------------------------------------------- */

enum {
	ROUND_ROWS = 32,
	ROUND_BYTES = 512 * 1024,
	/* those of the rows, those they were found in, and one more */
	ROUND_DIRS = 2 * ROUND_ROWS + 1,
};

/* Rows that a thread works on. */
struct young_round {
	int root_fd, log_fd; /* -1: the log needn't be synced */
	mode_t mode;
	bool log_unsure, log_failed; /* before its sync, by it */
	bool names;		     /* now these are to be synced */
	bool synced_all;
	struct young_row row[ROUND_ROWS];
	struct young_dir dir[ROUND_DIRS];
	size_t n, n_dirs;
};

void young_dir_open(const struct young_round *rd, struct young_dir *d);
void young_dir_close(struct young_dir *d);
/* The job; with rd->names: the second one, after young_row_place(). */
int young_round_run(void *arg);
void young_round_free(struct young_round *rd);
/* Nobody waits for it any more; what it wrote has no name. */
void young_round_drop(void *arg);

/* --- young_search.c ------------------------------------------------------- */

/* Look for the files of those that are lost; who has one isn't any more.  0, or
 * ERR_*: the others may have theirs nevertheless. */
int young_search(struct young_round *rd) MUST_USE;

#endif
