/*
 * alloc: allocations of the program under test are counted, and one fails.
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=reallocarray, so those of
 * libraries are not among them.
 */
#ifndef TESTS_CRASH_ALLOC_H
#define TESTS_CRASH_ALLOC_H

#include <stddef.h>

extern unsigned long alloc_calls;   /* so far; the test sets it to 0 */
extern unsigned long alloc_fail_at; /* the one that fails; 0: none */
extern size_t alloc_largest;	    /* bytes asked for at once */

#endif
