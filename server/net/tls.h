/*
 * tls: OpenSSL contexts made from bytes, and TLS on a non-blocking socket.
 *
 * Layer:  server/net, uses base, OpenSSL.
 * Certificates, keys and ticket keys come as bytes, as the process that uses
 * them can open no file.  A configuration is reference counted: connections
 * begun with one keep it after a reload has made another.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"
#include "server/net/tls_pem.h"

enum { TLS_TICKET_KEYS_SIZE = 80 };

enum tls_verify {
	TLS_VERIFY_NONE,    /* no certificate is asked of clients */
	TLS_VERIFY_PEER,    /* asked; one that is shown must be good */
	TLS_VERIFY_REQUIRE, /* a good one must be shown */
};

struct tls_options {
	int min_version;     /* TLS1_2_VERSION … */
	const char *ciphers; /* OpenSSL's list for TLS 1.2; "": its default */
	const char *alpn;    /* "imap", "pop3"; "": none */
	enum tls_verify verify;
};

struct tls_config;

/* An empty configuration; certificates are added, then it is used. */
struct tls_config *tls_config_new(const struct tls_options *opt) MUST_USE;
/* Give up the caller's reference: connections that use it go on. */
void tls_config_free(struct tls_config **c);
/*
 * Add a certificate chain and its key (they may be the same bytes).  name: ""
 * for the default, else the server name or local address for which it is
 * shown.  Returns 0, or ERR_* with what was expected in which file, and
 * *where it stands (path NULL: in none of the two).
 */
int tls_config_add(struct tls_config *c, const char *name, struct tls_pem cert,
    struct tls_pem key, struct tls_pem_where *where, struct err *e) MUST_USE;
/*
 * Add what an older configuration shows for that name, as its file can't be
 * used now.  False: it has nothing for it.
 */
bool tls_config_keep(struct tls_config *c, const struct tls_config *from,
    const char *name) MUST_USE;
/*
 * Trust the authorities in these PEM bytes with certificates of clients; it
 * counts for what tls_config_add() adds later.  Returns their number.
 */
unsigned tls_config_trust(struct tls_config *c, struct slice pem);
/* Keys for session tickets, TLS_TICKET_KEYS_SIZE bytes. */
void tls_config_ticket_keys(struct tls_config *c, struct slice keys);
/* Whether there is a default certificate: TLS can be offered. */
bool tls_config_usable(const struct tls_config *c);
/* A handshake with itself in memory, so that nothing is loaded later. */
int tls_config_warm(struct tls_config *c, struct err *e) MUST_USE;

/* The server side of TLS on fd (which stays the caller's). */
SSL *tls_accept(struct tls_config *c, int fd, const char *local_addr) MUST_USE;

/* Release what tls_accept() gave. */
void tls_free(SSL **ssl);

enum tls_io { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_ERROR };

/* Go on with the handshake. */
enum tls_io tls_handshake(SSL *ssl);
/* Read or write some; *n is the count with TLS_DONE. */
enum tls_io tls_read(SSL *ssl, void *p, size_t len, size_t *n);
enum tls_io tls_write(SSL *ssl, struct slice s, size_t *n);
/* Say close_notify, as far as the socket takes it. */
void tls_shutdown(SSL *ssl);
/* OpenSSL's reason for the last TLS_ERROR, for the log; n >= 1. */
const char *tls_reason(char *out, size_t n);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" of a finished handshake. */
const char *tls_facts(const SSL *ssl, char *out, size_t n);

/*
 * The first value of a field ("emailAddress", "CN", "UID", …, in any case) of
 * the subject of the client's verified certificate, as UTF-8 text.  False: no
 * certificate, no such field, or one that doesn't fit or holds a control
 * character.
 */
bool tls_peer_field(
    const SSL *ssl, const char *field, char *out, size_t n) MUST_USE;

enum { TLS_BINDING_MAX = 64 };

/*
 * Channel bindings of a finished handshake, for SCRAM's -PLUS mechanisms.
 * Each returns the bytes written, 0 when there is none: tls-exporter
 * (RFC 9266) needs TLS 1.3 or an extended master secret;
 * tls-server-end-point (RFC 5929 4) is a hash of our certificate.
 */
size_t tls_binding_exporter(SSL *ssl, uint8_t out[TLS_BINDING_MAX]);
size_t tls_binding_end_point(SSL *ssl, uint8_t out[TLS_BINDING_MAX]);

#endif
