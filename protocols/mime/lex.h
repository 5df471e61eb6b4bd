/*
 * lex: the tokens that the structured header fields share.
 * RFC 5322 section 3.2, RFC 2045 section 5.1.
 *
 * Layer:  protocols/mime, uses base.  No allocation.
 * Memory: slices point into the input.
 *
 * All functions take from the front of *in and always end: what is never
 * closed (a comment, a quoted string) reaches to the end of the input.
 */
#ifndef MIME_LEX_H
#define MIME_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Blank, tab, CR, LF: what folding may leave. */
static inline bool
mime_is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * The bytes of the name if the line begins a header field (RFC 5322 2.2),
 * the place of its colon to *colon; 0 if it is none.
 */
size_t mime_lex_field_name(struct slice line, size_t *colon);

/* Pass over white space; returns whether there was any. */
bool mime_lex_space(struct slice *in);

/*
 * Pass over one comment at the front, nested ones included (RFC 5322 3.2.2).
 * *inner (may be NULL): its raw content.  False if in doesn't begin with "(".
 */
bool mime_lex_comment(struct slice *in, struct slice *inner);

/* Pass over white space and comments; returns whether there was any. */
bool mime_lex_cfws(struct slice *in);

/*
 * Take a quoted string at the front; its content without quotes, escapes
 * and line breaks is appended to out (which may be NULL).
 */
bool mime_lex_quoted(struct slice *in, struct buf *out);

/* Append s with its quoted pairs resolved. */
void mime_lex_unescape(struct slice s, struct buf *out);

/* A set of bytes below 64, for those that are looked up for each byte. */
#define MIME_LEX_BIT(c) (UINT64_C(1) << (c))

/* RFC 2045 5.1: any but space, controls, tspecials; 8 bit is tolerated. */
static inline bool
mime_lex_is_token(uint8_t c)
{
	static const uint64_t tspecials = MIME_LEX_BIT('(') |
	    MIME_LEX_BIT(')') | MIME_LEX_BIT('<') | MIME_LEX_BIT('>') |
	    MIME_LEX_BIT(',') | MIME_LEX_BIT(';') | MIME_LEX_BIT(':') |
	    MIME_LEX_BIT('"') | MIME_LEX_BIT('/') | MIME_LEX_BIT('?') |
	    MIME_LEX_BIT('=');

	if (c < 64)
		return c > 0x20 && (tspecials >> c & 1) == 0;
	return c != '@' && c != '\\' && c != '[' && c != ']' && c != 0x7f;
}

/* What ends an atom of an address: RFC 5322 3.2.3 without what is met there
 * all the same. */
static inline bool
mime_lex_is_special(uint8_t c)
{
	static const uint64_t specials = MIME_LEX_BIT(' ') |
	    MIME_LEX_BIT('\t') | MIME_LEX_BIT('\r') | MIME_LEX_BIT('\n') |
	    MIME_LEX_BIT('(') | MIME_LEX_BIT(')') | MIME_LEX_BIT('<') |
	    MIME_LEX_BIT('>') | MIME_LEX_BIT(',') | MIME_LEX_BIT(';') |
	    MIME_LEX_BIT(':') | MIME_LEX_BIT('"');

	return c < 64 ? (specials >> c & 1) != 0 : c == '@';
}

/* Take a token of RFC 2045 5.1; the empty slice if there's none. */
struct slice mime_lex_token(struct slice *in);

#endif
