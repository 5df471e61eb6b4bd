#include "server/certificates.h"

#include <sys/stat.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "server/conf/conf_words.h"

static const struct {
	const char *name;
	enum service plain;
	enum conf_file ssl;
	enum conf_key cert, key, trust, verify, ciphers, alpn, starttls, start;
} families[N_FAMILIES] = {
	{ "IMAP", SERVICE_IMAPD, CONF_FILE_IMAPD_SSL,
	    CONF_IMAPD_SSL_TLS_CERTFILE, CONF_IMAPD_SSL_TLS_PRIVATE_KEYFILE,
	    CONF_IMAPD_SSL_TLS_TRUSTCERTS, CONF_IMAPD_SSL_TLS_VERIFYPEER,
	    CONF_IMAPD_SSL_TLS_CIPHER_LIST, CONF_IMAPD_SSL_TLS_ALPN,
	    CONF_IMAPD_SSL_IMAPDSTARTTLS, CONF_IMAPD_SSL_IMAPDSSLSTART },
	{ "POP3", SERVICE_POP3D, CONF_FILE_POP3D_SSL,
	    CONF_POP3D_SSL_TLS_CERTFILE, CONF_POP3D_SSL_TLS_PRIVATE_KEYFILE,
	    CONF_POP3D_SSL_TLS_TRUSTCERTS, CONF_POP3D_SSL_TLS_VERIFYPEER,
	    CONF_POP3D_SSL_TLS_CIPHER_LIST, CONF_POP3D_SSL_TLS_ALPN,
	    CONF_POP3D_SSL_POP3_STARTTLS, CONF_POP3D_SSL_POP3DSSLSTART },
};

const char *
certificates_family(unsigned family)
{
	return families[family].name;
}

char *
certificates_path(
    const struct conf *c, unsigned family, const char *name, bool key)
{
	const char *path = conf_str(c, families[family].cert);
	const char *other = conf_str(c, families[family].key);

	if (key && *other != '\0')
		path = other;
	return *name == '\0' ? mem_strdup(path)
			     : mem_printf("%s.%s", path, name);
}

const char *
certificates_trust(const struct conf *c, unsigned family)
{
	return conf_num(c, families[family].verify) == 0
	    ? ""
	    : conf_str(c, families[family].trust);
}

bool
certificates_wanted(const struct conf *c, unsigned family)
{
	return conf_service_bool(c, (enum conf_file)families[family].plain,
		   families[family].starttls) ||
	    conf_bool(c, families[family].start);
}

static void
call(const struct conf *c, unsigned family, const char *name,
    certificate_fn *fn, void *arg)
{
	char *cert = certificates_path(c, family, name, false);
	char *key = certificates_path(c, family, name, true);

	fn(arg, family, name, cert, key);
	free(cert);
	free(key);
}

/* --- names -------------------------------------------------------------- */

/* What editors and package managers leave beside a file. */
static bool
is_leftover(struct slice label)
{
	static const struct slice words[] = { SLICE_INIT("bak"),
		SLICE_INIT("old"), SLICE_INIT("orig"), SLICE_INIT("save"),
		SLICE_INIT("new"), SLICE_INIT("tmp"), SLICE_INIT("swp"),
		SLICE_INIT("rpmnew"), SLICE_INIT("rpmsave"),
		SLICE_INIT("rpmorig") };

	for (size_t i = 0; i < NELEMS(words); i++)
		if (slice_ieq(label, words[i]))
			return true;
	return slice_istarts(label, SLICE("dpkg-")) ||
	    slice_istarts(label, SLICE("ucf-"));
}

bool
certificates_name_valid(const char *name)
{
	struct slice rest = slice_str(name), label = SLICE("");
	struct in6_addr address;

	if (inet_pton(AF_INET, name, &address) == 1 ||
	    inet_pton(AF_INET6, name, &address) == 1)
		return true;
	/* RFC 1035 2.3.4, RFC 1123 2.1; "_" is often met. */
	if (rest.n == 0 || rest.n > 253 || name[rest.n - 1] == '.')
		return false;
	while (rest.n != 0 && slice_split(&rest, '.', &label)) {
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-' &&
			    label.p[i] != '_')
				return false;
	}
	return !is_leftover(label);
}

void
certificates_each(
    const struct conf *c, unsigned family, certificate_fn *fn, void *arg)
{
	const char *cert = conf_str(c, families[family].cert);
	const char *slash = strrchr(cert, '/');
	const char *base = slash != NULL ? slash + 1 : cert;
	size_t base_n = strlen(base);
	struct dirent *d;
	char *dir;
	DIR *dp;

	call(c, family, "", fn, arg);
	if (slash == NULL)
		return;
	dir = slice_dup(slice_of(cert, (size_t)(slash - cert)));
	dp = opendir(*dir != '\0' ? dir : "/");
	while (dp != NULL && (d = readdir(dp)) != NULL)
		if (strncmp(d->d_name, base, base_n) == 0 &&
		    d->d_name[base_n] == '.' &&
		    certificates_name_valid(d->d_name + base_n + 1))
			call(c, family, d->d_name + base_n + 1, fn, arg);
	if (dp != NULL)
		(void)closedir(dp);
	free(dir);
}

int
certificates_read(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r;

	if (fd < 0)
		return err_sys(e, "%s", path);
	r = fsx_read_all(fd, out);
	if (r != 0)
		r = err_sys(e, "%s", path);
	(void)close(fd);
	return r;
}

/* --- what has changed ----------------------------------------------------- */

static uint64_t
stir(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x100000001b3u;
	return h ^ h >> 29;
}

static void
add_file(uint64_t *h, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		*h = stir(*h, 1);
		return;
	}
	*h = stir(*h, (uint64_t)st.st_dev);
	*h = stir(*h, (uint64_t)st.st_ino);
	*h = stir(*h, (uint64_t)st.st_size);
	*h = stir(*h, (uint64_t)st.st_mtim.tv_sec);
	*h = stir(*h, (uint64_t)st.st_mtim.tv_nsec);
}

/* The order of a directory's names must not matter. */
static void
add_certificate(void *arg, unsigned family, const char *name, const char *cert,
    const char *key)
{
	uint64_t *sum = arg, h = family + 7;

	for (const char *p = name; *p != '\0'; p++)
		h = stir(h, (uint8_t)*p);
	add_file(&h, cert);
	add_file(&h, key);
	*sum += h;
}

uint64_t
certificates_fingerprint(const struct conf *c)
{
	uint64_t seen = 0;

	for (unsigned family = 0; family < N_FAMILIES; family++) {
		certificates_each(c, family, add_certificate, &seen);
		add_file(&seen, conf_str(c, families[family].trust));
	}
	return seen;
}

/* --- what the configuration says of TLS ----------------------------------- */

int
certificates_min_version(const struct conf *c, enum service s)
{
	switch (conf_tls_minimum(c, (enum conf_file)s)) {
	case CONF_TLS_1_0:
		return TLS1_VERSION;
	case CONF_TLS_1_1:
		return TLS1_1_VERSION;
	case CONF_TLS_1_2:
		return TLS1_2_VERSION;
	case CONF_TLS_1_3:
		break;
	}
	return TLS1_3_VERSION;
}

struct tls_options
certificates_options(const struct conf *c, unsigned family)
{
	const enum conf_file ssl = families[family].ssl;
	int implicit = certificates_min_version(c, (enum service)ssl);
	int starttls = certificates_min_version(c, families[family].plain);

	return (struct tls_options){
		/* Each connection's is that of its own service. */
		.min_version = implicit < starttls ? implicit : starttls,
		.ciphers = conf_service_str(c, ssl, families[family].ciphers),
		.alpn = conf_service_str(c, ssl, families[family].alpn),
		/* The words' order is that of enum tls_verify. */
		.verify = (enum tls_verify)conf_service_num(
		    c, ssl, families[family].verify),
	};
}
