/*
 * cache: verdicts that needn't be asked for again.
 *
 * Layer:  auth, uses base, answer, libcrypto.  No I/O; the time is passed in.
 * Memory: at most CACHE_ENTRIES answers; wiped when they go.
 *
 * The key is a keyed hash of name, service and password, so that another
 * password is another question, and none can be read from here.  Of CRAM and
 * SCRAM, which show it in another way each time, the table's keys are kept, and
 * serve only while the table is away.  A verdict that depends on the client's
 * address counts for that one alone; an app password is asked for each time,
 * since its uses are noted, and is remembered for when the user table is away.
 * A success of a user with another password than before (one of the account's
 * own), other keys, a changed password and a reload drop what was known of the
 * user, under whatever name, or of all.  Rows that give one address, each with
 * a password of its own, stay beside each other once that has shown.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/answer.h"
#include "base/defs.h"

enum {
	CACHE_ENTRIES = 8192,
	/* Longest time for which a success that only the user table's file
	 * decided is believed while that is seen not to change: a file system
	 * that was mounted over it, or rolled back, isn't seen. */
	CACHE_BY_FILE_MS = 60 * 1000,
};

struct cache_times {
	int64_t good_ms;   /* a success is believed so long; 0: never */
	int64_t bad_ms;	   /* a refusal */
	int64_t outage_ms; /* a success, while the user table is away */
};

struct cache;

struct cache *cache_new(const uint8_t key[32]) MUST_USE;
void cache_free(struct cache **c);
/* New times; everything known is dropped. */
void cache_configure(struct cache *c, const struct cache_times *times);
/*
 * The user table's file hasn't changed since the watch of this number began;
 * 0: that isn't known.  A success that it alone decided is believed while the
 * number is the same, whatever the times are.
 */
void cache_set_watch(struct cache *c, uint32_t watch);

/*
 * What is known about this question, be it of QUERY_LOGIN, QUERY_CRAM or
 * QUERY_SCRAM.  outage: the user table was asked and is away.  *a borrows from
 * the cache until its next change; PASSWD2 of it is the query's password.
 */
bool cache_find(struct cache *c, const struct query *q, bool outage,
    int64_t now, struct answer *a) MUST_USE;
/* Remember a verdict of the user table.  a->by_file: it was asked since the
 * present watch began. */
void cache_learn(struct cache *c, const struct query *q, const struct answer *a,
    int64_t now);
/* Forget all of a user, and of the account with this address (unless it is
 * empty) whatever name it was found by: a default domain or the collation of
 * the table gives it several. */
void cache_forget(struct cache *c, struct slice user, struct slice address);

/* Drop what says nothing any more; whether anything is left. */
bool cache_sweep(struct cache *c, int64_t now) MUST_USE;

#endif
