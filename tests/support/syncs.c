#include "tests/support/syncs.h"

#include <stddef.h>

static void
at_once(struct syncer *self, struct sync_job *job)
{
	(void)self;
	sync_job_do(job);
}

struct syncer syncs_at_once = { .submit = at_once };

struct sync_job *syncs_held;

static void
hold(struct syncer *self, struct sync_job *job)
{
	struct sync_job **end = &syncs_held;

	(void)self;
	while (*end != NULL)
		end = &(*end)->next;
	job->next = NULL;
	*end = job;
}

struct syncer syncs_holder = { .submit = hold };

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
