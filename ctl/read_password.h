/*
 * read_password: a password from standard input.
 *
 * Layer:  ctl, libc only.
 */
#ifndef CTL_READ_PASSWORD_H
#define CTL_READ_PASSWORD_H

#include <stdbool.h>

#include "base/defs.h"

enum { PASSWORD_LINE = 1024 };

/*
 * A line without its end, cut where it would be too long; a terminal is asked
 * with the prompt, and doesn't show it.  False at the end of input.  The
 * caller wipes the line.
 */
bool read_password(const char *prompt, char line[PASSWORD_LINE]) MUST_USE;

#endif
