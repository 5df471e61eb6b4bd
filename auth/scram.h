/*
 * scram: the messages and keys of SCRAM (RFC 5802, RFC 7677).
 *
 * Layer:  auth, uses base, libcrypto.  No I/O, no clock.
 * Memory: keys are plain structs of the caller's, to be wiped by it; messages
 *         are slices into the input.
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

enum {
	SCRAM_KEY_MAX = 32, /* SHA-256 */
	SCRAM_SALT_MAX = 64,
	SCRAM_SALT_LEN = 16,	 /* of those made here */
	SCRAM_ITERATIONS = 4096, /* RFC 7677 4: at least */
	SCRAM_ITERATIONS_MAX = 10 * 1000 * 1000,
	SCRAM_NONCE_MAX = 256, /* of the client */
};

enum scram_hash { SCRAM_SHA1, SCRAM_SHA256, SCRAM_N_HASHES };

/* "SCRAM-SHA-256"; also the prefix, in braces, of stored keys. */
struct slice scram_hash_name(enum scram_hash h);
/* By that name in either case; false if there is none. */
bool scram_hash_find(struct slice name, enum scram_hash *h) MUST_USE;
/* Bytes of a key: 20 or 32. */
size_t scram_hash_len(enum scram_hash h);

/* What a server keeps of a password (RFC 5802 3). */
struct scram_keys {
	enum scram_hash hash;
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t stored[SCRAM_KEY_MAX];
	uint8_t server[SCRAM_KEY_MAX];
};

/* Make keys of a password; hash, iterations and salt are set already. */
bool scram_keys_make(struct scram_keys *k, struct slice password) MUST_USE;

/*
 * The text "iterations,salt,StoredKey,ServerKey", the last three in base64,
 * as it stands in a user table behind {SCRAM-SHA-256}.
 */
void scram_keys_put(const struct scram_keys *k, struct buf *out);
bool scram_keys_parse(
    struct slice text, enum scram_hash h, struct scram_keys *out) MUST_USE;

/*
 * A salt for a user that has none of his own: always the same for the same
 * name, so that nobody can tell a user that isn't there (RFC 5802 9).
 */
void scram_salt_for(
    struct slice secret, struct slice user, uint8_t salt[SCRAM_SALT_LEN]);

/* --- messages ------------------------------------------------------------ */

enum scram_binding {
	SCRAM_NO_BINDING,     /* n: the client can't */
	SCRAM_BINDING_MISSED, /* y: it could, but thinks that we can't */
	SCRAM_BINDING,	      /* p=name */
};

struct scram_client_first {
	enum scram_binding binding;
	struct slice binding_name; /* "tls-exporter" */
	struct slice gs2_header;   /* with its last comma */
	struct slice authzid;	   /* still as saslname */
	struct slice bare;
	struct slice user; /* still as saslname */
	struct slice nonce;
};
bool scram_parse_client_first(
    struct slice in, struct scram_client_first *out) MUST_USE;

struct scram_client_final {
	struct slice binding; /* base64 */
	struct slice nonce;
	struct slice without_proof;
	struct slice proof; /* base64 */
};
bool scram_parse_client_final(
    struct slice in, struct scram_client_final *out) MUST_USE;

/* Undo =2C and =3D; false for any other =. */
bool scram_put_saslname(struct slice in, struct buf *out) MUST_USE;

/*
 * Whether the proof (base64) shows that the client knows the password, for
 * this AuthMessage; if so the ServerSignature is appended to signature.
 */
bool scram_check_proof(const struct scram_keys *k, struct slice auth_message,
    struct slice proof, struct buf *signature) MUST_USE;

#endif
