/*
 * imap_lex: pull tokens of the IMAP grammar out of a byte slice.
 * RFC 3501 section 9; RFC 7888 for non-synchronizing literals; RFC 3516 for
 * the announcement of literal8.
 *
 * Layer:  protocols/imap, uses base.  No I/O, no clock, no allocation (but
 *         imap_unquote, into the caller's arena).
 * Memory: the lexer lives on the caller's stack and borrows its input;
 *         returned slices point into the input and end with it.
 *
 * The input is one command as it has come so far: its lines with their line
 * breaks, and the bytes of its literals in place.  A token is taken whole or
 * not at all.  Unless it says otherwise a function returns
 *   PARSE_OK       taken; the cursor stands behind it
 *   PARSE_MORE     the input ends first; the cursor is unmoved
 *   PARSE_BAD      the grammar forbids it; why names the rule
 *   PARSE_LIMIT    longer than a limit; why names it
 *   PARSE_LITERAL  a literal is announced whose bytes aren't all here: see
 *                  lx->literal; the cursor is unmoved
 */
#ifndef IMAP_LEX_H
#define IMAP_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/defs.h"
#include "base/parse.h"
#include "base/slice.h"

/* An announced literal: "{size}", "{size+}", "~{size}" (RFC 7888, 3516). */
struct imap_literal {
	uint64_t size;
	bool sync;   /* the client waits for a continuation */
	bool binary; /* literal8: NUL is allowed in it */
};

struct imap_lex {
	struct slice in;
	size_t pos;
	bool escaped;	 /* the last string holds escapes: imap_unquote() */
	bool bytes;	 /* 8-bit bytes in quoted strings need not be UTF-8 */
	const char *why; /* constant text, after PARSE_BAD and PARSE_LIMIT */
	struct imap_literal literal; /* after PARSE_LITERAL */
};

static inline struct imap_lex
imap_lex_of(struct slice in)
{
	return (struct imap_lex){ .in = in };
}

/* --- characters ---------------------------------------------------------- */

/* RFC 3501 ATOM-CHAR: no CTL, 8-bit byte or one of ( ) { SP % * " \ ] */
bool imap_is_atom_char(uint8_t c);
/* RFC 3501 ASTRING-CHAR: the same with "]". */
bool imap_is_astring_char(uint8_t c);
/* RFC 3501 list-char: ASTRING-CHAR and the wildcards. */
bool imap_is_list_char(uint8_t c);

/* --- single bytes -------------------------------------------------------- */

/* The next byte, or -1 at the end of the input. */
int imap_lex_peek(const struct imap_lex *lx);
/* Whether the next byte is c; then it's taken. */
bool imap_lex_take(struct imap_lex *lx, uint8_t c);
/* The byte c must stand here. */
enum parse imap_lex_char(struct imap_lex *lx, uint8_t c) MUST_USE;
/* One SP (RFC 3501 grammar note 1: exactly one). */
enum parse imap_lex_space(struct imap_lex *lx) MUST_USE;
enum parse imap_lex_open(struct imap_lex *lx) MUST_USE;	 /* "(" */
enum parse imap_lex_close(struct imap_lex *lx) MUST_USE; /* ")" */
/* The end of the command: CRLF, or a bare LF. */
enum parse imap_lex_crlf(struct imap_lex *lx) MUST_USE;

/* --- tokens -------------------------------------------------------------- */

/* tag: ASTRING-CHARs without "+"; at most IMAP_TAG_MAX of them. */
enum { IMAP_TAG_MAX = 127 };
enum parse imap_lex_tag(struct imap_lex *lx, struct slice *out) MUST_USE;
enum parse imap_lex_atom(struct imap_lex *lx, struct slice *out) MUST_USE;
/*
 * Whether the atom word (compared without case) stands here, whole; then
 * it's taken.
 */
bool imap_lex_word(struct imap_lex *lx, struct slice word) MUST_USE;
/* flag: an atom, or "\" and an atom; the slice includes the "\". */
enum parse imap_lex_flag(struct imap_lex *lx, struct slice *out) MUST_USE;

/* The digits are 32 (64) bits at most, or it's PARSE_BAD. */
enum parse imap_lex_number(struct imap_lex *lx, uint32_t *out) MUST_USE;
enum parse imap_lex_number64(struct imap_lex *lx, uint64_t *out) MUST_USE;
/* A mod-sequence: 63 bits (RFC 7162 7, mod-sequence-valzer). */
enum parse imap_lex_modseq(struct imap_lex *lx, uint64_t *out) MUST_USE;
/* A number that isn't 0. */
enum parse imap_lex_nz_number(struct imap_lex *lx, uint32_t *out) MUST_USE;

/* --- strings -------------------------------------------------------------
 *
 * out: the bytes without quotes; may hold escapes, then lx->escaped is set
 * and imap_unquote() copies them clean.  A NUL in any of them is PARSE_BAD,
 * and so are 8-bit bytes in a quoted string that aren't UTF-8 (RFC 6855 3),
 * unless lx->bytes says otherwise.
 */
enum parse imap_lex_string(struct imap_lex *lx, struct slice *out) MUST_USE;
enum parse imap_lex_astring(struct imap_lex *lx, struct slice *out) MUST_USE;
/* *nil: it was NIL, and out is the empty slice with p NULL. */
enum parse imap_lex_nstring(
    struct imap_lex *lx, struct slice *out, bool *nil) MUST_USE;
/* list-mailbox: a pattern of LIST. */
enum parse imap_lex_list_mailbox(
    struct imap_lex *lx, struct slice *out) MUST_USE;

/*
 * What the last string function gave, without escapes: the same slice, or a
 * copy in the arena.
 */
struct slice imap_unquote(
    const struct imap_lex *lx, struct slice s, struct arena *a);

/*
 * A literal's announcement with its line break: always PARSE_LITERAL when
 * it's well formed, whatever follows; the cursor then stands behind it.
 * For APPEND, whose bytes never come to the lexer.
 */
enum parse imap_lex_literal(struct imap_lex *lx) MUST_USE;

/*
 * Whether a line (with or without its line break) ends with the announcement
 * of a literal: for finding the end of commands that aren't understood.
 */
bool imap_line_literal(struct slice line, struct imap_literal *out) MUST_USE;

#endif
