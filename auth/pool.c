#include "auth/pool.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum {
	POOL_MAGIC = 0x1001a000,
	/* A helper this long past its question's deadline hangs. */
	HANG_MS = 5000,
	TICK_MS = 200,
	/* One that ends sooner than this after its start is broken; the next
	 * is asked for only after the same time. */
	SHORT_LIFE_MS = 1000,
	/* One that hasn't come that long after it was asked for won't: the
	 * keeper couldn't make it. */
	LOST_MS = 2000,
	/* What the helper gets less than the front, to be heard in time. */
	MARGIN_MS = 300,
};

struct helper_proc;
struct job {
	struct pool *pool;
	enum pool_class class;
	struct helper_proc *helper; /* NULL: in the queue */
	uint32_t id;
	int64_t deadline;
	struct msg_out packet;
	pool_done *done; /* NULL: answered already, or cancelled */
	void *arg;
	TAILQ_ENTRY(job) link;
};
TAILQ_HEAD(jobs, job);

struct helper_proc {
	struct pool *pool;
	enum pool_class class;
	int fd;
	uint32_t pid;
	int64_t started;
	struct job *job; /* NULL: idle */
	bool retiring;
	bool killed;
	struct event *readable;
	TAILQ_ENTRY(helper_proc) link;
};
TAILQ_HEAD(helper_procs, helper_proc);

struct pool {
	uint32_t magic;
	struct event_base *base;
	const struct pool_host *host;
	void *host_arg;
	struct {
		uint32_t want, have, asked_for; /* wanted, alive, to come */
		int64_t asked_at;
		struct jobs queue;
	} of[POOL_N_CLASSES];
	uint32_t n_helpers; /* of a class that is needed */
	uint32_t timeout_ms;
	uint32_t next_id;
	size_t n_queued;
	struct helper_procs helpers;
	struct event *tick;
	int64_t spawn_after;
	uint8_t *space;
};

static void dispatch(struct pool *p);
static void on_tick(evutil_socket_t fd, short what, void *arg);

struct pool *
pool_new(struct event_base *base, const struct pool_host *host, void *arg)
{
	struct pool *p = MEM_NEW(struct pool);

	p->magic = POOL_MAGIC;
	p->base = base;
	p->host = host;
	p->host_arg = arg;
	p->space = mem_alloc(MSG_SIZE_MAX);
	for (size_t i = 0; i < POOL_N_CLASSES; i++)
		TAILQ_INIT(&p->of[i].queue);
	TAILQ_INIT(&p->helpers);
	p->tick = evtimer_new(base, on_tick, p);
	assert(p->tick != NULL);
	return p;
}

/* --- jobs ---------------------------------------------------------------- */

static void
job_free(struct job *j)
{
	msg_out_fini(&j->packet);
	free(j);
}

void
pool_hold(struct job *j, bool hold)
{
	if (j->helper == NULL)
		return;
	if (hold)
		(void)event_del(j->helper->readable);
	else
		(void)event_add(j->helper->readable, NULL);
}

/* Tell the asker, once. */
static void
job_tell(struct job *j, const struct answer *a)
{
	pool_done *done = j->done;

	if (done == NULL)
		return;
	if (a->verdict != VERDICT_MORE) {
		j->done = NULL;
		pool_hold(j, false);
	}
	done(j->arg, a);
}

static void
job_fail(struct job *j)
{
	static const struct answer failure = { .verdict = VERDICT_TEMPORARY };

	job_tell(j, &failure);
}

static void
queue_remove(struct job *j)
{
	TAILQ_REMOVE(&j->pool->of[j->class].queue, j, link);
	j->pool->n_queued--;
}

struct job *
pool_ask(struct pool *p, const struct query *q, pool_done *done, void *arg)
{
	struct query timed = *q;
	struct job *j;

	MAGIC_CHECK(p, POOL_MAGIC);
	if (p->n_queued >= POOL_QUEUE_MAX)
		return NULL;
	j = MEM_NEW(struct job);
	j->pool = p;
	j->id = ++p->next_id;
	timed.budget_ms =
	    q->op == QUERY_ENUMERATE ? POOL_ENUMERATE_MS : p->timeout_ms;
	j->deadline = clock_now() + timed.budget_ms;
	timed.budget_ms -=
	    timed.budget_ms > 2 * MARGIN_MS ? (uint32_t)MARGIN_MS : 0;
	j->done = done;
	j->arg = arg;
	query_pack(&timed, j->id, &j->packet);
	TAILQ_INSERT_TAIL(&p->of[j->class].queue, j, link);
	p->n_queued++;
	dispatch(p);
	return j;
}

void
pool_cancel(struct job *j)
{
	j->done = NULL;
	if (j->helper != NULL) {
		pool_hold(j, false);
		return;
	}
	queue_remove(j);
	job_free(j);
}

/* --- helpers ------------------------------------------------------------- */

static void
schedule(struct pool *p, int64_t ms)
{
	struct timeval tv;

	if (ms < 1)
		ms = 1;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	(void)evtimer_add(p->tick, &tv);
}

/* Ask the keeper for what lacks, unless helpers die as soon as they live. */
static void
fill_up(struct pool *p)
{
	int64_t now = clock_now();

	if (now < p->spawn_after) {
		schedule(p, p->spawn_after - now);
		return;
	}
	for (enum pool_class c = 0; c < POOL_N_CLASSES; c++) {
		if (now - p->of[c].asked_at >= LOST_MS)
			p->of[c].asked_for = 0;
		while (p->of[c].have + p->of[c].asked_for < p->of[c].want) {
			p->of[c].asked_for++;
			p->of[c].asked_at = now;
			p->host->spawn(p->host_arg, c);
		}
	}
}

static void
helper_end(struct helper_proc *h)
{
	struct pool *p = h->pool;
	struct job *j = h->job;
	int64_t now = clock_now();

	TAILQ_REMOVE(&p->helpers, h, link);
	if (!h->retiring) {
		p->of[h->class].have--;
		if (now - h->started < SHORT_LIFE_MS)
			p->spawn_after = now + SHORT_LIFE_MS;
	}
	event_free(h->readable);
	(void)close(h->fd);
	free(h);
	if (j != NULL) {
		j->helper = NULL;
		job_fail(j);
		job_free(j);
	}
	fill_up(p);
}

static void
retire(struct helper_proc *h)
{
	if (h->retiring)
		return;
	h->retiring = true;
	h->pool->of[h->class].have--;
}

/* Take the question from its helper. */
static struct job *
take_job(struct helper_proc *h)
{
	struct job *j = h->job;

	h->job = NULL;
	j->helper = NULL;
	return j;
}

/* A question that a helper hands back is the next of its class. */
static void
ask_again(struct job *j, enum pool_class class)
{
	struct pool *p = j->pool;

	if (j->done == NULL) {
		job_free(j);
		return;
	}
	if (class != j->class) {
		j->class = class;
		TAILQ_INSERT_TAIL(&p->of[class].queue, j, link);
	} else {
		TAILQ_INSERT_HEAD(&p->of[class].queue, j, link);
	}
	p->n_queued++;
	if (p->of[class].want == 0) {
		p->of[class].want = p->n_helpers;
		fill_up(p);
	}
}

static void
take_answer(struct helper_proc *h, const struct answer *a)
{
	struct pool *p = h->pool;
	struct job *j;

	if (a->verdict == VERDICT_MORE) {
		job_tell(h->job, a);
		return;
	}
	j = take_job(h);
	if (a->verdict == VERDICT_STALE) {
		/* It doesn't know the present configuration. */
		retire(h);
		ask_again(j, j->class);
	} else if (a->verdict == VERDICT_SLOW && h->class == POOL_QUICK) {
		ask_again(j, POOL_SLOW);
	} else {
		job_tell(j, a);
		job_free(j);
	}
	if (h->retiring)
		helper_end(h);
	dispatch(p);
}

static void
on_helper_readable(evutil_socket_t fd, short what, void *arg)
{
	struct helper_proc *h = arg;
	struct pool *p = h->pool;
	struct msg_in m;
	struct answer a;
	int r = msg_recv(fd, ROLE_HELPER, ROLE_AUTH, p->space, &m);

	(void)what;
	MAGIC_CHECK(p, POOL_MAGIC);
	if (r == ERR_BUSY)
		return;
	if (r == 1 && m.type == MSG_AUTHD_ANSWER && h->job != NULL &&
	    m.id == h->job->id && answer_unpack(&m, &a)) {
		take_answer(h, &a);
	} else {
		if (r != 0)
			log_error("helper %u: bad answer", h->pid);
		else if (!h->retiring)
			log_warn("helper %u: ended", h->pid);
		helper_end(h);
	}
	secret_wipe(p->space, r == 1 ? m.len : MSG_SIZE_MAX);
}

void
pool_add(struct pool *p, int fd, uint32_t pid, enum pool_class class)
{
	struct helper_proc *h = MEM_NEW(struct helper_proc);

	MAGIC_CHECK(p, POOL_MAGIC);
	h->pool = p;
	h->class = class;
	h->fd = fd;
	h->pid = pid;
	h->started = clock_now();
	h->readable =
	    event_new(p->base, fd, EV_READ | EV_PERSIST, on_helper_readable, h);
	assert(h->readable != NULL);
	(void)event_add(h->readable, NULL);
	TAILQ_INSERT_TAIL(&p->helpers, h, link);
	if (p->of[class].asked_for > 0)
		p->of[class].asked_for--;
	p->of[class].have++;
	if (p->of[class].have > p->of[class].want) {
		retire(h);
		helper_end(h);
		return;
	}
	dispatch(p);
}

void
pool_configure(struct pool *p, uint32_t n_helpers, uint32_t timeout_ms)
{
	struct helper_proc *h, *next;

	MAGIC_CHECK(p, POOL_MAGIC);
	p->n_helpers = n_helpers;
	p->of[POOL_QUICK].want = n_helpers;
	if (p->of[POOL_SLOW].want != 0)
		p->of[POOL_SLOW].want = n_helpers;
	p->timeout_ms = timeout_ms;
	p->spawn_after = 0;
	for (h = TAILQ_FIRST(&p->helpers); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		retire(h);
		if (h->job == NULL)
			helper_end(h);
	}
	fill_up(p);
}

/* --- putting both together ----------------------------------------------- */

static struct helper_proc *
idle_helper(struct pool *p, enum pool_class class)
{
	struct helper_proc *h;

	TAILQ_FOREACH(h, &p->helpers, link)
		if (h->class == class && h->job == NULL && !h->retiring)
			return h;
	return NULL;
}

/* Send the packet without giving it up: the helper may hand it back. */
static bool
send_job(struct helper_proc *h, const struct job *j)
{
	struct slice packet = buf_slice(&j->packet.b);

	return TEMP_FAILURE_RETRY(send(h->fd, packet.p, packet.n,
		   MSG_NOSIGNAL | MSG_DONTWAIT)) == (ssize_t)packet.n;
}

static void
dispatch_class(struct pool *p, enum pool_class class)
{
	struct helper_proc *h;
	struct job *j;

	while ((j = TAILQ_FIRST(&p->of[class].queue)) != NULL &&
	    (h = idle_helper(p, class)) != NULL) {
		if (!send_job(h, j)) {
			helper_end(h);
			continue;
		}
		queue_remove(j);
		j->helper = h;
		h->job = j;
	}
}

static void
dispatch(struct pool *p)
{
	for (enum pool_class c = 0; c < POOL_N_CLASSES; c++)
		dispatch_class(p, c);
	if (!evtimer_pending(p->tick, NULL))
		schedule(p, TICK_MS);
}

static void
expire_queue(struct jobs *queue, int64_t now)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(queue); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->deadline > now)
			continue;
		queue_remove(j);
		job_fail(j);
		job_free(j);
	}
}

static bool
expire_running(struct pool *p, int64_t now)
{
	struct helper_proc *h;
	bool busy = false;

	TAILQ_FOREACH(h, &p->helpers, link) {
		if (h->job == NULL)
			continue;
		busy = true;
		if (h->job->deadline > now)
			continue;
		job_fail(h->job);
		if (h->job->deadline + HANG_MS <= now && !h->killed) {
			log_error("helper %u: hangs, is ended", h->pid);
			h->killed = true;
			p->host->kill(p->host_arg, h->pid);
		}
	}
	return busy;
}

/* Every TICK_MS while there is something that may be late. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;
	bool busy;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, POOL_MAGIC);
	for (enum pool_class c = 0; c < POOL_N_CLASSES; c++)
		expire_queue(&p->of[c].queue, clock_now());
	busy = expire_running(p, clock_now());
	fill_up(p);
	if ((busy || p->n_queued != 0) && !evtimer_pending(p->tick, NULL))
		schedule(p, TICK_MS);
}

void
pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	struct helper_proc *h;
	struct job *j;

	if (p == NULL)
		return;
	MAGIC_CHECK(p, POOL_MAGIC);
	for (size_t i = 0; i < POOL_N_CLASSES; i++)
		p->of[i].want = 0;
	while ((h = TAILQ_FIRST(&p->helpers)) != NULL) {
		retire(h);
		helper_end(h);
	}
	for (size_t i = 0; i < POOL_N_CLASSES; i++)
		while ((j = TAILQ_FIRST(&p->of[i].queue)) != NULL) {
			queue_remove(j);
			job_free(j);
		}
	event_free(p->tick);
	free(p->space);
	p->magic = 0;
	free(p);
	*pp = NULL;
}
