/*
 * account_option: the options of an account, as courier-authlib has them:
 * "disableshared=1,group=sales,group=staff".
 *
 * Layer:  base.
 */
#ifndef BASE_ACCOUNT_OPTION_H
#define BASE_ACCOUNT_OPTION_H

#include <stdbool.h>

#include "base/defs.h"
#include "base/slice.h"

/* The next "NAME=VALUE" of a list, which is consumed; one without '=' has an
 * empty value.  False: no more. */
bool account_option_next(
    struct slice *options, struct slice *name, struct slice *value) MUST_USE;
/* The value of the first one of a name; false: there is none. */
bool account_option_get(
    struct slice options, struct slice name, struct slice *value) MUST_USE;
/* Whether that is on: a number but 0, or what begins with t, T, y or Y. */
bool account_option_is_on(struct slice options, struct slice name);

#endif
