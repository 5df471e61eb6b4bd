#include "auth/asking.h"

#include <sys/queue.h>
#include <sys/random.h>

#include <stdlib.h>

#include "auth/throttle.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

enum { ASKING_MAGIC = 0x0a5c1460, HELD_MAX = 8192 };

struct question {
	struct asking *asking;
	struct msg_out packet; /* the query, for as long as the answer takes */
	struct query query;    /* borrows from packet */
	struct event *timer;   /* until it may be asked */
	struct job *job;       /* since then */
	bool held;
	int64_t begun;
	asking_done *done;
	void *arg;
	TAILQ_ENTRY(question) link;
};
TAILQ_HEAD(questions, question);

struct asking {
	uint32_t magic;
	struct event_base *base;
	struct pool *pool;
	struct throttle *throttle;
	struct cache *cache;
	struct questions questions;
	size_t n_held;
};

struct asking *
asking_new(struct event_base *base, struct pool *pool)
{
	struct asking *k = MEM_NEW(struct asking);
	uint8_t key[32];

	k->magic = ASKING_MAGIC;
	k->base = base;
	k->pool = pool;
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		log_error("getrandom: no random bytes");
	k->throttle = throttle_new(key);
	k->cache = cache_new(key);
	secret_wipe(key, sizeof(key));
	TAILQ_INIT(&k->questions);
	return k;
}

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
		cache_learn(k->cache, &q->query, a, now);
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
		cache_learn(q->asking->cache, &q->query, a, clock_now());
	if (a->verdict == VERDICT_TEMPORARY &&
	    cache_find(
		q->asking->cache, &q->query, true, clock_now(), &known)) {
		log_hearsay(&q->query, &known);
		a = &known;
	}
	tell(q, a);
	question_free(q);
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
	if (cache_find(k->cache, &q->query, false, q->begun, &known)) {
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
