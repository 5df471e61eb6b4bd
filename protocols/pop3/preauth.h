/*
 * pop3_preauth: POP3 before authentication, for the login process.
 * RFC 1939 sections 4 and 7 (USER, PASS), RFC 2449 (CAPA, response codes),
 * RFC 2595 (STLS), RFC 3206 (AUTH and SYS codes), RFC 5034 (AUTH), RFC 6856
 * (UTF8).
 *
 * Layer:  protocols/pop3, uses base, protocols/preauth.  No maildir, no
 *         socket, no clock.
 * Memory: the preauth is on the heap and owns its buffers; the options are
 *         borrowed and must outlive it.
 */
#ifndef PROTOCOLS_POP3_PREAUTH_H
#define PROTOCOLS_POP3_PREAUTH_H

#include "base/defs.h"
#include "protocols/preauth.h"

/*
 * A connection that has just been accepted; the caller sets tls,
 * clear_allowed and mechanisms, then calls ops->greet.
 *
 * Of opt, capability and capability_tls are the mechanisms to be named after
 * SASL in CAPA (POP3AUTH, POP3AUTH_TLS); those that authdaemond doesn't offer
 * or that may not be used now are left out.  NULL or "" names all that work,
 * an empty capability_tls means what capability says.
 * literal_max isn't used.
 */
struct preauth *pop3_preauth_new(const struct preauth_options *opt) MUST_USE;

#endif
