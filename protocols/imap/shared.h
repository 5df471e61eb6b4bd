/*
 * imap_shared: memory that the sessions of a process take turns at.
 *
 * Layer:  protocols/imap.
 * What a session holds by itself is small, whatever its client asks for.  To
 * sort or thread a mailbox takes some dozen bytes a message: that comes out of
 * one sum for the whole process.
 */
#ifndef IMAP_SHARED_H
#define IMAP_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/defs.h"

#define IMAP_SHARED_MAX ((size_t)512 * 1024 * 1024)

/* Count n more bytes; false: that would be too much. */
bool imap_shared_take(size_t n) MUST_USE;
void imap_shared_give(size_t n);
/* Bytes that are taken. */
size_t imap_shared_in_use(void);
/* Whether so much is in use that whoever begins should wait for the others. */
bool imap_shared_busy(void);

/*
 * Let an array hold n elements (at least one) of a size; *cap counts them.
 * Returns where it is now, NULL, with nothing changed, beyond the sum.  New
 * elements are not initialised.
 */
void *imap_shared_grow(void *p, size_t *cap, size_t n, size_t size) MUST_USE;
/* Free such an array. */
void imap_shared_free(void *p, size_t cap, size_t size);

#endif
