/*
 * asking: a client's question on its way to the user table.
 *
 * Layer:  auth, uses libevent, pool, cache, throttle.
 * Memory: a question ends with its callback or with asking_cancel().
 *
 * Between a protocol and the helpers: who guesses waits first, what is known
 * isn't asked again, and what came out is remembered.  While a watch shows that
 * the user table's file is as it was, what it said is known.
 */
#ifndef AUTH_ASKING_H
#define AUTH_ASKING_H

#include <event2/event.h>

#include "auth/answer.h"
#include "auth/cache.h"
#include "auth/pool.h"
#include "base/defs.h"

struct asking;
struct question;

/* Who makes watches of the user table (table_watch.h). */
struct asking_host {
	/* A new one is needed; asking_take_watch() some time, or never. */
	void (*rewatch)(void *arg);
};

struct asking_options {
	int64_t penalty_ms; /* longest wait; 0: nobody waits */
	struct slice trusted;
	struct cache_times cache;
	bool has_file; /* the user table is a file that can be watched */
};

struct asking *asking_new(struct event_base *base, struct pool *pool,
    const struct asking_host *host, void *arg) MUST_USE;
void asking_free(struct asking **k);
/* Takes copies.  What is cached is dropped. */
void asking_configure(struct asking *k, const struct asking_options *o);
/* Another watch of the user table's file; takes over fd. */
void asking_take_watch(struct asking *k, int fd);

/*
 * As pool_done, with the time when the user table could have begun to look:
 * what a refusal's own delay counts from.
 */
typedef void asking_done(void *arg, const struct answer *a, int64_t begun);

/* Ask; NULL when too much is being asked.  Never calls back at once. */
struct question *asking_ask(struct asking *k, const struct query *q,
    asking_done *done, void *arg) MUST_USE;
/* As pool_hold(). */
void asking_hold(struct question *q, bool hold);
void asking_cancel(struct question *q);

/*
 * What came out of an exchange whose last word isn't the user table's
 * (SCRAM), for the counting.
 */
void asking_note(
    struct asking *k, struct slice user, struct slice rip, bool good);

#endif
