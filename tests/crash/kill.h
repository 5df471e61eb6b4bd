/*
 * kill: a script whose process is killed at each of its changing calls in turn.
 *
 * Layer:  tests, uses script, calls.
 */
#ifndef TESTS_CRASH_KILL_H
#define TESTS_CRASH_KILL_H

#include "tests/crash/script.h"

struct kill_test {
	struct world *world;
	/* Before each life, once the world is empty; or NULL. */
	void (*begin)(void);
	/* What must hold after it; ended: nothing struck. */
	void (*check)(const struct script *s, bool ended, const char *where);
	unsigned stride; /* calls from one kill to the next */
};

/* CRASH_AT=N in the environment: at that call only, to look at one failure. */
void kill_at_each_call(const struct kill_test *t, const struct script *s);

#endif
