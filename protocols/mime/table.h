/*
 * table: the table of parts as bytes, to be kept and read again.
 *
 * Layer:  protocols/mime, uses base.
 *
 * What is kept is what finding and sending sections takes: how the parts are
 * nested, their encodings, where their headers and bodies lie, in the file and
 * on the wire, and what was counted of bodies without their encoding.  Header
 * fields, media types and counts of lines are not: ENVELOPE and BODYSTRUCTURE
 * are kept as text.
 */
#ifndef MIME_TABLE_H
#define MIME_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"
#include "protocols/mime/message.h"

/*
 * Append the table of a message to out.  print: a number that tells its file
 * from others, which comes back by mime_table_get().
 */
void mime_table_put(
    const struct mime_message *m, uint64_t print, struct buf *out);

/*
 * Read such bytes, which may be anything, into a message that was just
 * initialised.  False: they are not the table of a file of size bytes with
 * that print, and m is empty.  What is read keeps the invariants of
 * message.h, so that each stretch lies inside of the file.
 */
bool mime_table_get(struct slice in, uint64_t print, uint64_t size,
    struct mime_message *m) MUST_USE;

#endif
