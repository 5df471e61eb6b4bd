/*
 * pop3_maildrop: the drop listing of a session: numbers, sizes, unique-ids,
 * and what DELE has marked (RFC 1939 section 5).
 *
 * Layer:  protocols/pop3, uses base, maildir.
 * Memory: a maildrop owns its items; zero it to begin.
 *
 * Fixed when the session begins: later deliveries and removals by others
 * change neither numbers nor counts.
 */
#ifndef PROTOCOLS_POP3_MAILDROP_H
#define PROTOCOLS_POP3_MAILDROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"
#include "maildir/mailbox.h"

struct pop3_item {
	uint64_t size;	  /* octets of the wire form */
	size_t unique_id; /* offset in ids */
	uint32_t uid;
	bool deleted;
	uint8_t header; /* enum header_bytes */
};

struct pop3_maildrop {
	struct pop3_item *v;
	char *ids; /* NUL-terminated each */
	size_t n;
	size_t n_deleted;
	uint64_t size; /* of those not deleted */
	/* Octets that a surrogate adds to a message whose header isn't ASCII;
	 * 0: messages go out as they are. */
	uint64_t surrogate;
};

/* Take over the entries of mailbox_pop3_list(), which are freed. */
void pop3_maildrop_set(
    struct pop3_maildrop *d, struct pop3_entry *entries, size_t n);
void pop3_maildrop_fini(struct pop3_maildrop *d);

/* From now on a surrogate adds so many octets; 0: there are none. */
void pop3_maildrop_set_surrogate(struct pop3_maildrop *d, uint64_t octets);
/* Whether the message goes out within a surrogate; its octets as it does. */
bool pop3_maildrop_wraps(
    const struct pop3_maildrop *d, const struct pop3_item *item);
uint64_t pop3_maildrop_octets(
    const struct pop3_maildrop *d, const struct pop3_item *item);

/* The message with the number (from 1), or NULL: none, or deleted. */
struct pop3_item *pop3_maildrop_get(
    const struct pop3_maildrop *d, uint64_t number);
struct slice pop3_maildrop_unique_id(
    const struct pop3_maildrop *d, const struct pop3_item *item);
/* Mark a message that isn't marked; unmark all. */
void pop3_maildrop_delete(struct pop3_maildrop *d, struct pop3_item *item);
void pop3_maildrop_reset(struct pop3_maildrop *d);
/* Messages that aren't marked. */
size_t pop3_maildrop_count(const struct pop3_maildrop *d);
/* The UIDs of the marked ones, n_deleted of them; the caller frees. */
uint32_t *pop3_maildrop_deleted(const struct pop3_maildrop *d) MUST_USE;

#endif
