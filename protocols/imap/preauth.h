/*
 * imap_preauth: IMAP before authentication, for the login process.
 * RFC 3501 sections 6.1, 6.2 and 7; RFC 4959 (SASL-IR), RFC 7888 (LITERAL+),
 * RFC 2971 (ID), RFC 5530 (response codes), RFC 2595 (STARTTLS).
 *
 * Layer:  protocols/imap, uses base, protocols/preauth.  No maildir, no
 *         socket, no clock.
 * Memory: the preauth is on the heap and owns its buffers; the options are
 *         borrowed and must outlive it.
 */
#ifndef PROTOCOLS_IMAP_PREAUTH_H
#define PROTOCOLS_IMAP_PREAUTH_H

#include "base/defs.h"
#include "protocols/preauth.h"

/*
 * A connection that has just been accepted; the caller sets tls,
 * clear_allowed and mechanisms, then calls ops->greet.
 *
 * Of opt, capability and capability_tls are what the configuration says in
 * IMAP_CAPABILITY and IMAP_CAPABILITY_TLS; NULL or "" stands for IMAP4rev1
 * alone.  AUTH= words among them name the mechanisms to be announced; without
 * any, all that authdaemond offers are.  STARTTLS, LOGINDISABLED, LITERAL+,
 * SASL-IR and ID are added here.
 */
struct preauth *imap_preauth_new(const struct preauth_options *opt) MUST_USE;

#endif
