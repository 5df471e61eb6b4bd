/*
 * userdb: what a line of Courier's text file userdb has to look like.
 *
 * Layer:  auth, uses base.  Pure.
 */
#ifndef AUTH_USERDB_H
#define AUTH_USERDB_H

#include "base/slice.h"

/*
 * What is wrong with a line, so that nobody can log in by it, as a fixed text
 * that says what was expected; NULL: nothing, or it is empty or a comment.
 */
const char *userdb_line_error(struct slice line);

#endif
