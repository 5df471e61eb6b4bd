/*
 * row: the row that the database has for a mailbox's directory.
 *
 * Layer:  maildir.  Not for anybody outside.
 */
#ifndef MAILDIR_ROW_H
#define MAILDIR_ROW_H

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"
#include "maildir/foreign.h"

struct account;

/* The row for a directory, made if it isn't there; nobody else's UIDs are
 * looked for.  Begins and ends a transaction. */
int mailbox_row(
    struct account *a, struct slice dir, int64_t *id, struct err *e) MUST_USE;
/* Insert one with the UIDVALIDITY and UIDNEXT of a list; 0 in it: a new one.
 * Within a transaction, as the next two. */
int mailbox_row_insert(struct account *a, struct slice dir,
    const struct foreign_uids *u, int64_t *id, struct err *e) MUST_USE;
/* Write messages of the list, [from … to), to the chunks of a new row. */
int mailbox_row_fill(struct account *a, int64_t id,
    const struct foreign_uids *u, size_t from, size_t to,
    struct err *e) MUST_USE;
/* Have UIDNEXT at least so high, and no message recent. */
int mailbox_row_raise(
    struct account *a, int64_t id, uint32_t uidnext, struct err *e) MUST_USE;
/* 1: the row of a directory and, unless NULL, its UIDVALIDITY; 0: there is
 * none. */
int mailbox_row_find(struct account *a, struct slice dir, int64_t *id,
    uint32_t *validity, struct err *e) MUST_USE;
/* Remember the UIDVALIDITY that a directory's name had.  Within a transaction,
 * as the next one. */
int mailbox_row_note_used(struct account *a, struct slice dir,
    uint32_t validity, struct err *e) MUST_USE;
int mailbox_row_delete(struct account *a, int64_t id, struct err *e) MUST_USE;

#endif
