/*
 * authd: one question to authdaemond, by Courier's protocol (docs/auth.md).
 *
 * Layer:  ctl, uses base, conf.  Blocks, for 30 s at most.
 */
#ifndef CTL_AUTHD_H
#define CTL_AUTHD_H

#include "base/buf.h"
#include "base/defs.h"

/* The longest request that authdaemond takes. */
enum { AUTHD_REQUEST_MAX = 8190 };

/*
 * Send the request to the socket of authdaemonvar, as authdaemonrc in confdir
 * names it (NULL: where configure put it), and add all of the answer to out.
 * Returns 0, or a negative ERR_* with errno: EIO if nothing was answered.
 */
int authd_ask(
    const char *confdir, const struct buf *request, struct buf *out) MUST_USE;

#endif
