/*
 * chunk_impl: chunks from the inside.
 *
 * Layer:  maildir, chunk*.c only.
 */
#ifndef MAILDIR_CHUNK_IMPL_H
#define MAILDIR_CHUNK_IMPL_H

#include "maildir/chunk.h"

enum { CHUNK_TEXT_MAX = 255 }; /* of a base name, or an odd part */

/* One of n messages that has no part yet, nor has its body. */
struct chunk *chunk_sized(uint32_t first, uint32_t n) MUST_USE;
/* Room for the messages and their places. */
void chunk_reserve(struct chunk *c, uint32_t cap);

/* Room for a part that the body doesn't have. */
void body_make_fixed(struct body *b);
void body_make_names(struct body *b);
/* Take the room back. */
void body_drop_names(struct body *b);

/* --- chunk_code.c --------------------------------------------------------- */

/* A copy of a blob without its sum. */
void packed_set(struct packed *to, struct slice blob);
void packed_fini(struct packed *of);
/* End a blob with its sum. */
void chunk_seal(struct buf *b);
/* A blob begins with the number of its messages: append it, or cut it off and
 * say whether it is the one wanted. */
void count_put(struct buf *out, uint32_t n);
bool count_is(struct slice *in, uint32_t wanted);
/* A column of n values: append it, or cut it off and put the values into v,
 * unless that is NULL; false: it is none. */
void column_put(struct buf *out, const uint64_t *v, uint32_t n);
bool column_take(struct slice *in, uint64_t *v, uint32_t n);

/* Make the part of what chunk_decode() left packed, and has checked. */
void chunk_unpack_state(struct chunk *c);
void body_unpack_fixed(struct body *b);
void body_unpack_names(struct body *b); /* chunk_names.c */

/* --- chunk_names.c -------------------------------------------------------- */

/* Check the names, and leave them packed; false: they aren't any. */
bool chunk_open_names(struct chunk *c, struct slice in);

/* --- chunk_old.c ---------------------------------------------------------- */

/* How many messages a state of records is for; 0: it is none. */
uint32_t chunk_count_state(struct slice state);
/* Fill in what a blob of records has; false: it is none. */
bool chunk_read_fixed(struct chunk *c, struct slice in, uint32_t *uids);
bool chunk_read_state(struct chunk *c, struct slice in, const uint32_t *uids);
bool chunk_read_names(struct chunk *c, struct slice in);

#endif
