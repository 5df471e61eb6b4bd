/*
 * imap_client: what a client makes of the output of an IMAP session, for fuzz
 * targets: what can't be, by RFC 3501, RFC 5256 or RFC 7162, aborts.
 *
 * Layer:  tests.
 *
 * Checked: the output is a sequence of whole responses, with literals as long
 * as they were announced, and no CR, LF or NUL elsewhere.  Every tagged
 * response is to a command that was sent, in their order, none twice.  EXISTS
 * grows but by SELECT, and numbers are of messages that are there; UIDs ascend
 * with the numbers and don't change; what vanishes was there (EARLIER: isn't).
 * Messages go by VANISHED after ENABLE QRESYNC and by EXPUNGE before it, and
 * never while FETCH, STORE, SEARCH, SORT or THREAD is answered.  After BYE
 * comes at most the reply of LOGOUT.
 */
#ifndef TESTS_FUZZ_IMAP_CLIENT_H
#define TESTS_FUZZ_IMAP_CLIENT_H

#include <stdbool.h>

#include "base/slice.h"

/*
 * sent: all that the client sent, with the command that logged in.
 * broken: the session may have given up in the middle of a literal.
 */
void imap_client_check(struct slice sent, struct slice out, bool broken);

#endif
