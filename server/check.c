#include "server/check.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/certificates.h"
#include "server/master.h"

struct check {
	const struct conf *conf;
	conf_report *report;
	void *arg;
	enum service service;	/* of access files */
	struct tls_config *tls; /* what certificates are tried in */
	bool good;
};

static void PRINTF_LIKE(5, 6) say(struct check *k, int severity,
    const char *file, int line, const char *fmt, ...)
{
	char text[500];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	k->report(k->arg, severity, file, line, text);
	if (severity == CONF_ERROR)
		k->good = false;
}

/* --- access files --------------------------------------------------------- */

static void
on_access_remark(
    void *arg, const char *file, int line, bool left_out, const char *text)
{
	say(arg, left_out ? CONF_ERROR : CONF_WARNING, file, line, "%s", text);
}

static const char *
on_access_var(void *arg, struct slice name, struct slice value, bool *bad)
{
	struct check *k = arg;

	return master_access_check(&k->service, name, value, bad);
}

/* Nobody but the server reads these. */
static void
check_access(struct check *k, enum service s)
{
	const char *path = master_access_path(k->conf, s);
	const struct access_reader reader = { on_access_remark, on_access_var,
		k };
	struct access *a;

	/* Both services of a protocol have the same, as a rule. */
	if (*path == '\0' || service_is_tls(s))
		return;
	k->service = s;
	if (access_text_is_missing(path))
		say(k, CONF_WARNING, path, 0,
		    "expected the text that its .dat was made from: the .dat "
		    "is not read, so every address may connect");
	a = access_load(path, &reader);
	if (a == NULL)
		say(k, CONF_ERROR, path, 0, "%s", strerrordesc_np(errno));
	access_free(&a);
}

/* --- certificates --------------------------------------------------------- */

/* Others may look at the configuration, and can't read keys. */
static int
unreadable(const struct err *e)
{
	return e->sys == EACCES && geteuid() != 0 ? CONF_WARNING : CONF_ERROR;
}

static bool
read_pem(struct check *k, const char *path, struct buf *out)
{
	struct err e;

	buf_init(out, CERTIFICATE_PEM_MAX + 4096);
	if (certificates_read(path, out, &e) == 0)
		return true;
	say(k, unreadable(&e), path, 0,
	    "%s; expected a certificate and its key", strerrordesc_np(e.sys));
	return false;
}

static void
check_certificate(void *arg, unsigned family, const char *name,
    const char *cert, const char *key)
{
	struct buf cert_pem, key_pem;
	struct check *k = arg;
	struct tls_pem_where where;
	char until[64];
	struct err e;

	if (*name == '\0' && access(cert, F_OK) != 0 && errno == ENOENT) {
		if (certificates_wanted(k->conf, family))
			say(k, CONF_WARNING, cert, 0,
			    "expected a certificate and its key: there is no "
			    "TLS for %s",
			    certificates_family(family));
		return;
	}
	buf_init(&key_pem, 1);
	if (read_pem(k, cert, &cert_pem) && read_pem(k, key, &key_pem)) {
		if (tls_config_add(k->tls, name,
			(struct tls_pem){ cert, buf_slice(&cert_pem) },
			(struct tls_pem){ key, buf_slice(&key_pem) }, &where,
			&e) != 0)
			say(k, CONF_ERROR,
			    where.path != NULL ? where.path : cert,
			    (int)where.line, "%s", e.text + where.expected);
		else if (tls_pem_expired(
			     buf_slice(&cert_pem), until, sizeof(until)))
			say(k, CONF_WARNING, cert, 0,
			    "the certificate has expired, %s", until);
	}
	if (key_pem.p != NULL)
		explicit_bzero(key_pem.p, key_pem.cap);
	if (cert_pem.p != NULL)
		explicit_bzero(cert_pem.p, cert_pem.cap);
	buf_fini(&key_pem);
	buf_fini(&cert_pem);
}

static void
check_tls(struct check *k, unsigned family)
{
	const struct tls_options opt = certificates_options(k->conf, family);
	const char *trust = certificates_trust(k->conf, family);

	k->tls = tls_config_new(&opt);
	certificates_each(k->conf, family, check_certificate, k);
	tls_config_free(&k->tls);
	if (*trust != '\0' && access(trust, R_OK) != 0)
		say(k, CONF_ERROR, trust, 0,
		    "%s; expected the authorities of TLS_TRUSTCERTS",
		    strerrordesc_np(errno));
}

/* --- the skeleton of homes ------------------------------------------------ */

static void
check_skeleton(struct check *k, enum conf_key key)
{
	const char *path = conf_str(k->conf, key);
	struct stat st;

	if (*path == '\0')
		return;
	if (stat(path, &st) < 0)
		say(k, CONF_ERROR, path, 0,
		    "%s; expected the directory of AUTH_MKHOMEDIR_SKEL",
		    strerrordesc_np(errno));
	else if (!S_ISDIR(st.st_mode))
		say(k, CONF_ERROR, path, 0,
		    "expected a directory for AUTH_MKHOMEDIR_SKEL");
	else if ((st.st_mode & 05) != 05)
		say(k, CONF_WARNING, path, 0,
		    "expected a directory that all users may read, as they "
		    "copy AUTH_MKHOMEDIR_SKEL themselves");
}

static void
check_access_of_all(struct check *k)
{
	for (int s = 0; s < N_SERVICES; s++)
		check_access(k, (enum service)s);
}

bool
check_access_files(const struct conf *conf, conf_report *report, void *arg)
{
	struct check k = { conf, report, arg, SERVICE_IMAPD, NULL, true };

	check_access_of_all(&k);
	return k.good;
}

bool
check_files(const struct conf *conf, conf_report *report, void *arg)
{
	struct check k = { conf, report, arg, SERVICE_IMAPD, NULL, true };

	check_access_of_all(&k);
	for (unsigned family = 0; family < N_FAMILIES; family++)
		check_tls(&k, family);
	check_skeleton(&k, CONF_IMAPD_AUTH_MKHOMEDIR_SKEL);
	check_skeleton(&k, CONF_POP3D_AUTH_MKHOMEDIR_SKEL);
	return k.good;
}
