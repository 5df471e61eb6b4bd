/*
 * clock: the two times.  Protocol code never reads them; it is handed one.
 *
 * Layer:  base.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <sys/time.h>

#include <stdint.h>
#include <time.h>

/* Milliseconds of a clock that only goes forward; for deadlines. */
int64_t clock_now(void);
/* Milliseconds since 1970 UTC; for dates, UIDVALIDITY and file names. */
int64_t clock_wall(void);

/* A length of time in ms as the system's calls want it. */
static inline struct timeval
clock_timeval(int64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

#endif
