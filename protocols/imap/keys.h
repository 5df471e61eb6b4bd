/*
 * imap_keys: what SEARCH, SORT and THREAD look at in a message, made from its
 * kept header fields (fields.h).
 * RFC 5256 sections 2 and 3, RFC 5957, RFC 5051.
 *
 * Layer:  protocols/imap, uses base and mime, and the kinds of the cache.
 * Texts are decoded (RFC 2047) and prepared for i;unicode-casemap: they are
 * compared byte by byte.
 */
#ifndef IMAP_KEYS_H
#define IMAP_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "maildir/mailbox.h"

/* The decoded text of a field's value, not yet prepared. */
void imap_key_decode(struct slice value, struct buf *out);

/*
 * Append the texts of all fields with a number, each ended by a NUL, which
 * nothing that is looked for can have; nothing when there is no such field.
 */
void imap_key_text(struct slice kept, unsigned number, struct buf *out);

/*
 * Date: 12 bytes, or none when there is no date or not a date.
 *   epoch_s  sent date and time (RFC 5256 2.2)
 *   days     since 1970-01-01, as it is written, without regard to its zone
 */
void imap_key_date(struct slice kept, struct buf *out);
bool imap_key_date_get(struct slice key, int64_t *epoch_s, int32_t *days);

/* A byte, 1 for a reply or forward, and the base subject (RFC 5256 2.1). */
void imap_key_base(struct slice kept, struct buf *out);

/* The first addresses, as SORT orders by them. */
enum imap_key_address {
	IMAP_KEY_FROM,
	IMAP_KEY_TO,
	IMAP_KEY_CC,
	IMAP_KEY_DISPLAYFROM, /* RFC 5957 */
	IMAP_KEY_DISPLAYTO,
	IMAP_KEY_N_ADDRESSES,
};
void imap_key_addresses(struct slice kept, struct buf *out);
struct slice imap_key_address(struct slice key, enum imap_key_address which);

/*
 * Message-ID and references (RFC 5256 3, THREAD) as numbers of 64 bits, 8
 * bytes each: first the message's own, 0 if it has none, then those of its
 * references, the oldest first.  Two of a million ids get the same number
 * once in some ten million mailboxes.
 */
uint64_t imap_key_hash(struct slice id); /* never 0 */
enum { IMAP_KEY_REFERENCES_MAX = 1000 }; /* the last ones count */
void imap_key_thread(struct slice kept, struct buf *out);
uint64_t imap_key_id(struct slice key, size_t n); /* the nth, from 0 */

/* Append what is kept of one kind, CACHE_SUBJECT to CACHE_THREAD. */
void imap_key_make(enum cache_kind kind, struct slice kept, struct buf *out);

#endif
