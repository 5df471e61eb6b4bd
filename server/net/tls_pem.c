#include "server/net/tls_pem.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* "-----BEGIN label-----" at line, to its end, or to where the next begins. */
struct block {
	struct slice label, text;
	unsigned line;
};

struct blocks {
	struct slice rest;
	const uint8_t *end;
	unsigned line; /* of the first of rest, from 0 on */
};

static struct blocks
blocks_of(struct slice pem)
{
	return (struct blocks){ pem, pem.p + pem.n, 0 };
}

static bool
next_line(struct blocks *b, struct slice *line)
{
	if (b->rest.n == 0 || !slice_split(&b->rest, '\n', line))
		return false;
	*line = slice_trim(*line);
	b->line++;
	return true;
}

static bool
next_block(struct blocks *b, struct block *out)
{
	const struct slice begin = SLICE("-----BEGIN ");
	const struct slice end = SLICE("-----END ");
	const struct slice dashes = SLICE("-----");
	struct slice line, before;
	const uint8_t *from;

	do {
		if (!next_line(b, &line))
			return false;
	} while (!slice_starts(line, begin) || !slice_ends(line, dashes) ||
	    line.n < begin.n + dashes.n);
	from = line.p;
	out->line = b->line;
	out->label =
	    slice_first(slice_skip(line, begin.n), line.n - begin.n - dashes.n);
	for (;;) {
		const unsigned at = b->line;

		before = b->rest;
		if (!next_line(b, &line))
			break;
		if (slice_starts(line, begin)) { /* has no end */
			b->rest = before;
			b->line = at;
			break;
		}
		if (slice_starts(line, end))
			break;
	}
	out->text = slice_of(
	    from, (size_t)((b->rest.n != 0 ? b->rest.p : b->end) - from));
	return true;
}

/* The next block whose label ends so. */
static bool
next_of(struct blocks *b, struct slice kind, struct block *out)
{
	while (next_block(b, out))
		if (slice_ends(out->label, kind))
			return true;
	return false;
}

/* What is said, and where it is. */
struct reject {
	struct tls_pem_where *where;
	struct err *e;
};

static int
reject(struct reject r, const char *path, unsigned line, const char *expected)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());
	char at[120];
	int n;

	ERR_clear_error();
	n = line == 0 ? snprintf(at, sizeof(at), "%.100s: ", path)
		      : snprintf(at, sizeof(at), "%.100s:%u: ", path, line);
	if (line == 0)
		why = NULL;
	*r.where = (struct tls_pem_where){ path, line, (size_t)n };
	return err_set(r.e, ERR_FORMAT, "%sexpected %s%s%s", at, expected,
	    why != NULL ? ": " : "", why != NULL ? why : "");
}

int
tls_pem_no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return 0;
}

static X509 *
read_certificate(const struct block *b)
{
	BIO *bio = BIO_new_mem_buf(b->text.p, (int)b->text.n);
	X509 *cert =
	    PEM_read_bio_X509_AUX(bio, NULL, tls_pem_no_passphrase, NULL);

	(void)BIO_free(bio);
	return cert;
}

/* *line: of the first certificate. */
static int
use_chain(SSL_CTX *ctx, struct tls_pem pem, unsigned *line, struct reject r)
{
	struct blocks blocks = blocks_of(pem.bytes);
	struct block b;
	bool ok = true;

	*line = 0;
	while (ok && next_of(&blocks, SLICE("CERTIFICATE"), &b)) {
		X509 *cert = read_certificate(&b);

		ok = cert != NULL &&
		    (*line == 0 ? SSL_CTX_use_certificate(ctx, cert)
				: SSL_CTX_add1_chain_cert(ctx, cert)) == 1;
		X509_free(cert);
		if (*line == 0)
			*line = b.line;
	}
	if (!ok)
		return reject(r, pem.path, b.line, "a certificate");
	if (*line == 0)
		return reject(r, pem.path, 0,
		    "a certificate, -----BEGIN CERTIFICATE-----");
	return 0;
}

static EVP_PKEY *
read_key(const struct block *b)
{
	BIO *bio = BIO_new_mem_buf(b->text.p, (int)b->text.n);
	EVP_PKEY *key =
	    PEM_read_bio_PrivateKey(bio, NULL, tls_pem_no_passphrase, NULL);

	(void)BIO_free(bio);
	return key;
}

static int
use_key(SSL_CTX *ctx, struct tls_pem pem, const char *of, struct reject no)
{
	struct blocks blocks = blocks_of(pem.bytes);
	struct block b;
	EVP_PKEY *key;
	int r = 0;

	if (!next_of(&blocks, SLICE("PRIVATE KEY"), &b))
		return reject(no, pem.path, 0,
		    "a private key, -----BEGIN PRIVATE KEY-----");
	if (slice_contains(b.text, SLICE("ENCRYPTED")))
		return reject(
		    no, pem.path, b.line, "a private key without a passphrase");
	if ((key = read_key(&b)) == NULL)
		return reject(no, pem.path, b.line, "a private key");
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1)
		r = reject(no, pem.path, b.line, of);
	EVP_PKEY_free(key);
	return r;
}

int
tls_pem_use(SSL_CTX *ctx, struct tls_pem cert, struct tls_pem key,
    struct tls_pem_where *where, struct err *e)
{
	const struct reject no = { where, e };
	char of[140];
	unsigned line;
	int r;

	ERR_clear_error();
	if ((r = use_chain(ctx, cert, &line, no)) != 0)
		return r;
	(void)snprintf(of, sizeof(of), "the key of the certificate in %.80s:%u",
	    cert.path, line);
	return use_key(ctx, key, of, no);
}

bool
tls_pem_expired(struct slice pem, char *out, size_t n)
{
	struct blocks blocks = blocks_of(pem);
	const ASN1_TIME *until;
	BIO *bio = NULL;
	struct block b;
	X509 *cert = NULL;
	bool expired = false;

	if (!next_of(&blocks, SLICE("CERTIFICATE"), &b) ||
	    (cert = read_certificate(&b)) == NULL)
		return false;
	until = X509_get0_notAfter(cert);
	if (X509_cmp_current_time(until) < 0 &&
	    (bio = BIO_new(BIO_s_mem())) != NULL &&
	    ASN1_TIME_print(bio, until) == 1) {
		int got = BIO_read(bio, out, (int)n - 1);

		out[got > 0 ? got : 0] = '\0';
		expired = true;
	}
	(void)BIO_free(bio);
	X509_free(cert);
	return expired;
}
