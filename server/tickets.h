/*
 * tickets: what authdaemond vouched for and nobody has used yet.
 *
 * Layer:  server, uses base.
 * A ticket lives TICKET_LIFE_MS, works once, and only for the service and the
 * client address it was made for.
 */
#ifndef SERVER_TICKETS_H
#define SERVER_TICKETS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

enum { TICKET_SIZE = 16, TICKET_LIFE_MS = 30 * 1000, TICKETS_MAX = 65536 };

/* The account record that a ticket stands for; the strings are its own. */
struct account_record {
	uid_t uid;
	gid_t gid;
	char *user, *home, *maildir, *quota, *options;
};

void account_record_fini(struct account_record *r);

struct tickets;

struct tickets *tickets_new(void) MUST_USE;
void tickets_free(struct tickets **t);

/*
 * Keep a ticket; takes over what the record holds.  ticket: TICKET_SIZE bytes
 * of authdaemond.  When there are TICKETS_MAX, the oldest goes.
 */
void tickets_add(struct tickets *t, struct slice ticket, const char *service,
    const char *client_addr, struct account_record *r, int64_t now_ms);

/* Whether it is there. */
bool tickets_have(const struct tickets *t, struct slice ticket) MUST_USE;

/*
 * Use one: true, and the record is the caller's, if it is there, young
 * enough, and for this service and address; in each case it is used up.
 * found (may be NULL): whether there was one at all.
 */
bool tickets_take(struct tickets *t, struct slice ticket, const char *service,
    const char *client_addr, int64_t now_ms, struct account_record *out,
    bool *found) MUST_USE;

/* Forget those that are too old. */
void tickets_expire(struct tickets *t, int64_t now_ms);

#endif
