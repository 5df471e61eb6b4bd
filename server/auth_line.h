/*
 * auth_line: lines of the Dovecot authentication protocol (docs/auth.md), as a
 * client writes and reads them.
 *
 * Layer:  server, uses base.  No I/O.
 */
#ifndef SERVER_AUTH_LINE_H
#define SERVER_AUTH_LINE_H

#include "base/buf.h"
#include "base/slice.h"
#include "server/auth_client.h"

/* The value of the first field that begins with name, "user="; escapes are
 * left in it.  False: there is none, and *value is as it was. */
bool auth_line_field(
    struct slice fields, struct slice name, struct slice *value);
/* n bytes of 2n hexadecimal digits, no more and no fewer. */
bool auth_line_hex(struct slice hex, uint8_t *out, size_t n) MUST_USE;
/*
 * "AUTH …", the request with this id; out, which need not be initialised, is
 * wiped at its end.  Longer than a line may be: buf_ok() is false.
 */
void auth_line_request(
    struct buf *out, uint32_t id, const struct auth_start *s);

#endif
