#include "server/net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/mem.h"

enum { NAMED_MAX = 1024, ALPN_MAX = 64 };

struct named {
	char *name;
	SSL_CTX *ctx;
};

struct tls_config {
	struct tls_options opt;
	unsigned char alpn[ALPN_MAX]; /* length, then the name */
	char *ciphers;
	unsigned refs; /* the owner's, and one for each connection */
	SSL_CTX *ctx;  /* the default; NULL without a certificate */
	struct named *named;
	size_t n_named;
	X509_STORE *trusted; /* authorities of clients */
	STACK_OF(X509_NAME) * authorities;
};

const char *
tls_reason(char *out, size_t n)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);

	(void)snprintf(
	    out, n, "%s", reason != NULL ? reason : "connection broken");
	ERR_clear_error();
	return out;
}

/* --- contexts ------------------------------------------------------------ */

/*
 * RFC 7301: the client offered names and ours is not among them: RFC 7301 3.2
 * wants the handshake ended, which is right where a port might be confused
 * with another protocol's.
 */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *arg)
{
	const struct tls_config *c = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_n, c->alpn,
		(unsigned)c->alpn[0] + 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
named_context(const struct tls_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_named; i++)
		if (slice_ieq(slice_str(c->named[i].name), slice_str(name)))
			return c->named[i].ctx;
	return NULL;
}

/* RFC 6066 3: another certificate for the name that the client asks for. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	SSL_CTX *ctx;

	(void)alert;
	if (name != NULL && (ctx = named_context(arg, name)) != NULL)
		(void)SSL_set_SSL_CTX(ssl, ctx);
	return SSL_TLSEXT_ERR_OK;
}

/*
 * Clients' certificates.  A ticket would let somebody in again whose
 * authority is trusted no more: there are none then.
 */
static void
set_verify(struct tls_config *c, SSL_CTX *ctx)
{
	int mode = SSL_VERIFY_PEER;

	if (c->opt.verify == TLS_VERIFY_NONE)
		return;
	if (c->opt.verify == TLS_VERIFY_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set1_cert_store(ctx, c->trusted);
	/* Shared with us; the list is copied. */
	SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(c->authorities));
}

static SSL_CTX *
context_new(struct tls_config *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	static const unsigned char id[] = "postern";

	if (ctx == NULL)
		return NULL;
	(void)SSL_CTX_set_min_proto_version(ctx, c->opt.min_version);
	/* The old versions sign with SHA-1, which other levels refuse. */
	if (c->opt.min_version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(ctx, 0);
	/* What was decrypted may have been a password: OpenSSL wipes it when it
	 * has been read. */
	(void)SSL_CTX_set_options(ctx,
	    SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION |
		SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	set_verify(c, ctx);
	if (c->opt.ciphers[0] != '\0' &&
	    SSL_CTX_set_cipher_list(ctx, c->opt.ciphers) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (c->alpn[0] != 0)
		SSL_CTX_set_alpn_select_cb(ctx, on_alpn, c);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, c);
	return ctx;
}

static BIO *
bio_of(struct slice s)
{
	return BIO_new_mem_buf(s.p, (int)s.n);
}

static int
compare_names(const X509_NAME *const *a, const X509_NAME *const *b)
{
	return X509_NAME_cmp(*a, *b);
}

struct tls_config *
tls_config_new(const struct tls_options *opt)
{
	struct tls_config *c = MEM_NEW(struct tls_config);
	size_t n = strlen(opt->alpn);

	c->refs = 1;
	c->opt = *opt;
	c->ciphers = mem_strdup(opt->ciphers);
	c->opt.ciphers = c->ciphers;
	c->opt.alpn = NULL;
	if (n < ALPN_MAX) {
		c->alpn[0] = (unsigned char)n;
		memcpy(c->alpn + 1, opt->alpn, n);
	}
	c->trusted = X509_STORE_new();
	c->authorities = sk_X509_NAME_new(compare_names);
	assert(c->trusted != NULL && c->authorities != NULL);
	return c;
}

static void
config_unref(struct tls_config *c)
{
	if (--c->refs > 0)
		return;
	SSL_CTX_free(c->ctx);
	for (size_t i = 0; i < c->n_named; i++) {
		SSL_CTX_free(c->named[i].ctx);
		free(c->named[i].name);
	}
	X509_STORE_free(c->trusted);
	sk_X509_NAME_pop_free(c->authorities, X509_NAME_free);
	free(c->named);
	free(c->ciphers);
	free(c);
}

void
tls_config_free(struct tls_config **cc)
{
	if (*cc != NULL)
		config_unref(*cc);
	*cc = NULL;
}

/* Takes the context. */
static int
put_context(struct tls_config *c, const char *name, SSL_CTX *ctx, struct err *e)
{
	if (*name == '\0') {
		SSL_CTX_free(c->ctx);
		c->ctx = ctx;
		return 0;
	}
	if (c->n_named >= NAMED_MAX) {
		SSL_CTX_free(ctx);
		return err_set(
		    e, ERR_LIMIT, "more than %d certificates", NAMED_MAX);
	}
	c->named = mem_realloc(c->named, c->n_named + 1, sizeof(c->named[0]));
	c->named[c->n_named++] = (struct named){ mem_strdup(name), ctx };
	return 0;
}

int
tls_config_add(struct tls_config *c, const char *name, struct tls_pem cert,
    struct tls_pem key, struct tls_pem_where *where, struct err *e)
{
	SSL_CTX *ctx = context_new(c);
	char why[120];
	int r;

	*where = (struct tls_pem_where){ .path = NULL };
	if (ctx == NULL)
		return err_set(e, ERR_FORMAT,
		    "TLS_CIPHER_LIST: expected a list of ciphers of OpenSSL: "
		    "%s",
		    tls_reason(why, sizeof(why)));
	if ((r = tls_pem_use(ctx, cert, key, where, e)) != 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	return put_context(c, name, ctx, e);
}

bool
tls_config_keep(
    struct tls_config *c, const struct tls_config *from, const char *name)
{
	SSL_CTX *old = *name == '\0' ? from->ctx : named_context(from, name);
	STACK_OF(X509) *chain = NULL;
	SSL_CTX *ctx;

	if (old == NULL || (ctx = context_new(c)) == NULL)
		return false;
	(void)SSL_CTX_get0_chain_certs(old, &chain);
	if (SSL_CTX_use_certificate(ctx, SSL_CTX_get0_certificate(old)) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, SSL_CTX_get0_privatekey(old)) != 1 ||
	    (chain != NULL && SSL_CTX_set1_chain(ctx, chain) != 1)) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		return false;
	}
	return put_context(c, name, ctx, NULL) == 0;
}

unsigned
tls_config_trust(struct tls_config *c, struct slice pem)
{
	BIO *bio = bio_of(pem);
	unsigned n = 0;
	X509 *cert;

	while (bio != NULL &&
	    (cert = PEM_read_bio_X509(
		 bio, NULL, tls_pem_no_passphrase, NULL)) != NULL) {
		X509_NAME *name = X509_get_subject_name(cert);

		if (X509_STORE_add_cert(c->trusted, cert) == 1) {
			n++;
			/* Twice, as a directory has it by name and by hash. */
			if (sk_X509_NAME_find(c->authorities, name) < 0)
				(void)sk_X509_NAME_push(
				    c->authorities, X509_NAME_dup(name));
		}
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error(); /* the end of the bytes is one */
	return n;
}

void
tls_config_ticket_keys(struct tls_config *c, struct slice keys)
{
	unsigned char copy[TLS_TICKET_KEYS_SIZE];

	if (keys.n != sizeof(copy))
		return;
	memcpy(copy, keys.p, sizeof(copy));
	if (c->ctx != NULL)
		(void)SSL_CTX_set_tlsext_ticket_keys(
		    c->ctx, copy, sizeof(copy));
	for (size_t i = 0; i < c->n_named; i++)
		(void)SSL_CTX_set_tlsext_ticket_keys(
		    c->named[i].ctx, copy, sizeof(copy));
	explicit_bzero(copy, sizeof(copy));
}

bool
tls_config_usable(const struct tls_config *c)
{
	return c != NULL && c->ctx != NULL;
}

int
tls_config_warm(struct tls_config *c, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *client = ctx != NULL ? SSL_new(ctx) : NULL;
	SSL *server = SSL_new(c->ctx);
	BIO *a = NULL, *b = NULL;
	bool ok = client != NULL && server != NULL &&
	    BIO_new_bio_pair(&a, 0, &b, 0) == 1;
	char why[160];

	if (ok) {
		SSL_set_bio(client, a, a);
		SSL_set_bio(server, b, b);
		SSL_set_connect_state(client);
		SSL_set_accept_state(server);
		/* This client has no certificate. */
		SSL_set_verify(server, SSL_VERIFY_NONE, NULL);
		for (int i = 0; i < 10; i++) {
			(void)SSL_do_handshake(client);
			(void)SSL_do_handshake(server);
		}
		ok = SSL_is_init_finished(server) == 1;
	}
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	if (!ok)
		return err_set(e, ERR_SYS, "trial handshake: %s",
		    tls_reason(why, sizeof(why)));
	ERR_clear_error();
	return 0;
}

/* --- connections --------------------------------------------------------- */

SSL *
tls_accept(struct tls_config *c, int fd, const char *local_addr)
{
	SSL_CTX *ctx = named_context(c, local_addr);
	SSL *ssl = SSL_new(ctx != NULL ? ctx : c->ctx);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	c->refs++;
	(void)SSL_set_app_data(ssl, c);
	SSL_set_accept_state(ssl);
	return ssl;
}

void
tls_free(SSL **ssl)
{
	struct tls_config *c;

	if (*ssl == NULL)
		return;
	c = SSL_get_app_data(*ssl);
	SSL_free(*ssl);
	*ssl = NULL;
	config_unref(c);
}

static enum tls_io
outcome(SSL *ssl, int r)
{
	switch (SSL_get_error(ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		return TLS_ERROR;
	}
}

enum tls_io
tls_handshake(SSL *ssl)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(ssl);
	return r == 1 ? TLS_DONE : outcome(ssl, r);
}

enum tls_io
tls_read(SSL *ssl, void *p, size_t len, size_t *n)
{
	int r;

	ERR_clear_error();
	r = SSL_read_ex(ssl, p, len, n);
	return r == 1 ? TLS_DONE : outcome(ssl, r);
}

enum tls_io
tls_write(SSL *ssl, struct slice s, size_t *n)
{
	int r;

	ERR_clear_error();
	r = SSL_write_ex(ssl, s.p, s.n, n);
	return r == 1 ? TLS_DONE : outcome(ssl, r);
}

void
tls_shutdown(SSL *ssl)
{
	if (SSL_is_init_finished(ssl) == 1)
		(void)SSL_shutdown(ssl);
	ERR_clear_error();
}

const char *
tls_facts(const SSL *ssl, char *out, size_t n)
{
	(void)snprintf(out, n, "%s %s", SSL_get_version(ssl),
	    SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)));
	return out;
}

size_t
tls_binding_exporter(SSL *ssl, uint8_t out[TLS_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";
	enum { EXPORTER_SIZE = 32 };

	if (SSL_version(ssl) < TLS1_3_VERSION &&
	    SSL_get_extms_support(ssl) != 1)
		return 0;
	return SSL_export_keying_material(ssl, out, EXPORTER_SIZE, label,
		   sizeof(label) - 1, NULL, 0, 0) == 1
	    ? EXPORTER_SIZE
	    : 0;
}

size_t
tls_binding_end_point(SSL *ssl, uint8_t out[TLS_BINDING_MAX])
{
	X509 *cert = SSL_get_certificate(ssl);
	unsigned char digest[EVP_MAX_MD_SIZE];
	int md_nid = NID_undef;
	const EVP_MD *md;
	unsigned n = 0;

	if (cert == NULL ||
	    OBJ_find_sigid_algs(X509_get_signature_nid(cert), &md_nid, NULL) !=
		1)
		return 0;
	/* RFC 5929 4.1: MD5 and SHA-1 are replaced by SHA-256. */
	if (md_nid == NID_md5 || md_nid == NID_sha1)
		md_nid = NID_sha256;
	md = EVP_get_digestbynid(md_nid);
	if (md == NULL || X509_digest(cert, md, digest, &n) != 1 ||
	    n > TLS_BINDING_MAX)
		return 0;
	memcpy(out, digest, n);
	return n;
}

/* --- certificates of clients --------------------------------------------- */

static bool
is_field(const X509_NAME_ENTRY *e, const char *field)
{
	const ASN1_OBJECT *o = X509_NAME_ENTRY_get_object(e);
	struct slice want = slice_str(field);
	int nid = OBJ_obj2nid(o);
	char oid[80];

	if (nid != NID_undef &&
	    (slice_ieq(slice_str(OBJ_nid2sn(nid)), want) ||
		slice_ieq(slice_str(OBJ_nid2ln(nid)), want)))
		return true;
	return OBJ_obj2txt(oid, sizeof(oid), o, 1) > 0 &&
	    slice_eq(slice_str(oid), want);
}

static bool
take_field(const X509_NAME_ENTRY *e, char *out, size_t n)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(e));
	bool good = len > 0 && (size_t)len < n;

	for (int i = 0; good && i < len; i++)
		good = text[i] >= ' ' && text[i] != 0x7f;
	if (good) {
		memcpy(out, text, (size_t)len);
		out[len] = '\0';
	}
	OPENSSL_free(text);
	return good;
}

bool
tls_peer_field(const SSL *ssl, const char *field, char *out, size_t n)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	X509_NAME *name;

	if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	name = X509_get_subject_name(cert);
	for (int i = 0; i < X509_NAME_entry_count(name); i++) {
		const X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);

		if (is_field(e, field))
			return take_field(e, out, n);
	}
	return false;
}
