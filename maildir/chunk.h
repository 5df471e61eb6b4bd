/*
 * chunk: some hundred messages, packed, in memory and in the database.
 *
 * Layer:  maildir, uses base.
 * Memory: a chunk is shared by views and immutable once it is in one; its
 *         body (what never changes of a message) is shared by the versions of
 *         a chunk.  Both are reference counted, within one thread.  What was
 *         read from the database stays as it is there until it is asked for;
 *         who asks by the functions below doesn't see that.
 * On disk a chunk is three blobs, integers little-endian:
 *   fixed  columns of uid less its place in the chunk, internal_ms and save_ms
 *          (their highest bit turned), file_size + 1, wire_size + 1 (unknown:
 *          0), enum ending, (4) synced and enum header_bytes times 8, email_id
 *   state  columns of place (its three high bits turned to the low end),
 *          keyword set, modseq
 *   names  4 bytes: length of all texts; columns of the size that a base name
 *          ends with (",S=n": n + 1, else 0) and of the lengths of odd info
 *          parts; then for each: a byte each of how much of its beginning and
 *          of its end, without that size, are those of the one before, and of
 *          what is between; that; the odd info part
 * Each begins with the number of messages (2 bytes) and is ended by a check sum
 * of 8 bytes, inverted.  A column is a byte for the width w (0 to 8), 8 bytes
 * for the least value, and w bytes a message of how much more it is.
 * Before schema 5 they were plain records, and the sum as it is:
 *   fixed  44 bytes a message: uid 4, internal_ms 8, save_ms 8, file_size 8,
 *          wire_size 8 (its two highest bits: enum ending), email_id 8;
 *          without email_id (36 bytes) as written before schema 2
 *   names  for each: length 2, base name, length 2, odd info part
 *   state  20 bytes a message: place 8, keyword set 4, modseq 8
 */
#ifndef MAILDIR_CHUNK_H
#define MAILDIR_CHUNK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "maildir/mailbox.h"

enum {
	CHUNK_MAX = 256,
	CHUNK_BLOB_MAX = CHUNK_MAX * 2 * 280,
};

#define SIZE_UNKNOWN UINT64_MAX
#define TIME_UNKNOWN INT64_MIN

/* Whether a file's last line has its line end: POP3 adds a missing one. */
enum ending { ENDING_UNKNOWN, ENDING_LINE, ENDING_NO_LINE };

struct fixed {
	int64_t internal_ms; /* TIME_UNKNOWN: file not yet looked at */
	int64_t save_ms;
	uint64_t file_size, wire_size; /* SIZE_UNKNOWN */
	enum ending ending;
	enum header_bytes header; /* looked at for POP3 only */
	uint64_t email_id; /* 0: that of its base name, chunk_email_id() */
	bool synced; /* its bytes were on the disk before it had its UID */
};

/* A blob without its sum; p NULL: none. */
struct packed {
	uint8_t *p;
	size_t n;
};

/* What never changes: chunk_base(), chunk_odd() and chunk_fixed() unpack the
 * part that they need.  Names that weren't read may not be asked for. */
struct body {
	unsigned refs;
	uint32_t n, cap;
	bool dirty;    /* a fixed was filled in and not yet written */
	bool nameless; /* names are in the database only */
	struct packed packed_fixed, packed_names;
	int64_t save_floor; /* of packed_fixed */
	struct fixed *fixed;
	uint32_t *at; /* base i: at[2i] … at[2i+1], odd: … at[2i+2] */
	struct buf names;
};

/* What a packed state says of all its messages together. */
struct chunk_facts {
	uint32_t first_uid, last_uid;
	uint32_t *uids; /* NULL: all from the first to the last */
	uint32_t n_new; /* in new/ */
	bool all_seen;
	uint64_t modseq_floor, highest_modseq;
};

struct chunk {
	unsigned refs;
	uint32_t first;	 /* key: uid of its first message when it was made */
	uint64_t change; /* the mailbox's change that wrote it */
	uint32_t n, cap;
	struct packed packed_state; /* then facts, and neither of these: */
	struct chunk_facts facts;
	struct message *messages;
	uint64_t *places;
	struct body *body;
	/* while an edit owns it: */
	bool own, dirty_body;
	uint32_t n_removed; /* messages whose uid was set to 0 */
};

struct chunk *chunk_new(uint32_t first) MUST_USE;
struct chunk *chunk_ref(struct chunk *c);
void chunk_unref(struct chunk **c);
/* A copy to be changed; its body is shared. */
struct chunk *chunk_clone(const struct chunk *c) MUST_USE;

/* Message i (from 0); to be changed only if the chunk is owned. */
struct message *chunk_message(const struct chunk *c, uint32_t i);
uint64_t chunk_place(const struct chunk *c, uint32_t i);
uint32_t chunk_uid(const struct chunk *c, uint32_t i);
/* Of all messages.  chunk_all_seen(): false if it isn't known at once. */
uint32_t chunk_count_new(const struct chunk *c);
bool chunk_all_seen(const struct chunk *c);
uint64_t chunk_highest_modseq(const struct chunk *c);
/* Whether it has its names; all that needs one needs that: chunk_base(),
 * chunk_odd(), chunk_email_id(), and each change of place or number. */
bool chunk_has_names(const struct chunk *c);
struct slice chunk_base(const struct chunk *c, uint32_t i);
struct slice chunk_odd(const struct chunk *c, uint32_t i);
struct fixed *chunk_fixed(const struct chunk *c, uint32_t i);
/*
 * What identifies the content of a message (RFC 8474 5.1): never 0.  It comes
 * from the base name, which no other message ever has, and goes along with
 * copies.
 */
uint64_t chunk_email_id(const struct chunk *c, uint32_t i);

/* Changes, of an owned chunk only. */
void chunk_append(struct chunk *c, const struct message *m, uint64_t place,
    struct slice base, struct slice odd, const struct fixed *fixed);
void chunk_set_place(
    struct chunk *c, uint32_t i, uint64_t place, struct slice odd);
/* No message has a smaller mod-sequence, or was saved before; of one just
 * decoded. */
void chunk_set_modseq_floor(struct chunk *c, uint64_t floor);
void chunk_set_save_floor(struct chunk *c, int64_t floor);
/* Drop the messages with uid 0. */
void chunk_compact(struct chunk *c);

/* --- chunk_code.c --------------------------------------------------------- */

void chunk_encode_fixed(const struct chunk *c, struct buf *out);
void chunk_encode_names(const struct chunk *c, struct buf *out);
void chunk_encode_state(const struct chunk *c, struct buf *out);
/* Blobs of any schema.  NULL: they aren't what was written. */
struct chunk *chunk_decode(uint32_t first, struct slice fixed,
    struct slice names, struct slice state) MUST_USE;
/* The same without names. */
struct chunk *chunk_decode_nameless(
    uint32_t first, struct slice fixed, struct slice state) MUST_USE;
/* The names of one that has none; false: they aren't what was written. */
bool chunk_set_names(struct chunk *c, struct slice names) MUST_USE;

/* --- views, from the inside ---------------------------------------------- */

struct view {
	unsigned refs;
	uint32_t count, uidnext;
	uint64_t highest_modseq;
	size_t n_chunks;
	struct chunk **v;
	uint32_t *start;  /* sequence number of each chunk's first message */
	uint32_t *recent; /* the chunk that was looked at last */
	uint32_t *unseen; /* what view_find_unseen() found; or UNASKED */
};

/* A view of these chunks, none empty; takes over their references. */
struct view *view_new(struct chunk **v, size_t n, uint32_t uidnext,
    uint64_t highest_modseq) MUST_USE;
/* Without the messages from uidnext on. */
struct view *view_below(struct view *v, uint32_t uidnext) MUST_USE;
/* Where a sequence number (1 … count) is. */
struct chunk *view_at(const struct view *v, uint32_t seq, uint32_t *i);
/* Index of the last chunk whose first is <= uid, or 0. */
size_t chunks_find(struct chunk *const *v, size_t n, uint32_t uid);

#endif
