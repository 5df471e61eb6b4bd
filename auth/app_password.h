/*
 * app_password: passwords for single programs, beside the account's own.
 *
 * Layer:  auth, uses base, answer, passwd, network.
 * Each has a label, a hash (any form of passwd.h), and may be bound to
 * services and networks; the user table leaves out those that have expired.
 */
#ifndef AUTH_APP_PASSWORD_H
#define AUTH_APP_PASSWORD_H

#include "auth/answer.h"
#include "base/defs.h"

enum { APP_PASSWORDS_MAX = 64 }; /* that are looked at for a user */

/* The columns of a row, in their order. */
enum app_column {
	APP_ID,
	APP_LABEL,
	APP_HASH,
	APP_SCOPE,    /* services, separated by commas or blanks; "": all */
	APP_NETWORKS, /* "": from everywhere */
	APP_STALE,    /* 1: its last use was noted some time ago */
	APP_N_COLUMNS,
};

/*
 * Whether the query's password is this one.  VERDICT_SLOW: it may be, but
 * its hash isn't for a quick helper.  Notes in the account when what comes
 * out depends on where the client is.
 */
enum verdict app_password_check(const struct slice row[APP_N_COLUMNS],
    const struct query *q, bool slow_allowed, struct account *account) MUST_USE;

/*
 * The account was entered by this one: its label goes with the options, as
 * apppassword=LABEL, and into the log.
 */
void app_password_used(
    struct account *a, const struct query *q, struct slice label);

#endif
