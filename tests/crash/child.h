/*
 * child: a part of a test in a process of its own, which may end badly.
 *
 * Layer:  tests.
 */
#ifndef TESTS_CRASH_CHILD_H
#define TESTS_CRASH_CHILD_H

#include <stdbool.h>

/*
 * Run fn(arg) in a child, where a failed assertion prints its message and ends
 * that child alone.  Whether it came to its end.
 */
bool child_run(void (*fn)(void *arg), void *arg);

/*
 * The same, where the test fails with these words if it didn't come to its
 * end: at once, or, with CRASH_ALL=1 in the environment, which shows all
 * failures of a test, by child_all_ended().
 */
bool child_ended(void (*fn)(void *arg), void *arg, const char *where);

/* To be called at the end of a test that calls child_ended(). */
void child_all_ended(void);

#endif
