/* net: TLS from bytes, and the relay between it and a plain stream. */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/mem.h"
#include "server/net/relay.h"
#include "server/net/tls.h"

/* A key and a certificate for a name, both PEM, in one buf. */
static void
make_pem_until(struct buf *out, const char *name, long seconds)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
	(void)X509_set_pubkey(cert, key);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)name, -1, -1, 0);
	(void)X509_set_issuer_name(cert, subject);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(
	    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	n = BIO_get_mem_data(bio, &text);
	buf_init(out, 64 * 1024);
	buf_put(out, slice_of(text, (size_t)n));
	(void)BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
make_pem(struct buf *out, const char *name)
{
	make_pem_until(out, name, 3600);
}

static struct tls_pem_where where; /* of the last one */

static int
add_pem(struct tls_config *c, const char *name, struct slice cert,
    struct slice key, struct err *e)
{
	return tls_config_add(c, name, (struct tls_pem){ "cert.pem", cert },
	    (struct tls_pem){ "key.pem", key }, &where, e);
}

/* The text of an error, put together of what where says. */
static void
check_where(const struct err *e)
{
	char at[100] = "";

	if (where.path == NULL) {
		assert_int_equal(where.line, 0);
		assert_int_equal(where.expected, 0);
		return;
	}
	(void)snprintf(at, sizeof(at),
	    where.line != 0 ? "%s:%u: " : "%s: ", where.path, where.line);
	assert_int_equal(where.expected, strlen(at));
	assert_int_equal(strncmp(e->text, at, strlen(at)), 0);
	assert_int_equal(strncmp(e->text + where.expected, "expected ", 9), 0);
}

static void
add(struct tls_config *c, const char *name, const char *subject)
{
	struct buf pem;
	struct err e;

	make_pem(&pem, subject);
	assert_int_equal(
	    add_pem(c, name, buf_slice(&pem), buf_slice(&pem), &e), 0);
	buf_fini(&pem);
}

static struct tls_config *
make_config(void)
{
	const struct tls_options opt = {
		.min_version = TLS1_2_VERSION, .ciphers = "", .alpn = "imap"
	};
	struct tls_config *c = tls_config_new(&opt);
	struct err e;

	assert_false(tls_config_usable(c));
	add(c, "", "default");
	add(c, "mail.example.org", "named");
	assert_true(tls_config_usable(c));
	assert_int_equal(tls_config_warm(c, &e), 0);
	return c;
}

/* --- a client in the same thread ----------------------------------------- */

struct pair {
	SSL_CTX *ctx;
	SSL *client, *server;
	int client_fd, server_fd;
};

static void
pair_open(struct pair *p, struct tls_config *c, const char *sni, int max)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p->client_fd = fds[0];
	p->server_fd = fds[1];
	p->ctx = SSL_CTX_new(TLS_client_method());
	(void)SSL_CTX_set_max_proto_version(p->ctx, max);
	p->client = SSL_new(p->ctx);
	if (sni != NULL) {
		/* OpenSSL's macro casts the const away. */
		char *name = mem_strdup(sni);

		(void)SSL_set_tlsext_host_name(p->client, name);
		free(name);
	}
	(void)SSL_set_fd(p->client, p->client_fd);
	SSL_set_connect_state(p->client);
	p->server = tls_accept(c, p->server_fd, "::1");
	assert_non_null(p->server);
}

static bool
pair_handshake(struct pair *p)
{
	enum tls_io io = TLS_WANT_READ;

	for (int i = 0; i < 20 && io != TLS_ERROR; i++) {
		(void)SSL_do_handshake(p->client);
		io = tls_handshake(p->server);
		if (io == TLS_DONE && SSL_is_init_finished(p->client))
			return true;
	}
	return false;
}

static void
pair_close(struct pair *p)
{
	SSL_free(p->client);
	SSL_CTX_free(p->ctx);
	tls_free(&p->server);
	(void)close(p->client_fd);
	(void)close(p->server_fd);
}

static void
subject_of_peer(const struct pair *p, char *out, int n)
{
	X509 *cert = SSL_get1_peer_certificate(p->client);

	assert_non_null(cert);
	(void)X509_NAME_get_text_by_NID(
	    X509_get_subject_name(cert), NID_commonName, out, n);
	X509_free(cert);
}

static void
certificate_by_name(void **state)
{
	struct tls_config *c = make_config();
	struct pair p;
	char name[64];

	(void)state;
	pair_open(&p, c, "mail.example.org", TLS1_3_VERSION);
	assert_true(pair_handshake(&p));
	subject_of_peer(&p, name, sizeof(name));
	assert_string_equal(name, "named");
	pair_close(&p);
	pair_open(&p, c, "other.example.org", TLS1_2_VERSION);
	/* A reload gives the configuration up: the connection goes on. */
	tls_config_free(&c);
	assert_true(pair_handshake(&p));
	subject_of_peer(&p, name, sizeof(name));
	assert_string_equal(name, "default");
	pair_close(&p);
}

static void
old_versions_are_refused(void **state)
{
	struct tls_config *c = make_config();
	struct pair p;

	(void)state;
	pair_open(&p, c, NULL, TLS1_1_VERSION);
	assert_false(pair_handshake(&p));
	pair_close(&p);
	tls_config_free(&c);
}

static struct tls_config *
empty_config(void)
{
	const struct tls_options opt = {
		.min_version = TLS1_2_VERSION, .ciphers = "", .alpn = ""
	};

	return tls_config_new(&opt);
}

/* Text from what on, or before it. */
static struct slice
from(struct slice s, const char *what)
{
	const uint8_t *p = memmem(s.p, s.n, what, strlen(what));

	assert_non_null(p);
	return slice_skip(s, (size_t)(p - s.p));
}

static struct slice
before(struct slice s, const char *what)
{
	return slice_first(s, s.n - from(s, what).n);
}

/* What is wrong is said with the file, and the line of the block. */
static void
bad_certificate_is_told(void **state)
{
	struct tls_config *c = empty_config();
	struct buf one, other, bad;
	struct slice pem, cert, key;
	struct err e;

	(void)state;
	make_pem(&one, "one");
	make_pem(&other, "other");
	pem = buf_slice(&one);
	cert = from(pem, "-----BEGIN CERT");
	key = before(pem, "-----BEGIN CERT");
	buf_init(&bad, 64 * 1024);
	for (int broken = 0; broken < 9; broken++) {
		static const char *const said[] = {
			"cert.pem: expected a certificate, "
			"-----BEGIN CERTIFICATE-----",
			"cert.pem: expected a certificate, "
			"-----BEGIN CERTIFICATE-----",
			"key.pem: expected a private key, "
			"-----BEGIN PRIVATE KEY-----",
			"cert.pem:3: expected a certificate: ",
			"cert.pem:1: expected a certificate: ",
			"key.pem:2: expected a private key: ",
			"key.pem:1: expected a private key without a "
			"passphrase",
			"key.pem:1: expected the key of the certificate in "
			"cert.pem:1: key values mismatch",
			"cert.pem:", /* of the chain */
		};
		struct slice use_cert = cert, use_key = key;

		buf_reset(&bad);
		switch (broken) {
		case 0:
			use_cert = SLICE("no PEM");
			break;
		case 1:
			use_cert = key;
			break;
		case 2:
			use_key = SLICE("");
			break;
		case 3: /* not base64 */
			buf_puts(&bad,
			    "# mine\n\n-----BEGIN CERTIFICATE-----\n"
			    "***\n-----END CERTIFICATE-----\n");
			use_cert = buf_slice(&bad);
			break;
		case 4: /* cut off */
			use_cert = slice_first(cert, cert.n / 2);
			break;
		case 5: /* base64 of no key */
			buf_puts(&bad,
			    "\n-----BEGIN PRIVATE KEY-----\nAAAA\n"
			    "-----END PRIVATE KEY-----");
			use_key = buf_slice(&bad);
			break;
		case 6:
			buf_puts(&bad,
			    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
			    "-----END ENCRYPTED PRIVATE KEY-----\n");
			use_key = buf_slice(&bad);
			break;
		case 7:
			use_key = before(buf_slice(&other), "-----BEGIN CERT");
			break;
		case 8:
			buf_put(&bad, cert);
			buf_puts(&bad,
			    "-----BEGIN CERTIFICATE-----\nAAAA\n"
			    "-----END CERTIFICATE-----\n");
			use_cert = buf_slice(&bad);
			break;
		}
		assert_int_equal(
		    add_pem(c, "", use_cert, use_key, &e), ERR_FORMAT);
		if (strncmp(e.text, said[broken], strlen(said[broken])) != 0)
			fail_msg("'%s', not '%s'", e.text, said[broken]);
		check_where(&e);
	}
	assert_false(tls_config_usable(c));
	/* Blocks of other kinds, and a last line without an end. */
	buf_reset(&bad);
	buf_puts(&bad,
	    "text\r\n-----BEGIN DH PARAMETERS-----\nAAAA\n"
	    "-----END DH PARAMETERS-----\n");
	buf_put(&bad, slice_trim(pem));
	assert_int_equal(
	    add_pem(c, "", buf_slice(&bad), buf_slice(&bad), &e), 0);
	assert_true(tls_config_usable(c));
	buf_fini(&one);
	buf_fini(&other);
	buf_fini(&bad);
	tls_config_free(&c);
}

static void
bad_ciphers_are_told(void **state)
{
	const struct tls_options opt = {
		.min_version = TLS1_2_VERSION, .ciphers = "NONSENSE", .alpn = ""
	};
	struct tls_config *c = tls_config_new(&opt);
	struct buf pem;
	struct err e;

	(void)state;
	make_pem(&pem, "one");
	assert_int_equal(
	    add_pem(c, "", buf_slice(&pem), buf_slice(&pem), &e), ERR_FORMAT);
	assert_non_null(strstr(e.text, "TLS_CIPHER_LIST: expected a list"));
	assert_null(where.path);
	check_where(&e);
	buf_fini(&pem);
	tls_config_free(&c);
}

static void
expired_certificates_are_seen(void **state)
{
	char until[64];
	struct buf pem;

	(void)state;
	make_pem(&pem, "one");
	assert_false(tls_pem_expired(buf_slice(&pem), until, sizeof(until)));
	assert_false(tls_pem_expired(SLICE("no PEM"), until, sizeof(until)));
	buf_fini(&pem);
	make_pem_until(&pem, "old", -60);
	assert_true(tls_pem_expired(buf_slice(&pem), until, sizeof(until)));
	assert_non_null(strstr(until, " GMT"));
	buf_fini(&pem);
}

/* For a name whose file can't be used now; the old configuration may end. */
static void
a_certificate_of_before_is_kept(void **state)
{
	struct tls_config *old = make_config(), *c = empty_config();
	char name[64];
	struct pair p;

	(void)state;
	assert_true(tls_config_keep(c, old, "mail.example.org"));
	assert_false(tls_config_keep(c, old, "other.example.org"));
	assert_false(tls_config_usable(c));
	assert_true(tls_config_keep(c, old, ""));
	assert_true(tls_config_usable(c));
	tls_config_free(&old);
	pair_open(&p, c, "mail.example.org", TLS1_3_VERSION);
	assert_true(pair_handshake(&p));
	subject_of_peer(&p, name, sizeof(name));
	assert_string_equal(name, "named");
	pair_close(&p);
	pair_open(&p, c, NULL, TLS1_2_VERSION);
	assert_true(pair_handshake(&p));
	subject_of_peer(&p, name, sizeof(name));
	assert_string_equal(name, "default");
	pair_close(&p);
	tls_config_free(&c);
}

static void
both_ends_bind_alike(void **state)
{
	uint8_t ours[TLS_BINDING_MAX], theirs[32], digest[EVP_MAX_MD_SIZE];
	struct tls_config *c = make_config();
	unsigned n = 0;
	struct pair p;
	X509 *cert;

	(void)state;
	pair_open(&p, c, NULL, TLS1_3_VERSION);
	assert_true(pair_handshake(&p));
	assert_int_equal(tls_binding_exporter(p.server, ours), 32);
	assert_int_equal(SSL_export_keying_material(p.client, theirs, 32,
			     "EXPORTER-Channel-Binding", 24, NULL, 0, 0),
	    1);
	assert_memory_equal(ours, theirs, 32);
	assert_int_equal(tls_binding_end_point(p.server, ours), 32);
	cert = SSL_get1_peer_certificate(p.client);
	assert_int_equal(X509_digest(cert, EVP_sha256(), digest, &n), 1);
	assert_memory_equal(ours, digest, 32);
	X509_free(cert);
	pair_close(&p);
	tls_config_free(&c);
}

/* --- the relay ----------------------------------------------------------- */

enum { BULK = 3 * 1024 * 1024 };

struct relayed {
	struct event_base *base;
	bool ended;
};

static void
on_relay_end(void *arg)
{
	struct relayed *r = arg;

	r->ended = true;
}

static void
turn(struct relayed *r)
{
	(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
}

/* The worker's side writes much; the client reads slowly; all of it comes,
 * and what waits in between stays bounded. */
static void
relay_keeps_order_and_bounds(void **state)
{
	struct relayed r = { .base = event_base_new() };
	struct tls_config *c = make_config();
	uint8_t *data = mem_alloc(BULK), piece[4096];
	size_t sent = 0, got = 0, n = 0, most = 0;
	struct relay *relay;
	struct pair p;
	int plain[2];

	(void)state;
	for (size_t i = 0; i < BULK; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, plain), 0);
	pair_open(&p, c, NULL, TLS1_3_VERSION);
	assert_true(pair_handshake(&p));
	relay = relay_new(
	    r.base, p.server, p.server_fd, plain[0], 60000, on_relay_end, &r);
	while (got < BULK) {
		ssize_t w =
		    sent < BULK ? write(plain[1], data + sent, BULK - sent) : 0;

		if (w > 0)
			sent += (size_t)w;
		if (sent - got > most)
			most = sent - got;
		turn(&r);
		if (SSL_read_ex(p.client, piece, sizeof(piece), &n) == 1) {
			assert_memory_equal(piece, data + got, n);
			got += n;
		}
	}
	/* Socket buffers of two pairs and the relay's own marks. */
	assert_true(most < 2 * 1024 * 1024);
	/* And the other way, then the worker's end. */
	assert_int_equal(SSL_write(p.client, "A1 NOOP\r\n", 9), 9);
	while (read(plain[1], piece, sizeof(piece)) != 9)
		turn(&r);
	assert_memory_equal(piece, "A1 NOOP\r\n", 9);
	assert_int_equal(write(plain[1], "* BYE\r\n", 7), 7);
	(void)close(plain[1]);
	while (!r.ended)
		turn(&r);
	assert_int_equal(SSL_read(p.client, piece, sizeof(piece)), 7);
	assert_int_equal(SSL_read(p.client, piece, sizeof(piece)), 0);
	relay_free(&relay);
	pair_close(&p);
	(void)close(plain[0]);
	tls_config_free(&c);
	event_base_free(r.base);
	free(data);
}

/* A client that says goodbye by TLS: the worker sees the end of the stream,
 * after everything that was sent before. */
static void
relay_passes_the_end_on(void **state)
{
	struct relayed r = { .base = event_base_new() };
	struct tls_config *c = make_config();
	struct relay *relay;
	struct pair p;
	int plain[2];
	char piece[64];
	ssize_t n;

	(void)state;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, plain), 0);
	pair_open(&p, c, NULL, TLS1_3_VERSION);
	assert_true(pair_handshake(&p));
	relay = relay_new(
	    r.base, p.server, p.server_fd, plain[0], 60000, on_relay_end, &r);
	assert_int_equal(SSL_write(p.client, "QUIT\r\n", 6), 6);
	(void)SSL_shutdown(p.client);
	while ((n = read(plain[1], piece, sizeof(piece))) < 0)
		turn(&r);
	assert_int_equal(n, 6);
	while ((n = read(plain[1], piece, sizeof(piece))) < 0)
		turn(&r);
	assert_int_equal(n, 0);
	(void)close(plain[1]);
	while (!r.ended)
		turn(&r);
	relay_free(&relay);
	pair_close(&p);
	(void)close(plain[0]);
	tls_config_free(&c);
	event_base_free(r.base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificate_by_name),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(bad_certificate_is_told),
		cmocka_unit_test(bad_ciphers_are_told),
		cmocka_unit_test(expired_certificates_are_seen),
		cmocka_unit_test(a_certificate_of_before_is_kept),
		cmocka_unit_test(both_ends_bind_alike),
		cmocka_unit_test(relay_keeps_order_and_bounds),
		cmocka_unit_test(relay_passes_the_end_on),
	};

	return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
