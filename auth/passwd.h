/*
 * passwd: is this the password?
 *
 * Layer:  auth, uses base, libcrypto, libcrypt.
 * Stored forms: anything that crypt(3) of libxcrypt knows ($1$ $5$ $6$ $2b$
 * $y$ …, also behind {CRYPT}), and Courier's {MD5} {MD5RAW} {SHA} {SSHA}
 * {SHA256} {SHA512}, whose names are taken in either case; Dovecot's {SSHA256}
 * {SSHA512} {SHA512-CRYPT} {SHA256-CRYPT} {MD5-CRYPT} {BLF-CRYPT} {DES-CRYPT};
 * {SCRAM-SHA-1} and {SCRAM-SHA-256} with the keys of RFC 5802 (scram.h);
 * {ARGON2ID} where libargon2 was there when Postern was built.
 * Comparison takes a time that doesn't depend on where two values differ.
 */
#ifndef AUTH_PASSWD_H
#define AUTH_PASSWD_H

#include <stdbool.h>

#include "auth/scram.h"
#include "base/defs.h"
#include "base/secret.h"
#include "base/slice.h"

/*
 * Whether `given` is the password whose crypted form is `stored`.  False as
 * well for a form that is unknown or damaged.  May take long: that's the
 * purpose of a slow hash.
 */
bool passwd_check_crypt(struct slice stored, struct slice given) MUST_USE;

/*
 * Whether checking a password against it takes long on purpose (more than a
 * few milliseconds): yescrypt, bcrypt, SHA-crypt, many iterations of SCRAM.
 */
bool passwd_is_slow(struct slice crypted) MUST_USE;

/*
 * Whether an account with these two columns accepts `given`: the crypted
 * column alone counts unless it is empty, then the clear one, and an account
 * with neither accepts nothing.
 */
bool passwd_check(
    struct slice crypted, struct slice clear, struct slice given) MUST_USE;

/* The keys of a column {SCRAM-…} made for this hash; false: it's another. */
bool passwd_scram_keys(
    struct slice stored, enum scram_hash h, struct scram_keys *out) MUST_USE;

/*
 * Hash a new password the way `old` was hashed: the same prefix or the same
 * crypt(3) method; {SSHA} when old gives no hint.  False: the system can't.
 */
bool passwd_make_crypt(
    struct slice old, struct slice password, struct secret *out) MUST_USE;

/*
 * The form of the last crypted password that was checked, kept so that a
 * user who doesn't exist costs as much as one who does.
 */
struct passwd_model {
	char setting[256]; /* "" until one was seen */
};
void passwd_model_see(struct passwd_model *m, struct slice crypted);
/* Whether that work is slow. */
bool passwd_model_is_slow(const struct passwd_model *m);
/* Do the work of a check, for nothing. */
void passwd_model_burn(const struct passwd_model *m, struct slice given);

#endif
