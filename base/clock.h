/*
 * clock: the two times.  Protocol code never reads them; it is handed one.
 *
 * Layer:  base.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds of a clock that only goes forward; for deadlines. */
int64_t clock_now(void);
/* Milliseconds since 1970 UTC; for dates, UIDVALIDITY and file names. */
int64_t clock_wall(void);

#endif
