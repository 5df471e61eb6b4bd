/*
 * date: the date-time of the Date field.
 * RFC 5322 sections 3.3 and 4.3.
 *
 * Layer:  protocols/mime, uses base.  No clock, no time zone database.
 */
#ifndef MIME_DATE_H
#define MIME_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

struct mime_date {
	int64_t epoch;	      /* seconds since 1970-01-01 00:00 UTC */
	int zone_min;	      /* minutes east of UTC; 0 if unknown */
	bool zone_known;      /* false for "-0000", letters, nothing */
	int year, month, day; /* as written: month 1-12, day 1-31 */
	int hour, minute, second;
};

/*
 * Parse a date-time, with comments, folding, obsolete two and three digit
 * years and zone names.  Tolerated besides: no day of the week or a wrong
 * one, month before day and the year behind the time (asctime), hyphens
 * between day, month and year, no seconds, no time, no zone, anything behind
 * the zone.
 *
 * Returns false, with *date untouched, when day, month and year can't be
 * found or no such day or time exists.
 */
bool mime_date_parse(struct slice value, struct mime_date *date) MUST_USE;

/* Days from 1970-01-01 to a day of the Gregorian calendar; month 1-12. */
int64_t mime_date_days(int year, int month, int day);

#endif
