/*
 * address: address lists of From, To, Cc and the like.
 * RFC 5322 sections 3.4 and 4.4, RFC 6854.
 *
 * Layer:  protocols/mime, uses base.
 * Memory: a mime_addresses owns table and texts; slices end with it or at the
 *         next mime_addresses_add().
 * Time:   O(n), whatever the input: each byte is looked at a fixed number of
 *         times, nesting (of comments) is counted, nothing is searched again.
 *
 * Every input gives a list; what can't be an address is taken as near to it
 * as it gets: a phrase without an address is a name without mailbox, a lone
 * word a mailbox without host, ";" outside of a group separates like ",".
 * Encoded words are left as they are.
 */
#ifndef MIME_ADDRESS_H
#define MIME_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum mime_address_kind {
	MIME_ADDRESS_MAILBOX,
	MIME_ADDRESS_GROUP,	/* begin of a group: mailbox is its name */
	MIME_ADDRESS_GROUP_END, /* nothing in it */
};

/* A piece of text in a mime_addresses; n 0 for none. */
struct mime_text_ref {
	uint32_t off, n;
};

struct mime_address {
	enum mime_address_kind kind;
	struct mime_text_ref name;    /* phrase or, for want of it, comment */
	struct mime_text_ref route;   /* at-domain-list: "@a,@b" */
	struct mime_text_ref mailbox; /* local part, without quotes */
	struct mime_text_ref host;
};

/* Of the address under way; private. */
struct mime_address_words {
	struct buf phrase, local, host, route, quoted;
};

struct mime_addresses {
	struct mime_address *v;
	size_t n, cap;
	size_t max; /* entries */
	bool cut;   /* there were more */
	struct buf text;
	struct mime_address_words words;
};

/* An empty list that takes at most max entries. */
void mime_addresses_init(struct mime_addresses *list, size_t max);
void mime_addresses_fini(struct mime_addresses *list);
/* Empty it; keeps the memory for the next field. */
void mime_addresses_reset(struct mime_addresses *list);

/*
 * Append the addresses of one field value (folded or not).  A group that is
 * left open is closed at its end.  Beyond the maximum list->cut is set and
 * the rest is left out.
 */
void mime_addresses_add(struct mime_addresses *list, struct slice value);

/* The text of a piece. */
struct slice mime_address_text(
    const struct mime_addresses *list, struct mime_text_ref ref);

#endif
