#include "tests/support/syncs.h"

static void
at_once(struct syncer *self, struct sync_job *job)
{
	(void)self;
	sync_job_do(job);
}

struct syncer syncs_at_once = { .submit = at_once };

struct sync_job *syncs_held;
bool (*syncs_holds)(const struct sync_job *job);

static void
hold(struct syncer *self, struct sync_job *job)
{
	struct sync_job **end = &syncs_held;

	(void)self;
	if (syncs_holds != NULL && !syncs_holds(job)) {
		sync_job_do(job);
		return;
	}
	while (*end != NULL)
		end = &(*end)->next;
	job->next = NULL;
	*end = job;
}

struct syncer syncs_holder = { .submit = hold };

size_t
syncs_count_held(void)
{
	size_t n = 0;

	for (const struct sync_job *job = syncs_held; job != NULL;
	     job = job->next)
		n++;
	return n;
}

bool
syncs_do_one(void)
{
	struct sync_job *job = syncs_held;

	if (job == NULL)
		return false;
	syncs_held = job->next;
	sync_job_do(job);
	return true;
}

void
syncs_do_all(void)
{
	while (syncs_do_one())
		continue;
}

void
syncs_release(int error)
{
	struct sync_job *job = syncs_held, *next;

	/* who is told may hand in the next */
	syncs_held = NULL;
	for (; job != NULL; job = next) {
		next = job->next;
		job->error = error != 0 ? error : job->run(job);
		job->done(job);
	}
}
