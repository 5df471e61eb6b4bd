/*
 * The bytes of a certificate's file and of its key's, in one (no 0xff) or in
 * two: they are used, or a line of one of them is told at which a block
 * begins.
 */
#include <stdlib.h>
#include <string.h>

#include "server/net/tls_pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static struct slice
line_of(struct slice bytes, unsigned n)
{
	struct slice line = slice_of(NULL, 0);

	while (n-- != 0)
		check(slice_split(&bytes, '\n', &line));
	return slice_trim(line);
}

static void
check_refused(const struct tls_pem_where *where, const struct err *e,
    const struct tls_pem *cert, const struct tls_pem *key)
{
	const struct tls_pem *pem = where->path == cert->path ? cert : key;

	check(where->path == pem->path);
	check(strncmp(e->text, pem->path, strlen(pem->path)) == 0);
	check(strncmp(e->text + where->expected, "expected ", 9) == 0);
	if (where->line != 0)
		check(slice_starts(
		    line_of(pem->bytes, where->line), SLICE("-----BEGIN ")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_pem cert = { .path = "cert.pem" }, key = { .path = "key" };
	struct tls_pem_where where = { .path = NULL };
	struct slice rest = slice_of(data, size);
	struct err e = { .code = 0 };
	char until[64];
	SSL_CTX *ctx;
	int rc;

	if (size == 0 || size > 64 * 1024)
		return 0;
	(void)slice_split(&rest, 0xff, &cert.bytes);
	key.bytes = rest.p != NULL ? rest : cert.bytes;
	check((ctx = SSL_CTX_new(TLS_server_method())) != NULL);
	rc = tls_pem_use(ctx, cert, key, &where, &e);
	if (rc == 0)
		check(SSL_CTX_check_private_key(ctx) == 1);
	else
		check(rc == ERR_FORMAT);
	if (rc != 0)
		check_refused(&where, &e, &cert, &key);
	if (tls_pem_expired(cert.bytes, until, sizeof(until)))
		check(strlen(until) < sizeof(until));
	SSL_CTX_free(ctx);
	return 0;
}
