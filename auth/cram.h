/*
 * cram: the responses of CRAM-MD5 (RFC 2195) and of Courier's CRAM-SHA1 and
 * CRAM-SHA256, which differ from it in the hash.
 *
 * Layer:  auth, uses base, libcrypto.
 */
#ifndef AUTH_CRAM_H
#define AUTH_CRAM_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

enum { CRAM_CONTEXTS_MAX = 2 * 2 * 32 };

/*
 * Split "user SPACE digest" at the last blank; false if there is none, or
 * what follows it isn't hex digits.
 */
bool cram_split(
    struct slice response, struct slice *user, struct slice *digest) MUST_USE;

/* Whether hash is "md5", "sha1" or "sha256". */
bool cram_knows(struct slice hash) MUST_USE;

/*
 * Whether digest (hex digits) is the HMAC of the challenge under the clear
 * password.
 */
bool cram_check(struct slice hash, struct slice password,
    struct slice challenge, struct slice digest) MUST_USE;

/*
 * The same where only the two states of the hash are known, after the outer
 * and after the inner key: Courier's userdb keeps them, in hex, instead of
 * the password.
 */
bool cram_check_contexts(struct slice hash, struct slice contexts,
    struct slice challenge, struct slice digest) MUST_USE;

/*
 * Append those states of a password, in hex.  Who has them can answer a
 * challenge, so they are as secret as it is; the password isn't told by them.
 */
bool cram_make_contexts(
    struct slice hash, struct slice password, struct buf *out) MUST_USE;

#endif
