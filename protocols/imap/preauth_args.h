/*
 * imap_preauth_args: the little of IMAP's grammar that is spoken before
 * authentication (RFC 3501 section 9: tag, atom, astring, nstring, literal;
 * RFC 2971 3.3 for ID's list).
 *
 * Layer:  protocols/imap, uses base.  No I/O, no allocation.
 * Memory: arguments point into the command.  Quoted strings lose their
 *         backslashes in place, so the bytes must be the caller's to change.
 *
 * Apart from the lexer of the session on purpose: the login process takes
 * strangers' bytes, and a whole command is at hand before it is looked at
 * (imap_preauth gathers it), with its literals in their places.
 */
#ifndef PROTOCOLS_IMAP_PREAUTH_ARGS_H
#define PROTOCOLS_IMAP_PREAUTH_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

/* A cursor over one command, its last CRLF taken off. */
struct preauth_args {
	uint8_t *p;
	size_t n;
};

/* Each returns false when the grammar wants something else here; the cursor
 * is of no use then. */

/* RFC 3501 9: 1*<any ASTRING-CHAR except "+">. */
bool preauth_args_tag(struct preauth_args *a, struct slice *out) MUST_USE;
bool preauth_args_sp(struct preauth_args *a) MUST_USE;
/* atom: command names, mechanisms. */
bool preauth_args_atom(struct preauth_args *a, struct slice *out) MUST_USE;
/* Everything up to the next blank: base64 and "=". */
bool preauth_args_word(struct preauth_args *a, struct slice *out) MUST_USE;
/* astring; 8-bit bytes are taken in quoted strings (RFC 9051 4.3). */
bool preauth_args_astring(struct preauth_args *a, struct slice *out) MUST_USE;
/* RFC 2971 3.3: NIL, or one list of field-value pairs. */
bool preauth_args_id(struct preauth_args *a) MUST_USE;

static inline bool
preauth_args_end(const struct preauth_args *a)
{
	return a->n == 0;
}

enum literal {
	LITERAL_NONE,
	LITERAL_SYNC,	 /* {n}: waits for "+" */
	LITERAL_NONSYNC, /* {n+} (RFC 7888): the bytes follow at once */
};

/*
 * Whether a line (without CRLF) announces a literal at its end, and its size
 * (UINT64_MAX if that has too many digits).  A brace inside of a quoted string
 * announces nothing.
 */
enum literal preauth_args_literal(struct slice line, uint64_t *size);

#endif
