/*
 * Checkpoints, by a thread of the syncer: copying 4 MB from the log into the
 * database and syncing both takes 30 ms and more, in which no session of the
 * worker would get an answer.
 *
 * One is made of a log that has grown, and one when an account is closed whose
 * log is cold: nobody wrote to it since the account was opened.  Each opening
 * reads and sums all of a log, so that a client who only looks for new mail
 * would pay for it again and again.  A short one isn't worth the two syncs;
 * who wrote now may write again, and waits less for a log that has its size.
 * Should many accounts get cold at once, those that wait for their turn stay
 * open some seconds more.  A third kind comes before the next sync if one of
 * the log has failed.
 *
 * The thread has a connection of its own, and a copy of the descriptor that
 * holds the account's lock, so that nobody sets the database aside meanwhile.
 * It touches nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"

enum {
	COLD_PAGES = 24, /* from then on it is worth it */
	COLD_MAX = 8,	 /* at a time */
	COLD_TICKS = 60, /* then an account doesn't wait for it any more */
	REPAIR_TRIES = 250,
	PAUSE_NS = 20000000,
};

struct checkpoint {
	struct sync_job job;
	struct account *owner; /* NULL: its database has been closed */
	struct store *store;   /* of a cold one; NULL: it is gone */
	struct checkpoint *next, **prev; /* of the store's */
	char *path;
	int lock_fd;
	bool empty; /* leave no log */
};

static int
run(struct sync_job *job)
{
	const struct checkpoint *c = job->arg;

	return db_checkpoint(c->path, c->empty);
}

static void
checkpoint_free(struct checkpoint *c)
{
	(void)close(c->lock_fd);
	free(c->path);
	free(c);
}

static void
on_done(struct sync_job *job)
{
	struct checkpoint *c = job->arg;

	if (c->owner != NULL)
		c->owner->checkpoint = NULL;
	if (c->store != NULL) {
		c->store->n_cold--;
		*c->prev = c->next;
		if (c->next != NULL)
			c->next->prev = c->prev;
	}
	checkpoint_free(c);
}

/* NULL: there is no descriptor for it. */
static struct checkpoint *
checkpoint_new(struct account *a)
{
	int fd = fcntl(a->lock_fd, F_DUPFD_CLOEXEC, 0);
	struct checkpoint *c;

	if (fd < 0)
		return NULL;
	c = MEM_NEW(struct checkpoint);
	c->job = (struct sync_job){
		.run = run, .done = on_done, .arg = c, .owner = a
	};
	c->path = mem_strdup(sqlite3_db_filename(a->db.h, "main"));
	c->lock_fd = fd;
	return c;
}

void
account_log_grown(struct account *a)
{
	struct syncer *syncer = a->store->opt.syncer;
	struct checkpoint *c;

	if (a->db.n_log < LOG_PAGES || a->checkpoint != NULL ||
	    syncer == NULL || (c = checkpoint_new(a)) == NULL)
		return;
	c->owner = a;
	a->db.n_log = 0;
	a->checkpoint = c;
	syncer_submit(syncer, &c->job);
}

/* --- after a sync that failed --------------------------------------------- */

/* Somebody reads or writes it for a moment, or does the same. */
static int
run_first(void *arg)
{
	const struct timespec pause = { 0, PAUSE_NS };
	const struct checkpoint *c = arg;
	int error = EBUSY;

	for (int i = 0; i < REPAIR_TRIES && error == EBUSY; i++) {
		if (i != 0)
			(void)nanosleep(&pause, NULL);
		error = db_checkpoint(c->path, true);
	}
	return error;
}

static void
end_first(void *arg)
{
	checkpoint_free(arg);
}

/*
 * What a failed sync lost is lost to any later sync as well; a checkpoint
 * writes it anew, to another file.
 */
int
checkpoint_before(struct account *a, struct sync_fds *f, struct err *e)
{
	struct checkpoint *c = checkpoint_new(a);

	if (c == NULL)
		return err_sys(e, "dup");
	f->first = (struct sync_first){ run_first, end_first, c };
	return 0;
}

/* --- cold ones ------------------------------------------------------------ */

static bool
is_cold(const struct account *a)
{
	return a->store->opt.syncer != NULL && a->checkpoint == NULL &&
	    !a->changing && db_log_unwritten(&a->db) >= COLD_PAGES;
}

bool
account_waits_cold(const struct account *a)
{
	uint64_t quiet = (uint64_t)(a->store->opt.quiet_ms / 1000);

	return a->db.h != NULL && a->store->n_cold >= COLD_MAX &&
	    a->used + quiet + COLD_TICKS > a->store->tick && is_cold(a);
}

void
account_close_idle(struct account *a)
{
	struct store *s = a->store;
	struct checkpoint *c = NULL;

	if (a->db.h != NULL && s->n_cold < COLD_MAX && is_cold(a))
		c = checkpoint_new(a);
	account_close_db(a);
	if (c == NULL)
		return;
	c->empty = true;
	c->store = s;
	c->prev = &s->cold;
	c->next = s->cold;
	if (c->next != NULL)
		c->next->prev = &c->next;
	s->cold = c;
	s->n_cold++;
	syncer_submit(s->opt.syncer, &c->job);
}

void
checkpoints_forget(struct store *s)
{
	for (struct checkpoint *c = s->cold; c != NULL; c = c->next)
		c->store = NULL;
	s->cold = NULL;
	s->n_cold = 0;
}

/* --- its size ------------------------------------------------------------- */

/*
 * A sync of a file that has grown writes its new size, too, one wait more for
 * the disk than its bytes take.  So a log that is in use is made longer some
 * commits ahead.  To SQLite the zeros are what the rest of a log begun anew is:
 * frames without the right check sum.
 */
void
account_log_lengthen(struct account *a)
{
	enum {
		HEADER = 32,
		FRAME = 4096 + 24,
		/* an account that changes rarely keeps a short one */
		FROM = 16,
		PIECE = 256 * 1024,
		LEFT = 64 * 1024
	};
	off_t end = HEADER + (off_t)a->db.n_frames * FRAME;
	struct stat st;

	assert(a->db.in_txn);
	if (!a->db.wal || a->wal_fd < 0 || a->db.n_frames < FROM ||
	    a->db.n_frames > LOG_PAGES || a->db.log_size >= end + LEFT ||
	    fstat(a->wal_fd, &st) < 0)
		return;
	/* nobody else writes to it during the transaction */
	if (st.st_size < end + LEFT &&
	    fsx_write_zeros(a->wal_fd, st.st_size, PIECE) == 0)
		st.st_size += PIECE;
	/* what fails costs time only, and the commit will tell */
	a->db.log_size = st.st_size;
}

void
checkpoint_forget(struct account *a)
{
	if (a->checkpoint != NULL)
		a->checkpoint->owner = NULL;
	a->checkpoint = NULL;
}
