#include "auth/asking.h"

#include <sys/queue.h>
#include <sys/random.h>

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/file_watch.h"
#include "auth/throttle.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum {
	ASKING_MAGIC = 0x0a5c1460,
	HELD_MAX = 8192,
	/* Between two watches: a table that changes all the time is asked. */
	REWATCH_MS = 1000,
	/* How long what says nothing any more may stay in the cache. */
	SWEEP_MS = CACHE_BY_FILE_MS,
};

struct question {
	struct asking *asking;
	struct msg_out packet; /* the query, for as long as the answer takes */
	struct query query;    /* borrows from packet */
	struct event *timer;   /* until it may be asked */
	struct job *job;       /* since then */
	bool held;
	int64_t begun;
	uint32_t watch; /* the one that it was asked under; 0: none */
	asking_done *done;
	void *arg;
	TAILQ_ENTRY(question) link;
};
TAILQ_HEAD(questions, question);

struct asking {
	uint32_t magic;
	struct event_base *base;
	struct pool *pool;
	const struct asking_host *host;
	void *host_arg;
	bool has_file;
	struct {
		int fd;	     /* -1: there is none */
		uint32_t id; /* of the last one */
		int64_t next;
	} watch;
	struct event *sweep;
	struct throttle *throttle;
	struct cache *cache;
	struct questions questions;
	size_t n_held;
};

static void on_sweep(evutil_socket_t fd, short what, void *arg);

struct asking *
asking_new(struct event_base *base, struct pool *pool,
    const struct asking_host *host, void *arg)
{
	struct asking *k = MEM_NEW(struct asking);
	uint8_t key[32];

	k->magic = ASKING_MAGIC;
	k->base = base;
	k->pool = pool;
	k->host = host;
	k->host_arg = arg;
	k->watch.fd = -1;
	k->sweep = evtimer_new(base, on_sweep, k);
	assert(k->sweep != NULL);
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		log_error("getrandom: no random bytes");
	k->throttle = throttle_new(key);
	k->cache = cache_new(key);
	secret_wipe(key, sizeof(key));
	TAILQ_INIT(&k->questions);
	return k;
}

/* --- the watch ----------------------------------------------------------- */

static void
drop_watch(struct asking *k)
{
	if (k->watch.fd >= 0)
		(void)close(k->watch.fd);
	k->watch.fd = -1;
}

void
asking_take_watch(struct asking *k, int fd)
{
	MAGIC_CHECK(k, ASKING_MAGIC);
	drop_watch(k);
	k->watch.fd = fd;
	if (++k->watch.id == 0)
		k->watch.id = 1;
	log_debug("the user table's file is watched");
}

/* The number of the watch under which nothing has changed up to now, which the
 * cache is told; 0: there is none, and another one is asked for. */
static uint32_t
look_at_watch(struct asking *k)
{
	int64_t now = clock_now();
	uint32_t id = 0;

	if (k->watch.fd >= 0 && file_watch_is_quiet(k->watch.fd))
		id = k->watch.id;
	else
		drop_watch(k);
	if (id == 0 && k->has_file && now >= k->watch.next) {
		k->watch.next = now + REWATCH_MS;
		k->host->rewatch(k->host_arg);
	}
	cache_set_watch(k->cache, id);
	return id;
}

/* --- what is known ------------------------------------------------------- */

static void
sweep_soon(struct asking *k)
{
	const struct timeval tv = { .tv_sec = SWEEP_MS / 1000 };

	if (!evtimer_pending(k->sweep, NULL))
		(void)evtimer_add(k->sweep, &tv);
}

/* What a rush of logins has left goes back to the system. */
static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct asking *k = arg;

	(void)fd;
	(void)what;
	if (cache_sweep(k->cache, clock_now()))
		sweep_soon(k);
	(void)malloc_trim(0);
}

static void
learn(struct question *q, const struct answer *a, int64_t now)
{
	struct asking *k = q->asking;
	struct answer known = *a;

	/* The table is as it was when it was asked. */
	known.by_file =
	    a->by_file && q->watch != 0 && look_at_watch(k) == q->watch;
	cache_learn(k->cache, &q->query, &known, now);
	sweep_soon(k);
}

/* --- questions ----------------------------------------------------------- */

static void
question_free(struct question *q)
{
	if (q->held)
		q->asking->n_held--;
	TAILQ_REMOVE(&q->asking->questions, q, link);
	event_free(q->timer);
	msg_out_fini(&q->packet);
	free(q);
}

void
asking_free(struct asking **kp)
{
	struct asking *k = *kp;
	struct question *q;

	if (k == NULL)
		return;
	MAGIC_CHECK(k, ASKING_MAGIC);
	while ((q = TAILQ_FIRST(&k->questions)) != NULL)
		asking_cancel(q);
	drop_watch(k);
	event_free(k->sweep);
	throttle_free(&k->throttle);
	cache_free(&k->cache);
	k->magic = 0;
	free(k);
	*kp = NULL;
}

void
asking_configure(struct asking *k, const struct asking_options *o)
{
	MAGIC_CHECK(k, ASKING_MAGIC);
	throttle_configure(k->throttle, o->penalty_ms, o->trusted);
	cache_configure(k->cache, &o->cache);
	k->has_file = o->has_file;
	/* The one before may be of another file. */
	drop_watch(k);
	k->watch.next = 0;
}

void
asking_hold(struct question *q, bool hold)
{
	if (q->job != NULL)
		pool_hold(q->job, hold);
}

void
asking_cancel(struct question *q)
{
	if (q->job != NULL)
		pool_cancel(q->job);
	question_free(q);
}

/* Tries with a password, which are counted and cached. */
static bool
is_attempt(const struct query *q)
{
	return q->op == QUERY_LOGIN || q->op == QUERY_CRAM ||
	    q->op == QUERY_PASSWD;
}

static struct attempt
attempt_of(const struct query *q)
{
	/* What CRAM sends is another text each time. */
	return (struct attempt){ .user = q->user,
		.password = q->op == QUERY_CRAM ? slice_of("", 0) : q->password,
		.rip = q->rip };
}

static void
take_note(struct question *q, const struct answer *a)
{
	struct asking *k = q->asking;
	struct attempt attempt = attempt_of(&q->query);
	int64_t now = clock_now();

	if (a->verdict == VERDICT_REJECTED)
		throttle_failed(k->throttle, &attempt, now);
	else if (a->verdict == VERDICT_OK)
		throttle_succeeded(k->throttle, &attempt, now);
	if (q->query.op == QUERY_PASSWD && a->verdict == VERDICT_OK)
		cache_forget(
		    k->cache, q->query.user, a->field[ACCOUNT_ADDRESS]);
	else
		learn(q, a, now);
}

static void
tell(struct question *q, const struct answer *a)
{
	asking_done *done = q->done;
	void *arg = q->arg;
	int64_t begun = q->begun;

	done(arg, a, begun);
}

static void
log_hearsay(const struct query *q, const struct answer *known)
{
	struct slice label = slice_of("", 0);
	bool app = answer_option(known, SLICE("apppassword"), &label);
	char user[128], safe[80];

	log_warn("the user table is away: %s%s%s is judged by what was known",
	    log_safe(q->user, user, sizeof(user)), app ? ", label=" : "",
	    log_safe(label, safe, sizeof(safe)));
}

static void
on_answer(void *arg, const struct answer *a)
{
	struct question *q = arg;
	struct answer known;

	if (a->verdict == VERDICT_MORE) {
		tell(q, a);
		return;
	}
	q->job = NULL;
	if (is_attempt(&q->query))
		take_note(q, a);
	if (q->query.op == QUERY_SCRAM)
		learn(q, a, clock_now());
	if (a->verdict == VERDICT_TEMPORARY &&
	    cache_find(
		q->asking->cache, &q->query, true, clock_now(), &known)) {
		log_hearsay(&q->query, &known);
		a = &known;
	}
	tell(q, a);
	question_free(q);
}

/* Somebody who is known from here gets in from wherever he is. */
static void
note_known(struct question *q, const struct answer *a)
{
	struct attempt attempt = attempt_of(&q->query);

	if (a->verdict == VERDICT_OK)
		throttle_succeeded(q->asking->throttle, &attempt, clock_now());
}

static void
begin(struct question *q)
{
	static const struct answer busy = { .verdict = VERDICT_TEMPORARY };
	struct asking *k = q->asking;
	struct answer known;

	if (q->held)
		k->n_held--;
	q->held = false;
	q->begun = clock_now();
	if (q->query.op == QUERY_LOGIN)
		q->watch = look_at_watch(k);
	if (cache_find(k->cache, &q->query, false, q->begun, &known)) {
		note_known(q, &known);
		tell(q, &known);
		question_free(q);
		return;
	}
	q->job = pool_ask(k->pool, &q->query, on_answer, q);
	if (q->job != NULL)
		return;
	tell(q, &busy);
	question_free(q);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin(arg);
}

static void
hold(struct question *q, int64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	q->held = true;
	q->asking->n_held++;
	if (ms <= 0)
		event_active(q->timer, EV_TIMEOUT, 1);
	else
		(void)evtimer_add(q->timer, &tv);
}

/* A copy of the question, since it may have to wait. */
static struct question *
question_new(struct asking *k, const struct query *query)
{
	struct question *q = MEM_NEW(struct question);
	struct msg_in in;

	q->asking = k;
	query_pack(query, 0, &q->packet);
	q->timer = evtimer_new(k->base, on_time, q);
	assert(q->timer != NULL);
	TAILQ_INSERT_TAIL(&k->questions, q, link);
	if (!buf_ok(&q->packet.b) ||
	    msg_parse(msg_finish(&q->packet), ROLE_AUTH, ROLE_HELPER, &in) !=
		1 ||
	    !query_unpack(&in, &q->query)) {
		question_free(q);
		return NULL;
	}
	return q;
}

struct question *
asking_ask(
    struct asking *k, const struct query *query, asking_done *done, void *arg)
{
	struct attempt attempt = attempt_of(query);
	struct question *q;
	int64_t wait = 0;

	MAGIC_CHECK(k, ASKING_MAGIC);
	if (k->n_held >= HELD_MAX || (q = question_new(k, query)) == NULL)
		return NULL;
	q->done = done;
	q->arg = arg;
	if (is_attempt(query) || query->op == QUERY_SCRAM)
		wait = throttle_wait(k->throttle, &attempt, clock_now());
	if (wait > 0)
		log_debug("an attempt waits for %lld ms", (long long)wait);
	hold(q, wait);
	return q;
}

void
asking_note(struct asking *k, struct slice user, struct slice rip, bool good)
{
	struct attempt attempt = { .user = user, .rip = rip };

	MAGIC_CHECK(k, ASKING_MAGIC);
	if (good)
		throttle_succeeded(k->throttle, &attempt, clock_now());
	else
		throttle_failed(k->throttle, &attempt, clock_now());
}
