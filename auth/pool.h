/*
 * pool: questions to the helpers, in order of arrival, each with a deadline.
 *
 * Layer:  auth, uses libevent, ipc.
 * Memory: a job ends with its callback, or with pool_cancel(); the pool owns
 *         it in between, and the packet with the password, which is wiped.
 *
 * Whatever the helpers do, a question is answered within the time given:
 * when that has passed the answer is a temporary failure, and a helper that
 * doesn't come back soon after is ended.
 */
#ifndef AUTH_POOL_H
#define AUTH_POOL_H

#include <stdint.h>

#include <event2/event.h>

#include "auth/answer.h"
#include "base/defs.h"

enum {
	POOL_QUEUE_MAX = 8192, /* beyond it: a temporary failure at once */
	POOL_ENUMERATE_MS = 25 * 1000,
};

struct pool;
struct job;

/*
 * Called once with the final answer, and before that with each VERDICT_MORE
 * part.  Never from inside pool_ask().
 */
typedef void pool_done(void *arg, const struct answer *a);

/*
 * Helpers for what takes a few milliseconds, and helpers for slow hashes,
 * which come to be only when they are needed: so that nobody with a clear
 * password waits behind a crowd with yescrypt.
 */
enum pool_class { POOL_QUICK, POOL_SLOW, POOL_N_CLASSES };

/* The pool's wishes to the keeper. */
struct pool_host {
	void (*spawn)(void *arg, enum pool_class class);
	void (*kill)(void *arg, uint32_t pid);
};

struct pool *pool_new(struct event_base *base, const struct pool_host *host,
    void *host_arg) MUST_USE;
void pool_free(struct pool **p);

/* How many helpers of a class to have and how long an answer may take, in ms;
 * every helper there is now is replaced as soon as it is idle. */
void pool_configure(struct pool *p, uint32_t n_helpers, uint32_t timeout_ms);
/* A helper that spawn() asked for; takes the descriptor. */
void pool_add(struct pool *p, int fd, uint32_t pid, enum pool_class class);

/* Ask; NULL, and no callback, when the queue is full. */
struct job *pool_ask(
    struct pool *p, const struct query *q, pool_done *done, void *arg) MUST_USE;
/*
 * Whether more parts are to wait, as the asker has no room for them: the
 * helper can't go on meanwhile, so not for long.
 */
void pool_hold(struct job *j, bool hold);
/* The answer isn't wanted any more. */
void pool_cancel(struct job *j);

#endif
