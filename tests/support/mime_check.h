/*
 * mime_check: what must hold of every table of parts and of everything that
 * is written from it, whatever the message.
 *
 * Layer:  tests, for the unit tests and the fuzz targets of mime.
 * All of these abort the process when something doesn't hold.
 */
#ifndef TESTS_MIME_CHECK_H
#define TESTS_MIME_CHECK_H

#include "base/slice.h"
#include "protocols/mime/message.h"

/*
 * Links, order and nesting of the table m of the message in; each size
 * against a plain conversion of the same bytes.
 */
void mime_check_table(const struct mime_message *m, struct slice in);

/* Whether two tables are the same in all that counts. */
void mime_check_equal(
    const struct mime_message *a, const struct mime_message *b);

/*
 * That s is one parenthesized list of NIL, numbers, strings and lists, with
 * single blanks or nothing between, no control characters outside of
 * literals, and no NUL.
 */
void mime_check_list(struct slice s);

#endif
