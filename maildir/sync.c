#include "maildir/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"

/* What the syncer works on; it outlives the struct sync if that is gone. */
struct sync_run {
	struct sync_job job;
	struct sync *owner; /* NULL: forgotten */
};

void
sync_fds_add(struct sync_fds *f, int fd, bool data_only)
{
	assert(f->n < SYNC_JOB_MAX);
	if (fd < 0)
		return;
	f->fd[f->n] = fd;
	f->data_only[f->n++] = data_only;
}

static void
run_free(struct sync_run *run)
{
	for (int i = 0; i < run->job.n; i++)
		(void)close(run->job.fds[i]);
	free(run);
}

static void
on_job_done(struct sync_job *job)
{
	struct sync_run *run = job->arg;
	struct sync *s = run->owner;

	if (s != NULL) {
		s->run = NULL;
		s->done = true;
		s->error = job->error;
	}
	run_free(run);
	if (s != NULL)
		waker_call(s->waker);
}

/* Without a syncer: what its thread would do. */
static void
run_now(struct sync_job *job)
{
	for (int i = 0; i < job->n; i++) {
		int rc = job->data_only[i] ? fsx_fdatasync(job->fds[i])
					   : fsx_fsync(job->fds[i]);

		if (rc < 0 && job->error == 0)
			job->error = errno;
	}
	job->done(job);
}

void
sync_start(struct sync *s, struct syncer *syncer, const struct sync_fds *fds,
    struct waker waker)
{
	struct sync_run *run = MEM_NEW(struct sync_run);
	int failed = 0;

	assert(s->run == NULL);
	*s = (struct sync){ .run = run, .waker = waker };
	run->owner = s;
	run->job.done = on_job_done;
	run->job.arg = run;
	for (int i = 0; i < fds->n; i++) {
		int fd = fcntl(fds->fd[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			failed = errno;
			break;
		}
		run->job.fds[run->job.n] = fd;
		run->job.data_only[run->job.n++] = fds->data_only[i];
	}
	if (failed != 0 || run->job.n == 0) {
		run->job.error = failed;
		on_job_done(&run->job);
	} else if (syncer == NULL) {
		run_now(&run->job);
	} else {
		syncer_submit(syncer, &run->job);
	}
}

bool
sync_busy(const struct sync *s)
{
	return s->run != NULL;
}

void
sync_rewake(struct sync *s, struct waker waker)
{
	s->waker = waker;
}

void
sync_forget(struct sync *s)
{
	if (s->run != NULL)
		s->run->owner = NULL;
	s->run = NULL;
}
