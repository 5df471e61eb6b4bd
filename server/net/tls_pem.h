/*
 * tls_pem: certificates and keys out of PEM bytes, and what is wrong with
 * them, by file and line.
 *
 * Layer:  server/net, uses base, OpenSSL.  No I/O.
 */
#ifndef NET_TLS_PEM_H
#define NET_TLS_PEM_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"

/* Bytes, and the file they are of, for messages only. */
struct tls_pem {
	const char *path;
	struct slice bytes;
};

/* Where it is that something else was expected. */
struct tls_pem_where {
	const char *path; /* of the struct tls_pem; NULL: of neither */
	unsigned line;	  /* from 1 on; 0: of the file as a whole */
	size_t expected;  /* in the text of the error: "expected …" */
};

/*
 * Make a context show the first certificate of cert, with those behind it as
 * its chain, and use the first private key of key; both may be the same
 * bytes, and blocks of other kinds are passed over.  Returns 0, or ERR_FORMAT
 * with a text "PATH:LINE: expected …", without LINE when there is no such
 * block at all, and *where taken apart.
 */
int tls_pem_use(SSL_CTX *ctx, struct tls_pem cert, struct tls_pem key,
    struct tls_pem_where *where, struct err *e) MUST_USE;

/*
 * The time from which on the first certificate is no longer good, as text in
 * GMT ("Nov 27 06:00:00 2026 GMT"), if that time has come.  False: it is good
 * still, or there is no certificate.
 */
bool tls_pem_expired(struct slice cert, char *out, size_t n) MUST_USE;

/* For OpenSSL, which would ask on the terminal, and wait: there is none. */
int tls_pem_no_passphrase(char *buf, int size, int rwflag, void *arg);

#endif
