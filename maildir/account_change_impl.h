/*
 * account_change_impl: what the kinds of account_change.h are made of.
 *
 * Layer:  maildir.  Not for anybody outside.
 * A change is a list of phases.  One with run is done at once, in the worker's
 * thread; one with job is done by the syncer, and may only touch the struct
 * change_job and the files below its root_fd.
 */
#ifndef MAILDIR_ACCOUNT_CHANGE_IMPL_H
#define MAILDIR_ACCOUNT_CHANGE_IMPL_H

#include "maildir/account_change.h"
#include "maildir/durable.h"
#include "maildir/shared_link.h"

/* What a job works on: copies, which outlive the change if that is freed. */
struct change_job {
	struct account *a; /* NULL: it is gone */
	int root_fd;
	char *dir;
	char *work, *gone; /* paths below tmp/ */
	char *name;	   /* of a mailbox */
	char **list;	   /* directories */
	size_t n;
	bool fill; /* dir is there, and is to become a mailbox */
	bool on;
	bool made;	 /* dir was made */
	struct acl *acl; /* to be written */
	uint64_t ino;	 /* of the mailbox that it is for */
	struct file_unique unique;
	int (*run)(struct change_job *j, struct err *e);
	struct err e;
	int rc;
};

struct change_phase {
	/* 0: on to the next; ERR_BUSY: again, later; else the end. */
	int (*run)(struct account_change *c, struct err *e);
	int (*job)(struct change_job *j, struct err *e);
	bool durable; /* wait until all that was committed is */
	bool guarded; /* ask before run */
};

struct account_change {
	unsigned magic;
	struct account *a;
	struct account_change *next;	  /* of the account's line */
	const struct change_phase *phase; /* the last has none of its fields */
	bool in_line, over;
	char *name, *to_name; /* complete; to_name only of a RENAME */
	struct buf dir, to_dir;
	/* what the next job is handed */
	struct buf job_dir;
	char **list;
	size_t n_list;
	bool fill, on;
	change_guard *guard; /* or NULL */
	void *guard_arg;
	struct shared_options shared; /* of a SUBSCRIBE to a link */
	acl_reader *read_acl;
	void *read_arg;
	struct acl *acl;
	uint64_t ino;
	char *made;	  /* a directory to be taken back after a failure */
	struct sync sync; /* of a job */
	struct change_job *job;
	struct durable durable;
	struct waker waker;
	int result;
	struct err e;
};

/* One with these phases; to NULL: there is no second name. */
struct account_change *change_new(struct account *a,
    const struct change_phase *phases, struct slice name,
    const struct slice *to) MUST_USE;
/* err_set() of a name's fault, or 0. */
int change_bad_name(struct err *e, int rc);

/*
 * Paths below tmp/, to be freed: for a tree that is put together, or that may
 * yet be put back; and for one that nobody wants any more.  The sweeps of all
 * processes remove what has a name of the latter kind (tidy.c), and nothing
 * else that isn't old.
 */
char *tree_name_work(struct account *a) MUST_USE;
char *tree_name_gone(struct account *a) MUST_USE;
/* Nobody wants the tree any more. */
void tree_give_up(struct account *a, const char *work);

/* --- create.c ------------------------------------------------------------- */

/* Whether dir is a mailbox: 1 or 0; ERR_* if that can't be told. */
int account_is_mailbox(int root_fd, const char *dir);
/* Give a directory what makes it a mailbox, durably. */
int create_fill(int root_fd, const char *path, struct err *e);
/* Make one, unless it is there, with all of that; nothing is synced. */
int create_dirs(int root_fd, const char *path, struct err *e);
/* A job: make job_dir (or with fill, what it lacks), durably. */
int create_job(struct change_job *j, struct err *e);
/* Before it: drop what an earlier directory of the name has left. */
int create_drop_row(struct account *a, struct slice dir, struct err *e);
/* Remove a new mailbox's directory again, unless there is mail. */
void create_unmake(struct account *a, const char *dir);

/* --- account_acl.c -------------------------------------------------------- */

/* NULL is no list. */
void change_acl_free(struct acl **acl);

#endif
