/*
 * imap_lex_date: dates in commands.
 * RFC 3501 section 9: date, date-time.
 *
 * Layer:  protocols/imap, uses base, mime (days of the calendar).
 */
#ifndef IMAP_DATE_TIME_H
#define IMAP_DATE_TIME_H

#include <stdint.h>

#include "protocols/imap/lex.h"

/* A date ("1-Feb-1994", with or without quotes): days since 1970. */
enum parse imap_lex_date(struct imap_lex *lx, int64_t *days) MUST_USE;
/* A date-time in quotes: ms since 1970, UTC. */
enum parse imap_lex_date_time(struct imap_lex *lx, int64_t *ms) MUST_USE;

#endif
