/*
 * Checkpoints, by a thread of the syncer: copying 4 MB from the log into the
 * database and syncing both takes 30 ms and more, in which no session of the
 * worker would get an answer.
 *
 * The thread has a connection of its own, and a copy of the descriptor that
 * holds the account's lock, so that nobody sets the database aside meanwhile.
 * It touches nothing else.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"

struct checkpoint {
	struct sync_job job;
	struct account *owner; /* NULL: its database has been closed */
	char *path;
	int lock_fd;
};

static int
run(struct sync_job *job)
{
	const struct checkpoint *c = job->arg;

	db_checkpoint(c->path);
	return 0;
}

static void
on_done(struct sync_job *job)
{
	struct checkpoint *c = job->arg;

	if (c->owner != NULL)
		c->owner->checkpoint = NULL;
	(void)close(c->lock_fd);
	free(c->path);
	free(c);
}

void
account_log_grown(struct account *a)
{
	struct syncer *syncer = a->store->opt.syncer;
	struct checkpoint *c;
	int fd;

	if (a->db.n_log < LOG_PAGES || a->checkpoint != NULL || syncer == NULL)
		return;
	fd = fcntl(a->lock_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return;
	c = MEM_NEW(struct checkpoint);
	c->job = (struct sync_job){
		.run = run, .done = on_done, .arg = c, .owner = a
	};
	c->owner = a;
	c->path = mem_strdup(sqlite3_db_filename(a->db.h, "main"));
	c->lock_fd = fd;
	a->db.n_log = 0;
	a->checkpoint = c;
	syncer_submit(syncer, &c->job);
}

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
