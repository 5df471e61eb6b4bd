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

#endif
