/*
 * script: what is done to a store while it is harmed, and told to the ledger.
 *
 * Layer:  tests, uses calls, ledger, maildir_fixture.
 */
#ifndef TESTS_CRASH_SCRIPT_H
#define TESTS_CRASH_SCRIPT_H

#include "tests/crash/calls.h"
#include "tests/crash/ledger.h"

struct world {
	struct fixture *f;
	struct ledger *l;
	struct calls_log *calls;
};

struct script {
	const char *name;
	void (*prepare)(struct world *w); /* before any harm; or NULL */
	void (*run)(struct world *w);
	const char *quota; /* NULL: a large one */
	bool always;	   /* FSYNC=always */
};

/* The scripts; NULL behind the last. */
const struct script *script_get(size_t i);
/* Run fn for each, which finds it in *state: main()'s result.  name: one only,
 * or NULL. */
int script_run_all(
    const char *group, void (*fn)(void **state), const char *name);

/* A world with an empty Maildir directory; nothing is open. */
void world_init(struct world *w);
void world_fini(struct world *w);
/* Empty it again for the next life. */
void world_reset(struct world *w, const struct script *s);
/* In a child process: prepare, then run under the plan, and end it.  The store
 * stays open. */
void world_live(
    struct world *w, const struct script *s, const struct calls_plan *plan);
/* Remove everything at and below a path. */
void remove_tree(const char *path);

#endif
