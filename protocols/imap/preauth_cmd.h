/*
 * imap_preauth_cmd: the commands before authentication: their table, their
 * arguments, and what each does once it has been gathered.
 *
 * Layer:  protocols/imap; for preauth.c only.
 */
#ifndef PROTOCOLS_IMAP_PREAUTH_CMD_H
#define PROTOCOLS_IMAP_PREAUTH_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocols/imap/lex.h"
#include "protocols/preauth.h"

enum imap_preauth_state {
	PRE_COMMAND,  /* gathers a command */
	PRE_DECIDING, /* authdaemond, or the handover, has it */
	PRE_EXCHANGE, /* waits for the answer to a challenge */
	PRE_TLS,      /* waits for tls_started */
	PRE_CLOSED,
};

struct imap_preauth {
	struct preauth p; /* must be first */
	uint32_t magic;
	enum imap_preauth_state state;
	unsigned commands; /* begun so far */
	/* Of the command being gathered: */
	bool begun;
	size_t have;	 /* its lines and literals that are complete, and
			    the literal that is due: may exceed the input */
	size_t literals; /* bytes of have that are literals */
};

/* --- replies ------------------------------------------------------------- */

/*
 * Queue a response under the command's tag ("*" when it couldn't be read).
 * Returns PREAUTH_WAIT: go on with the next command.
 */
enum preauth_event imap_preauth_answer(
    struct imap_preauth *c, const char *text);
/* Queue a BYE with the reason (NULL: none) and end the connection. */
enum preauth_event imap_preauth_hang_up(
    struct imap_preauth *c, const char *why);
/* Append the capabilities of this moment (RFC 3501 7.2.1), without "* ". */
void imap_preauth_put_capability(struct imap_preauth *c, struct buf *out);
/* Whether LITERAL- is told in place of LITERAL+ (RFC 7888 5). */
bool imap_preauth_literal_minus(const struct imap_preauth *c);
/* Forget what has been gathered of a command. */
void imap_preauth_forget_command(struct imap_preauth *c);

/* --- commands ------------------------------------------------------------ */

/* Set the tag to what the command begins with; false, and "", if it can't. */
bool imap_preauth_read_tag(struct imap_preauth *c, struct imap_lex *lx);
/*
 * Act on the complete command: the first n bytes of the input, line end and
 * all.  PREAUTH_WAIT: it is answered.
 */
enum preauth_event imap_preauth_command(struct imap_preauth *c, size_t n);
/*
 * A synchronizing literal is announced by the line that ends at n: answers,
 * and returns true, if the command would be refused whatever the literal says
 * (RFC 3501 4.3 lets the server answer instead of asking for the bytes).
 */
bool imap_preauth_refused_early(struct imap_preauth *c, size_t n);

#endif
