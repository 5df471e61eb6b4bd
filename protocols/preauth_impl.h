/*
 * preauth_impl: what the preauths of IMAP and POP3 have in common: the
 * client's side of a SASL exchange (RFC 4422), which mechanisms may be used
 * now, and the line that both protocols are made of.
 *
 * Layer:  protocols, uses base.
 * Memory: everything is in the struct preauth; passwords pass through its
 *         secret and are wiped from the input when they are taken.
 */
#ifndef PROTOCOLS_PREAUTH_IMPL_H
#define PROTOCOLS_PREAUTH_IMPL_H

#include "base/defs.h"
#include "base/parse.h"
#include "base/slice.h"
#include "protocols/preauth.h"

enum {
	PREAUTH_OUTPUT_MAX = 64 * 1024,
	/* Room in the input for commands sent ahead. */
	PREAUTH_INPUT_AHEAD = 4096,
};

/* Zero p but for ops, opt and the two buffers; in holds in_max bytes. */
void preauth_init(struct preauth *p, const struct preauth_ops *ops,
    const struct preauth_options *opt, size_t in_max);
/* Wipe and release what is in p. */
void preauth_fini(struct preauth *p);

/* Wipe everything about an exchange: for TLS, which forgets what was said. */
void preauth_forget(struct preauth *p);
/* Wipe the response only: user and mechanism stay, for a log line. */
void preauth_drop_response(struct preauth *p);
/* Wipe and drop the first n bytes of the input. */
void preauth_take(struct preauth *p, size_t n);
/* Wipe and drop all input: nothing said before TLS counts under it. */
void preauth_discard(struct preauth *p);

/*
 * The first line of the input, without its CRLF (or LF); *n: its bytes with
 * it, for preauth_take().  PARSE_MORE: not all here yet; PARSE_LIMIT: longer
 * than line_max with its CRLF.
 */
enum parse preauth_line(
    const struct preauth *p, struct slice *line, size_t *n) MUST_USE;
/*
 * Whether the input begins like a TLS record with a handshake (RFC 8446 5.1):
 * a client that expects TLS where none is spoken.  PARSE_OK: it does;
 * PARSE_MORE: perhaps; PARSE_BAD: no.
 */
enum parse preauth_tls_record(const struct preauth *p) MUST_USE;

/* Whether password commands may be used now. */
bool preauth_password_allowed(const struct preauth *p);
/* Whether authdaemond offers the mechanism. */
bool preauth_mech_offered(const struct preauth *p, struct slice name);
/* Whether it may be used now (PLAIN and LOGIN: as password commands). */
bool preauth_mech_allowed(const struct preauth *p, struct slice name);
/*
 * Append the mechanisms that work now, each after before.  only: blank
 * separated names; if it has any, others are left out.
 */
void preauth_put_mechs(const struct preauth *p, struct buf *out,
    const char *before, struct slice only);

/*
 * Begin an exchange: mech in upper case, no response.  False when the name is
 * no mechanism's (RFC 4422 3.1: 1 to 20 letters, digits, '-', '_').
 */
bool preauth_begin(struct preauth *p, struct slice mech) MUST_USE;
/*
 * Set response from base64, and user as far as it can be told.  False when
 * it isn't base64.
 */
bool preauth_set_response(struct preauth *p, struct slice base64) MUST_USE;
/* The same from "=" (an empty response) or base64 (RFC 4959 3, RFC 5034 4). */
bool preauth_set_initial(struct preauth *p, struct slice arg) MUST_USE;
/*
 * Begin PLAIN with a name and a password of LOGIN or PASS.  False when one of
 * them holds a NUL, which PLAIN can't carry.
 */
bool preauth_set_plain(
    struct preauth *p, struct slice user, struct slice password) MUST_USE;

#endif
