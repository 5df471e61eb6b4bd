#include "server/syncpool.h"

#include <sys/eventfd.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	THREADS_MAX = 16,
	UNTOLD_MAX = 8, /* jobs that one thread does before the loop is told */
};

struct job_list {
	struct sync_job *first, **last;
};

struct syncpool {
	struct syncer syncer;
	pthread_mutex_t lock; /* guards todo, finished, stop, n_idle */
	/*
	 * A count for each thread that is to look for a job.  A condition
	 * variable of glibc would have the loop wait, at the second of two
	 * jobs, until whom it woke for the first is running.
	 */
	sem_t work;
	unsigned n_idle; /* threads that wait, and were not woken yet */
	struct job_list todo, finished;
	const void *at_work[THREADS_MAX]; /* owners; guarded, too */
	bool stop;
	pthread_t threads[THREADS_MAX];
	unsigned n_threads;
	int wake_fd; /* eventfd: a job was finished */
	struct event *on_wake;
	/* guarded: wake_fd was written to, finished not yet taken */
	bool woken;
	unsigned pending;
	struct waker after;
};

static void
list_init(struct job_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void
list_append(struct job_list *l, struct sync_job *job)
{
	job->next = NULL;
	*l->last = job;
	l->last = &job->next;
}

/* How many threads may be at work for one owner: a quarter stays for others. */
static unsigned
share(const struct syncpool *p)
{
	unsigned others = p->n_threads < 4 ? 1 : p->n_threads / 4;

	return p->n_threads > others ? p->n_threads - others : 1;
}

static bool
may_run(const struct syncpool *p, const struct sync_job *job)
{
	unsigned n = 0;

	if (job->owner == NULL)
		return true;
	for (size_t i = 0; i < THREADS_MAX; i++)
		n += p->at_work[i] == job->owner;
	return n < share(p);
}

static void
list_remove(struct job_list *l, struct sync_job **at)
{
	*at = (*at)->next;
	if (*at == NULL)
		l->last = at;
}

/* The first job that may be run. */
static struct sync_job *
take_job(struct syncpool *p)
{
	struct sync_job **at = &p->todo.first, *job;

	while ((job = *at) != NULL && !may_run(p, job))
		at = &job->next;
	if (job != NULL)
		list_remove(&p->todo, at);
	return job;
}

/* Where a thread notes for whom it works, if for anybody: there are as many as
 * threads. */
static const void **
place(struct syncpool *p)
{
	size_t i = 0;

	while (p->at_work[i] != NULL)
		i++;
	return &p->at_work[i];
}

/* Whether whoever does the first goes on with the next at once. */
static bool
go_together(const struct sync_job *job, const struct sync_job *next)
{
	return job->brief && next != NULL && next->brief &&
	    next->owner == job->owner;
}

/*
 * A finished job, to be fetched by the loop: whether the loop must be told.
 * Of siblings the last one tells, of brief ones that the same thread goes on
 * with, too, and of all that wait to be fetched one.
 */
static bool
hand_back(struct syncpool *p, struct sync_job *job, unsigned *untold)
{
	list_append(&p->finished, job);
	if ((job->unfinished != NULL && --*job->unfinished != 0) || p->woken)
		return false;
	/* the caller keeps the lock until it has taken the next */
	if (go_together(job, p->todo.first) && ++*untold < UNTOLD_MAX)
		return false;
	*untold = 0;
	p->woken = true;
	return true;
}

/* Outside of the lock, which the loop takes as soon as it wakes up.  A full
 * counter is as good a wake-up as one more. */
static void
tell(struct syncpool *p)
{
	const uint64_t one = 1;

	(void)pthread_mutex_unlock(&p->lock);
	(void)!write(p->wake_fd, &one, sizeof(one));
	(void)pthread_mutex_lock(&p->lock);
}

/* The next job, NULL at the end; the caller has the lock. */
static struct sync_job *
wait_job(struct syncpool *p)
{
	struct sync_job *job = NULL;
	bool woken = false;

	while (!p->stop && (job = take_job(p)) == NULL) {
		p->n_idle++;
		(void)pthread_mutex_unlock(&p->lock);
		(void)TEMP_FAILURE_RETRY(sem_wait(&p->work));
		(void)pthread_mutex_lock(&p->lock);
		woken = true;
	}
	/* it was woken for another, which nobody else may come to take */
	if (woken && job != NULL && job->unheralded && p->todo.first != NULL &&
	    p->n_idle > 0) {
		p->n_idle--;
		(void)sem_post(&p->work);
	}
	return p->stop ? NULL : job;
}

static void *
sync_thread(void *arg)
{
	struct syncpool *p = arg;
	struct sync_job *job;
	const void **mine;
	unsigned untold = 0;

	(void)pthread_mutex_lock(&p->lock);
	while ((job = wait_job(p)) != NULL) {
		mine = place(p);
		*mine = job->owner;
		(void)pthread_mutex_unlock(&p->lock);
		job->error = job->run(job);
		(void)pthread_mutex_lock(&p->lock);
		/* shared with others if nobody's name stands there */
		if (job->owner != NULL)
			*mine = NULL;
		if (hand_back(p, job, &untold))
			tell(p);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
on_job_finished(evutil_socket_t fd, short what, void *arg)
{
	struct syncpool *p = arg;
	struct sync_job *job, *next;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	(void)pthread_mutex_lock(&p->lock);
	job = p->finished.first;
	list_init(&p->finished);
	p->woken = false;
	(void)pthread_mutex_unlock(&p->lock);
	for (; job != NULL; job = next) {
		next = job->next;
		p->pending--;
		job->done(job);
	}
	waker_call(p->after);
}

static void
submit(struct syncer *self, struct sync_job *job)
{
	struct syncpool *p = CONTAINER_OF(self, struct syncpool, syncer);
	struct sync_job *last;
	bool wake, follows;

	p->pending++;
	(void)pthread_mutex_lock(&p->lock);
	last = p->todo.first != NULL
	    ? CONTAINER_OF(p->todo.last, struct sync_job, next)
	    : NULL;
	list_append(&p->todo, job);
	/* else the first thread that is through takes it, as they all look */
	follows = last != NULL && go_together(last, job);
	job->unheralded = follows;
	wake = p->n_idle > 0 && may_run(p, job) && !follows;
	p->n_idle -= wake;
	(void)pthread_mutex_unlock(&p->lock);
	/* who wakes up finds the lock free */
	if (wake)
		(void)sem_post(&p->work);
}

static bool
collect(struct syncer *self, struct sync_job *job)
{
	struct syncpool *p = CONTAINER_OF(self, struct syncpool, syncer);
	struct sync_job **at = &p->finished.first;
	bool found;

	(void)pthread_mutex_lock(&p->lock);
	while (*at != NULL && *at != job)
		at = &(*at)->next;
	found = *at != NULL;
	if (found)
		list_remove(&p->finished, at);
	(void)pthread_mutex_unlock(&p->lock);
	if (found) {
		p->pending--;
		job->done(job);
	}
	return found;
}

struct syncpool *
syncpool_new(struct event_base *base, unsigned n)
{
	struct syncpool *p = MEM_NEW(struct syncpool);
	sigset_t all, old;

	p->syncer = (struct syncer){ submit, collect };
	list_init(&p->todo);
	list_init(&p->finished);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)sem_init(&p->work, 0, 0);
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	/* Signals are the loop's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->wake_fd >= 0 && p->n_threads < n &&
	    p->n_threads < THREADS_MAX &&
	    pthread_create(&p->threads[p->n_threads], NULL, sync_thread, p) ==
		0)
		p->n_threads++;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	p->on_wake = event_new(
	    base, p->wake_fd, EV_READ | EV_PERSIST, on_job_finished, p);
	if (p->n_threads == 0 || p->on_wake == NULL) {
		syncpool_free(&p);
		return NULL;
	}
	(void)event_add(p->on_wake, NULL);
	return p;
}

void
syncpool_free(struct syncpool **pp)
{
	struct syncpool *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	(void)pthread_mutex_lock(&p->lock);
	p->stop = true;
	(void)pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		(void)sem_post(&p->work);
	for (unsigned i = 0; i < p->n_threads; i++)
		(void)pthread_join(p->threads[i], NULL);
	if (p->on_wake != NULL)
		event_free(p->on_wake);
	if (p->wake_fd >= 0)
		(void)close(p->wake_fd);
	(void)pthread_mutex_destroy(&p->lock);
	(void)sem_destroy(&p->work);
	free(p);
}

struct syncer *
syncpool_syncer(struct syncpool *p)
{
	return &p->syncer;
}

void
syncpool_after(struct syncpool *p, struct waker after)
{
	p->after = after;
}

unsigned
syncpool_pending(const struct syncpool *p)
{
	return p->pending;
}
