#include "maildir/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"

/* One of the things that are done side by side. */
struct sync_part {
	struct sync_job job;
	struct sync_run *run;
	int fd;
	enum sync_how how;
	bool first, then; /* run->first comes before it, run->then follows */
};

/* What the syncer works on; it outlives the struct sync if that is gone. */
struct sync_run {
	struct sync *owner; /* NULL: forgotten */
	int left; /* parts that are under way, and one if more may follow */
	unsigned unfinished; /* the same, as the syncer counts */
	int error;
	int (*call)(void *arg);
	void (*drop)(void *arg);
	void *arg;
	struct sync_first first;
	struct sync_then then;
	int n;
	struct sync_part part[];
};

void
sync_fds_add(struct sync_fds *f, int fd, enum sync_how how)
{
	if (fd < 0)
		return;
	assert(f->n < SYNC_FDS_MAX);
	f->fd[f->n] = fd;
	f->how[f->n++] = how;
}

static void
finish(struct sync_run *run)
{
	struct sync *s = run->owner;

	for (int i = 0; i < run->n; i++)
		if (run->part[i].fd >= 0)
			(void)close(run->part[i].fd);
	if (run->first.end != NULL)
		run->first.end(run->first.arg);
	if (run->then.end != NULL)
		run->then.end(run->then.arg);
	if (s != NULL) {
		s->run = NULL;
		s->done = true;
		s->error = run->error;
	} else if (run->drop != NULL) {
		run->drop(run->arg);
	}
	free(run);
	if (s != NULL)
		waker_call(s->waker);
}

static void
on_part_done(struct sync_job *job)
{
	struct sync_run *run = ((struct sync_part *)job->arg)->run;

	if (job->error != 0 && run->error == 0)
		run->error = job->error;
	if (--run->left == 0)
		finish(run);
}

static int
run_part(struct sync_job *job)
{
	const struct sync_part *part = job->arg;
	int rc = 0;

	if (part->run->call != NULL)
		return part->run->call(part->run->arg);
	if (part->first &&
	    (rc = part->run->first.run(part->run->first.arg)) != 0)
		return rc;
	if (part->fd < 0)
		return 0;
	switch (part->how) {
	case SYNC_FILE:
		rc = fsx_fsync(part->fd);
		break;
	case SYNC_DATA:
		rc = fsx_fdatasync(part->fd);
		break;
	case SYNC_FS:
		rc = fsx_syncfs(part->fd);
		break;
	}
	if (rc < 0)
		return errno;
	if (part->then)
		part->run->then.run(part->run->then.arg);
	return 0;
}

static struct sync_run *
run_new(struct sync *s, int n_max, struct waker waker)
{
	struct sync_run *run = mem_zalloc(
	    1, sizeof(*run) + (size_t)n_max * sizeof(struct sync_part));

	assert(s->run == NULL);
	*s = (struct sync){ .run = run, .waker = waker };
	run->owner = s;
	for (int i = 0; i < n_max; i++)
		run->part[i] = (struct sync_part){ .run = run,
			.fd = -1,
			.job = { .run = run_part,
			    .done = on_part_done,
			    .arg = &run->part[i] } };
	return run;
}

static void
submit(
    struct sync_part *part, struct syncer *syncer, const void *owner, bool told)
{
	struct sync_job *job = &part->job;

	job->owner = owner;
	job->unfinished = told ? &part->run->unfinished : NULL;
	if (syncer == NULL)
		sync_job_do(job);
	else
		syncer_submit(syncer, job);
}

static void
submit_all(struct sync_run *run, struct syncer *syncer, const void *owner)
{
	int n = run->n;

	/* the last of them may end the run at once */
	run->left = n;
	run->unfinished = (unsigned)n;
	for (int i = 0; i < n; i++)
		submit(&run->part[i], syncer, owner, n > 1);
}

static void
add_parts(struct sync_run *run, const struct sync_fds *fds)
{
	if (fds->then.run != NULL)
		run->then = fds->then;
	if (fds->first.run != NULL)
		run->first = fds->first;
	run->owner->had_first = fds->first.run != NULL;
	for (int i = 0; i < fds->n; i++) {
		struct sync_part *part = &run->part[run->n];

		part->fd = fcntl(fds->fd[i], F_DUPFD_CLOEXEC, 0);
		if (part->fd < 0) {
			run->error = errno;
			break;
		}
		part->how = fds->how[i];
		part->first = i == 0 && fds->first.run != NULL;
		part->then = i == 0 && fds->then.run != NULL;
		run->n++;
	}
}

void
sync_start(struct sync *s, struct syncer *syncer, const void *owner,
    const struct sync_fds *fds, struct waker waker)
{
	struct sync_run *run = run_new(s, fds->n, waker);

	s->epoch = fds->epoch;
	s->root_changes = fds->root_changes;
	add_parts(run, fds);
	if (run->error != 0 || run->n == 0)
		finish(run);
	else
		submit_all(run, syncer, owner);
}

/*
 * Whoever counts has one more to wait for until sync_rest(): its last job,
 * which does nothing if there is nothing left to do.
 */
void
sync_begin(struct sync *s, struct syncer *syncer, const void *owner,
    const struct sync_fds *fds, struct waker waker)
{
	struct sync_run *run = run_new(s, fds->n + SYNC_FDS_MAX + 1, waker);
	int n;

	s->epoch = fds->epoch;
	add_parts(run, fds);
	n = run->n;
	run->left = n + 1;
	run->unfinished = (unsigned)n + 1;
	for (int i = 0; i < n; i++)
		submit(&run->part[i], syncer, owner, true);
}

void
sync_rest(struct sync *s, struct syncer *syncer, const void *owner,
    const struct sync_fds *fds)
{
	struct sync_run *run = s->run;
	int from = run->n, n;

	s->root_changes = fds->root_changes;
	add_parts(run, fds);
	if (run->n == from)
		run->n++;
	n = run->n;
	run->left += n - from - 1;
	for (int i = from; i < n; i++)
		submit(&run->part[i], syncer, owner, i == n - 1);
}

static struct sync_run *
call_new(struct sync *s, int (*call)(void *arg), void (*drop)(void *arg),
    void *arg, struct waker waker)
{
	struct sync_run *run = run_new(s, 1, waker);

	run->call = call;
	run->drop = drop;
	run->arg = arg;
	run->n = 1;
	return run;
}

void
sync_call(struct sync *s, struct syncer *syncer, const void *owner,
    int (*call)(void *arg), void (*drop)(void *arg), void *arg,
    struct waker waker)
{
	submit_all(call_new(s, call, drop, arg, waker), syncer, owner);
}

void
sync_call_brief(struct sync *s, struct syncer *syncer, const void *owner,
    int (*call)(void *arg), void (*drop)(void *arg), void *arg,
    struct waker waker)
{
	struct sync_run *run = call_new(s, call, drop, arg, waker);

	run->part[0].job.brief = true;
	submit_all(run, syncer, owner);
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
