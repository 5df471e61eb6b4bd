/*
 * imap_kept: what is kept of a message, from the cache or, where it isn't
 * there yet, made and kept.
 *
 * Layer:  protocols/imap.
 */
#ifndef IMAP_KEPT_H
#define IMAP_KEPT_H

#include "protocols/imap/session_impl.h"

enum { IMAP_HEADER_MAX = 64 * 1024 }; /* of which keys are made */

/*
 * One of the kinds made from the header, CACHE_FIELDS to CACHE_THREAD: fields
 * as in fields.h, the others as in keys.h.  *out is borrowed until the next
 * call for this session or the store.  *read: the file was, or NULL.
 *
 * 0; ERR_NOT_FOUND: expunged; ERR_LIMIT: the header is longer than
 * IMAP_HEADER_MAX, and *out is made from its beginning; other ERR_*: it can't
 * be read, logged.
 */
int imap_kept(struct imap_session *i, uint32_t uid, enum cache_kind kind,
    struct slice *out, bool *read) MUST_USE;

/*
 * The length of the header at the front of head, with its empty line; 0: it
 * doesn't end here.
 */
size_t imap_header_len(struct slice head);

/*
 * Keep CACHE_FIELDS of a message whose beginning is at hand; false when its
 * header is longer than that.  out: they are appended to it.
 */
bool imap_kept_make(struct imap_session *i, uint32_t uid, struct slice head,
    bool all, struct buf *out);

#endif
