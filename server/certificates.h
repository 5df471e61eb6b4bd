/*
 * certificates: which files the configuration takes certificates, keys and
 * authorities from, and what it says about TLS.
 *
 * Layer:  server, uses server/conf, server/net.  Reads files; for the master
 *         and for posternd -t.  Login processes use the names only.
 *
 * A family is what shares certificates: 0 IMAP, 1 POP3.
 */
#ifndef SERVER_CERTIFICATES_H
#define SERVER_CERTIFICATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/conf/conf.h"
#include "server/net/tls.h"
#include "server/service.h"

enum {
	N_FAMILIES = 2,
	CERTIFICATE_PEM_MAX = 96 * 1024, /* one file; must fit into a packet */
};

/* What TLS_MATERIAL brings to a login process. */
enum tls_material {
	MATERIAL_CERT,
	MATERIAL_KEY,
	MATERIAL_TRUST,
	MATERIAL_TICKET_KEYS,
	MATERIAL_NO_CERT, /* bytes: why the file can't be read */
	MATERIAL_NO_KEY,
};

/* "IMAP", "POP3" */
const char *certificates_family(unsigned family);

/*
 * The file of the certificate, or of its key, that is shown for a name: ""
 * for the default, else a server name or local address.  The caller frees.
 */
char *certificates_path(
    const struct conf *c, unsigned family, const char *name, bool key);
/* TLS_TRUSTCERTS, or "" when no client is asked for a certificate. */
const char *certificates_trust(const struct conf *c, unsigned family);
/* STARTTLS is offered, or the service with TLS from the first byte is one
 * that START=YES starts. */
bool certificates_wanted(const struct conf *c, unsigned family);

/*
 * Whether TLS_CERTFILE.<name> is the certificate of that name: it is an address
 * or a host name, and doesn't end as the copies do that editors and package
 * managers leave (bak, old, dpkg-old, …).
 */
bool certificates_name_valid(const char *name) MUST_USE;

/* Called with the name and both paths. */
typedef void certificate_fn(void *arg, unsigned family, const char *name,
    const char *cert, const char *key);
/* TLS_CERTFILE, whether it is there or not, and each TLS_CERTFILE.<name>
 * beside it whose name is valid. */
void certificates_each(
    const struct conf *c, unsigned family, certificate_fn *fn, void *arg);

/* All of a file, a PEM one as a rule. */
int certificates_read(
    const char *path, struct buf *out, struct err *e) MUST_USE;

/* A number that changes when one of all these files does. */
uint64_t certificates_fingerprint(const struct conf *c);

/* The lowest version of TLS of a service. */
int certificates_min_version(const struct conf *c, enum service s);
/* What tls_config_new() wants; the strings are the configuration's. */
struct tls_options certificates_options(const struct conf *c, unsigned family);

#endif
