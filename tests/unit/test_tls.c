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
make_pem(struct buf *out, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
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
add(struct tls_config *c, const char *name, const char *subject)
{
	struct buf pem;
	struct err e;

	make_pem(&pem, subject);
	assert_int_equal(
	    tls_config_add(c, name, buf_slice(&pem), buf_slice(&pem), &e), 0);
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

static void
bad_certificate_is_told(void **state)
{
	const struct tls_options opt = {
		.min_version = TLS1_2_VERSION, .ciphers = "", .alpn = ""
	};
	struct tls_config *c = tls_config_new(&opt);
	struct buf one, other;
	struct err e;

	(void)state;
	make_pem(&one, "one");
	make_pem(&other, "other");
	assert_int_equal(
	    tls_config_add(c, "", SLICE("no PEM"), SLICE("no PEM"), &e),
	    ERR_FORMAT);
	assert_int_equal(
	    tls_config_add(c, "", buf_slice(&one), buf_slice(&other), &e),
	    ERR_FORMAT);
	assert_false(tls_config_usable(c));
	buf_fini(&one);
	buf_fini(&other);
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
		cmocka_unit_test(both_ends_bind_alike),
		cmocka_unit_test(relay_keeps_order_and_bounds),
		cmocka_unit_test(relay_passes_the_end_on),
	};

	return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
