/*
 * throttle: who guesses passwords has to wait.
 *
 * Layer:  auth, uses base, conf.  No I/O; the time is passed in.
 * Memory: a table of fixed size, whatever comes; nothing of a password is
 *         kept but a keyed hash.
 *
 * Failures are counted by network (IPv4: /24, IPv6: /64) and by name.  Each
 * doubles the wait before the next question is asked, up to a maximum, and is
 * forgiven after a while.  The same wrong password again doesn't count: that
 * is a phone that wasn't told of the new one.  A name from a network where it
 * logged in lately doesn't wait for what others tried with it.
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

enum {
	THROTTLE_ENTRIES = 16384, /* of each kind */
	THROTTLE_FREE = 5,	  /* failures that cost nothing */
	THROTTLE_FIRST_MS = 500,
	THROTTLE_FORGIVE_MS = 60 * 1000, /* one failure less after each */
	THROTTLE_SCORE_MAX = 20,
	/* Names wait at most so long: else anybody could shut anybody out. */
	THROTTLE_NAME_MAX_MS = 4000,
	THROTTLE_KNOWN_MS = 24 * 60 * 60 * 1000,
};

struct throttle;

/* A try to log in; rip may be "" (not known), so may password (not sent). */
struct attempt {
	struct slice user;
	struct slice password;
	struct slice rip;
};

/* key: random bytes, for hashes that nobody can aim at. */
struct throttle *throttle_new(const uint8_t key[32]) MUST_USE;
void throttle_free(struct throttle **t);

/*
 * max_ms: the longest wait, 0: none at all.  trusted: networks that never
 * wait and are never counted, separated by blanks.
 */
void throttle_configure(
    struct throttle *t, int64_t max_ms, struct slice trusted);

/* How long to wait, in ms, before this one is looked at. */
int64_t throttle_wait(
    struct throttle *t, const struct attempt *a, int64_t now) MUST_USE;
void throttle_failed(struct throttle *t, const struct attempt *a, int64_t now);
void throttle_succeeded(
    struct throttle *t, const struct attempt *a, int64_t now);

#endif
