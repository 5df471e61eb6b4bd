/*
 * losses: power that goes at each operation of a script.
 *
 * Layer:  tests, uses power, script.
 */
#ifndef TESTS_CRASH_LOSSES_H
#define TESTS_CRASH_LOSSES_H

#include "tests/crash/script.h"

struct loss_test {
	struct world *world;
	unsigned stride;     /* of the places where all kinds of loss are */
	void (*begin)(void); /* of a life */
	/* what was told when so many operations were recorded counts */
	void (*tell)(unsigned upto);
	void (*check)(const char *where); /* after the boot that comes next */
};

/* What another program wrote is on the disk. */
void sync_path(const char *path);

void losses_init(const struct world *w);
void losses_fini(void);
/* The script's life, and all that may be left of it. */
void lose_at_each_call(const struct loss_test *t, const struct script *s);

#endif
