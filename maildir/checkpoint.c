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

void
checkpoint_forget(struct account *a)
{
	if (a->checkpoint != NULL)
		a->checkpoint->owner = NULL;
	a->checkpoint = NULL;
}
