#include "maildir/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/account_lock.h"
#include "maildir/courier_lock.h"
#include "maildir/edit.h"
#include "maildir/export_files.h"
#include "maildir/foreign.h"
#include "maildir/import.h"
#include "maildir/name.h"

enum { LOCK_MAX_MS = 10000 };

enum export_state {
	EXPORT_NEXT,
	EXPORT_OPEN,
	EXPORT_REFRESH,
	EXPORT_PREPARE,
	EXPORT_WRITE,
	EXPORT_SYNC,
	EXPORT_ANNOUNCE,
	EXPORT_SYNC_LOG,
	EXPORT_LIST,
	EXPORT_PLACE,
	EXPORT_TIDY,
	EXPORT_SYNC_DIRS,
	EXPORT_NOTE,
	EXPORT_SYNC_NOTE,
	EXPORT_NOTED,
	EXPORT_DONE,
};

struct export
{
	struct account *a;
	enum export_state state;
	bool again;
	int64_t id;	/* row of the mailbox at work */
	struct buf dir; /* its directory */
	struct mailbox *m;
	uint64_t change, modseq;	   /* that the files will hold */
	struct print known[PRINT_N_KINDS]; /* when they were begun */
	struct export_files files;
	struct courier_tidying *tidying; /* a thread's while that is busy */
	struct sync sync;
	bool syncing;
	bool locked;	   /* ACCOUNT_LOCK_EXPORT, of this opening: */
	uint32_t n_opened; /* the account's */
	int64_t busy_since_ms;
	int result;
	unsigned n_mailboxes;
};

struct export *
export_new(struct account *a, bool again)
{
	struct export *x = MEM_NEW(struct export);

	x->a = a;
	x->again = again;
	buf_init(&x->dir, 1024);
	return x;
}

/*
 * From the announcement to the note: another process that announced its own
 * files in between would leave these, when they are placed or noted, to be
 * taken for Courier's.
 */
static int
lock(struct export *x, struct err *e)
{
	if (account_lock(x->a, ACCOUNT_LOCK_EXPORT, F_WRLCK) < 0)
		return errno == EAGAIN || errno == EACCES
		    ? err_set(e, ERR_BUSY, "another process exports it")
		    : err_sys(e, "lock");
	x->locked = true;
	x->n_opened = x->a->n_opened;
	return 0;
}

/* It goes when the database is closed, as for others that need the room. */
static bool
is_locked(const struct export *x)
{
	return x->locked && x->a->lock_fd >= 0 && x->n_opened == x->a->n_opened;
}

static void
unlock(struct export *x)
{
	if (is_locked(x))
		(void)account_lock(x->a, ACCOUNT_LOCK_EXPORT, F_UNLCK);
	x->locked = false;
}

static void
drop_files(struct export *x)
{
	export_files_fini(&x->files);
	courier_tidying_free(x->tidying);
	x->tidying = NULL;
}

static void
leave(struct export *x)
{
	unlock(x);
	drop_files(x);
	if (x->m != NULL)
		mailbox_close(&x->m);
	x->busy_since_ms = 0;
	x->state = EXPORT_NEXT;
}

void
export_free(struct export **px)
{
	struct export *x = *px;

	*px = NULL;
	if (x == NULL)
		return;
	if (x->m != NULL)
		mailbox_forget_waker(x->m, x);
	if (x->state == EXPORT_TIDY && sync_busy(&x->sync))
		x->tidying = NULL;
	sync_forget(&x->sync);
	leave(x);
	buf_fini(&x->dir);
	free(x);
}

int
export_result(const struct export *x, unsigned *n_mailboxes)
{
	if (n_mailboxes != NULL)
		*n_mailboxes = x->n_mailboxes;
	return x->result;
}

/* This mailbox can't be done; the others can. */
static void
failed(struct export *x, int rc, const struct err *e)
{
	/* one that went away needs no export */
	if (rc != ERR_NOT_FOUND && rc != ERR_STALE) {
		log_warn("maildir: not exported path=%s mailbox=%s: %s",
		    x->a->path, buf_cstr(&x->dir),
		    e->text[0] != '\0' ? e->text : err_name(rc));
		if (x->result == 0)
			x->result = rc;
	}
	leave(x);
}

/* --- the steps ------------------------------------------------------------ */

static int
next(struct export *x, struct err *e)
{
	struct db *db = &x->a->db;
	sqlite3_stmt *s;
	int rc = account_open(x->a, e);

	if (rc == 0 && x->a->in_memory)
		rc = err_set(e, ERR_SPACE, "its UIDs are for now only");
	if (rc != 0)
		return rc;
	s = db_stmt(db, x->again ? DB_MAILBOX_NEXT : DB_EXPORTED_NOT);
	db_bind_i64(s, 1, x->id);
	if ((rc = db_step(db, s, e)) == 1) {
		x->id = sqlite3_column_int64(s, 0);
		buf_reset(&x->dir);
		buf_put(&x->dir, db_column_blob(s, 1));
		(void)sqlite3_reset(s);
		x->state = EXPORT_OPEN;
		return 0;
	}
	if (rc == 0)
		x->state = EXPORT_DONE;
	return account_db_failed(x->a, rc);
}

static int
open_mailbox(struct export *x, struct err *e)
{
	struct buf name;
	int rc;

	buf_init(&name, 4096);
	name_put_from_dir(x->a->root_fd, buf_slice(&x->dir), &name);
	rc = mailbox_open(x->a, buf_slice(&name), &x->m, e);
	buf_fini(&name);
	if (rc == 0 && x->m->id != x->id)
		rc = ERR_STALE;
	if (rc == 0)
		x->state = EXPORT_REFRESH;
	return rc;
}

/* Whether it is no longer the mailbox that was opened: deleted, or INBOX,
 * whose messages were renamed away with their row.  Its keywords are others
 * then. */
static bool
is_another(const struct export *x)
{
	return x->m->gone || x->m->id != x->id;
}

/* Have the database open, and in it the mailbox: opening may find another
 * database. */
static int
reopen(struct export *x, struct err *e)
{
	int rc = account_open(x->a, e);

	return rc == 0 && is_another(x) ? ERR_STALE : rc;
}

/* What is exported: the mailbox as it is now. */
static int
take_snapshot(struct export *x, struct err *e)
{
	struct mailbox *m = x->m;
	int work = PIECE_WORK, rc = reopen(x, e);

	if (rc == 0)
		rc = mailbox_show_names(m, &work, e);
	if (rc != 0 || (rc = import_known(m, x->known, e)) != 0)
		return rc;
	x->change = m->change;
	x->modseq = m->modseq;
	export_files_begin(&x->files, m);
	x->state = EXPORT_PREPARE;
	return 0;
}

/* A piece of it, or of the files. */
static enum step
piece(struct export *x, int (*fn)(struct export_files *, struct err *),
    enum export_state next, int *rc, struct err *e)
{
	*rc = reopen(x, e);
	if (*rc == 0)
		*rc = fn(&x->files, e);
	if (*rc == 0)
		x->state = next;
	else if (*rc == 1)
		*rc = 0;
	return STEP_YIELD;
}

/* The files, what is announced of them or noted, or when they are in place,
 * their directories. */
static int
start_sync(struct export *x, struct waker waker, struct err *e)
{
	struct sync_fds fds = { 0 };
	int rc = 0;

	if (x->state == EXPORT_SYNC)
		export_files_sync_fds(&x->files, &fds);
	else if (x->state != EXPORT_SYNC_DIRS)
		rc = account_sync_fds(x->a, &fds, e);
	else
		rc = export_files_sync_dirs(&x->files, &fds, e);
	if (rc != 0)
		return rc;
	x->syncing = true;
	sync_start(&x->sync, x->a->store->opt.syncer, x->a, &fds, waker);
	return 0;
}

/* Note the prints of all: before they are placed, or after it. */
static int
note_prints(struct export *x, bool placed, struct err *e)
{
	static const unsigned kinds[EXPORT_N_FILES] = {
		[EXPORT_UIDS] = PRINT_COURIER_UIDS,
		[EXPORT_KEYWORDS] = PRINT_COURIER_LIST,
		[EXPORT_SIZELIST] = PRINT_COURIER_SIZELIST,
	};
	const struct print none = { 0 };
	int rc = 0;

	for (int i = 0; i < EXPORT_N_FILES && rc == 0; i++) {
		if (i == EXPORT_SIZELIST && !x->files.has_sizelist)
			continue;
		if (placed)
			rc =
			    import_note(x->m, kinds[i], &x->files.prints[i], e);
		if (rc == 0)
			rc = import_note(x->m, kinds[i] + PRINT_PLACING,
			    placed ? &none : &x->files.prints[i], e);
	}
	if (rc == 0)
		rc = placed
		    ? import_mark_remove(x->a, x->id, MARK_PLACING, e)
		    : import_mark_set(x->a, x->id, MARK_PLACING, x->modseq, e);
	return rc;
}

static int
begin(struct export *x, struct err *e)
{
	int rc = reopen(x, e);

	return rc == 0 ? db_begin(&x->a->db, e) : rc;
}

static int
commit(struct export *x, int rc, struct err *e)
{
	if (rc == 0)
		return db_commit(&x->a->db, e);
	db_rollback(&x->a->db);
	return rc;
}

/* What is about to be placed: else it would be taken for Courier's, if this
 * process ends before it is noted, or others look before. */
static int
announce(struct export *x, struct err *e)
{
	int rc = account_open(x->a, e);

	if (rc == 0 && !is_locked(x))
		rc = lock(x, e);
	if (rc != 0 || (rc = export_files_look(&x->files, e)) != 0 ||
	    (rc = begin(x, e)) != 0)
		return rc;
	if ((rc = import_settle(x->m, e)) == 0)
		rc = note_prints(x, false, e);
	rc = commit(x, rc, e);
	if (rc == 0)
		x->state = EXPORT_SYNC_LOG;
	return rc;
}

/*
 * Courier wrote its files since they were read, or another process may have
 * exported since: that comes first.  It ends as with a lock that others hold.
 * What was announced is gone, and is settled by whoever exports next: until the
 * next announcement others may be it.
 */
static int
start_over(struct export *x, struct err *e)
{
	unlock(x);
	drop_files(x);
	x->state = EXPORT_REFRESH;
	return err_set(e, ERR_BUSY, "Courier is writing its files");
}

/* Note what was placed, in one transaction. */
static int
note(struct export *x, struct err *e)
{
	struct db *db = &x->a->db;
	sqlite3_stmt *s;
	int rc;

	if (!is_locked(x))
		return start_over(x, e);
	if ((rc = begin(x, e)) != 0)
		return rc;
	rc = note_prints(x, true, e);
	s = db_stmt(db, DB_EXPORTED_PUT);
	db_bind_i64(s, 1, x->m->id);
	db_bind_u64(s, 2, x->change);
	db_bind_u64(s, 3, x->modseq);
	if (rc == 0)
		rc = db_run(db, s, e);
	return commit(x, rc, e);
}

/*
 * What has been merged into the list that is there; what Courier merges from
 * now on may not be in the one that takes its place.  What the refresh took
 * over may still be about to be renamed, and would be left; should the disk
 * hang then, others get their turn as with a lock that is held.
 */
static enum step
list_merged(struct export *x, int64_t wall_ms, int *rc, struct err *e)
{
	int work = PIECE_WORK;

	if (x->m->imported.renaming != NULL) {
		*rc = err_set(
		    e, ERR_BUSY, "updates of keywords are being renamed");
		return STEP_WAIT_PEER;
	}
	if (x->tidying == NULL)
		x->tidying = courier_tidying_new(
		    x->a->root_fd, x->m->dir, wall_ms / 1000);
	if (x->tidying != NULL && courier_tidying_list(x->tidying, &work))
		return STEP_YIELD;
	x->state = EXPORT_PLACE;
	return STEP_NEXT;
}

/* It is in the new list; it goes before that is noted, else Courier would take
 * it for newer. */
static enum step
tidy(struct export *x, struct waker waker)
{
	if (!sync_busy(&x->sync)) {
		if (x->tidying == NULL || !courier_tidying_left(x->tidying)) {
			x->state = EXPORT_SYNC_DIRS;
			return STEP_NEXT;
		}
		sync_call(&x->sync, x->a->store->opt.syncer, x->a,
		    courier_tidying_run, courier_tidying_free, x->tidying,
		    waker);
	}
	if (!sync_busy(&x->sync))
		return STEP_YIELD;
	sync_rewake(&x->sync, waker);
	return STEP_WAIT_SYNC;
}

static int
place(struct export *x, int64_t wall_ms, struct err *e)
{
	struct mailbox *m = x->m;
	struct file_unique u = store_unique(x->a->store, wall_ms);
	int root_fd = x->a->root_fd, rc;
	bool courier = !x->a->store->opt.no_courier_lock;

	if (is_another(x))
		return ERR_STALE;
	if (!is_locked(x))
		return start_over(x, e);
	if (courier && (rc = courier_lock_take(root_fd, m->dir, &u, e)) != 0)
		return rc;
	if (import_courier_has(m, x->known))
		rc = export_files_place(&x->files, e);
	else
		rc = start_over(x, e);
	if (courier)
		courier_lock_release(root_fd, m->dir);
	if (rc == 0)
		x->state = EXPORT_TIDY;
	return rc;
}

static enum step
refresh(struct export *x, struct waker waker, int64_t now_ms, int64_t wall_ms,
    int *rc, struct err *e)
{
	enum step step =
	    mailbox_refresh(x->m, false, waker, now_ms, wall_ms, rc);

	if (step != STEP_DONE)
		return step;
	if (*rc == 0)
		*rc = take_snapshot(x, e);
	return STEP_NEXT;
}

static enum step
sync_some(struct export *x, struct waker waker, enum export_state next, int *rc,
    struct err *e)
{
	if (!x->syncing && (*rc = start_sync(x, waker, e)) != 0)
		return STEP_YIELD;
	if (sync_busy(&x->sync)) {
		sync_rewake(&x->sync, waker);
		return STEP_WAIT_SYNC;
	}
	x->syncing = false;
	if (x->state == EXPORT_SYNC_LOG || x->state == EXPORT_SYNC_NOTE)
		*rc = account_synced(x->a, &x->sync);
	else if (x->sync.error != 0)
		*rc = err_set(e, err_of_errno(x->sync.error), "sync failed");
	x->state = next;
	return STEP_YIELD;
}

static enum step
advance(struct export *x, struct waker waker, int64_t now_ms, int64_t wall_ms,
    int *rc, struct err *e)
{
	switch (x->state) {
	case EXPORT_NEXT:
		*rc = next(x, e);
		return STEP_NEXT;
	case EXPORT_OPEN:
		*rc = open_mailbox(x, e);
		return STEP_NEXT;
	case EXPORT_REFRESH:
		return refresh(x, waker, now_ms, wall_ms, rc, e);
	case EXPORT_PREPARE:
		return piece(x, export_files_prepare, EXPORT_WRITE, rc, e);
	case EXPORT_WRITE:
		return piece(x, export_files_write, EXPORT_SYNC, rc, e);
	case EXPORT_SYNC:
		return sync_some(x, waker, EXPORT_ANNOUNCE, rc, e);
	case EXPORT_ANNOUNCE:
		*rc = account_db_failed(x->a, announce(x, e));
		return STEP_NEXT;
	case EXPORT_SYNC_LOG:
		return sync_some(x, waker, EXPORT_LIST, rc, e);
	case EXPORT_LIST:
		return list_merged(x, wall_ms, rc, e);
	case EXPORT_PLACE:
		*rc = place(x, wall_ms, e);
		return STEP_NEXT;
	case EXPORT_TIDY:
		return tidy(x, waker);
	case EXPORT_SYNC_DIRS:
		return sync_some(x, waker, EXPORT_NOTE, rc, e);
	case EXPORT_NOTE:
		*rc = account_db_failed(x->a, note(x, e));
		if (*rc == 0)
			x->state =
			    x->files.replaced ? EXPORT_SYNC_NOTE : EXPORT_NOTED;
		return STEP_NEXT;
	case EXPORT_SYNC_NOTE:
		return sync_some(x, waker, EXPORT_NOTED, rc, e);
	case EXPORT_NOTED:
		export_files_noted(&x->files);
		x->n_mailboxes++;
		leave(x);
		return STEP_YIELD;
	case EXPORT_DONE:
		break;
	}
	return STEP_DONE;
}

enum step
export_step(
    struct export *x, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	struct err e = { 0 };

	for (;;) {
		bool listing = x->state == EXPORT_NEXT;
		int rc = 0;
		enum step step = advance(x, waker, now_ms, wall_ms, &rc, &e);

		if (rc == ERR_MORE)
			return STEP_YIELD;
		if (rc == ERR_BUSY) {
			if (x->busy_since_ms == 0)
				x->busy_since_ms = now_ms;
			if (now_ms - x->busy_since_ms <= LOCK_MAX_MS)
				return STEP_WAIT_PEER;
		}
		if (rc != 0) {
			failed(x, rc, &e);
			/* without the list of mailboxes nothing can be done */
			if (listing) {
				x->state = EXPORT_DONE;
				return STEP_DONE;
			}
			return STEP_YIELD;
		}
		if (step != STEP_NEXT)
			return step;
	}
}
