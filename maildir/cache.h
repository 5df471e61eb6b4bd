/*
 * cache: what was computed from messages, in postern.cache.
 *
 * Layer:  maildir.  Not for anybody outside, who has mailbox_cache_get() and
 * mailbox_cache_put() (mailbox.h).
 */
#ifndef MAILDIR_CACHE_H
#define MAILDIR_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

struct account;
struct cache_pool;
struct mailbox;

/* What of all caches is in memory. */
struct cache_pool *cache_pool_new(void) MUST_USE;
/* All accounts must have closed theirs. */
void cache_pool_free(struct cache_pool **p);
void cache_flush(struct account *a);
void cache_close(struct account *a);
/* Remove it from the disk; true: it was there. */
bool cache_discard(struct account *a);
/* UIDs of a mailbox went away; its head doesn't have them any more. */
void cache_forget(struct mailbox *m, uint32_t first, uint32_t last);
/* A mailbox's row went away: nothing is asked for it any more. */
void cache_forget_mailbox(struct account *a, int64_t id);
/* Remove so many of its rows; how many those were. */
unsigned cache_sweep(struct account *a, int64_t id, unsigned n);

#endif
