/*
 * master_login: the login processes.
 *
 * They get everything that needs a file as bytes, before their sandbox
 * closes: configuration, certificates, keys.
 */
#include <sys/random.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/certificates.h"
#include "server/master.h"

enum {
	TRUST_MAX = 4 * 1024 * 1024,
	TICKET_KEYS_SIZE = 80,
	CERTS_LOOK_MS = 2000,
};

static void
send_material(struct child *c, unsigned family, enum tls_material kind,
    const char *name, struct slice bytes)
{
	struct msg_out out;

	msg_begin(&out, MSG_TLS_MATERIAL, 0);
	msg_put_u32(&out, family);
	msg_put_u32(&out, kind);
	msg_put_str(&out, name);
	msg_put_bytes(&out, bytes);
	peer_send(c->peer, &out);
}

static void
send_file(struct child *c, unsigned family, bool key, const char *name,
    const char *path)
{
	struct buf bytes;
	struct err e;

	buf_init(&bytes, CERTIFICATE_PEM_MAX + 4096);
	if (certificates_read(path, &bytes, &e) == 0)
		send_material(c, family, key ? MATERIAL_KEY : MATERIAL_CERT,
		    name, buf_slice(&bytes));
	else
		send_material(c, family,
		    key ? MATERIAL_NO_KEY : MATERIAL_NO_CERT, name,
		    slice_str(e.text));
	if (bytes.p != NULL)
		explicit_bzero(bytes.p, bytes.cap);
	buf_fini(&bytes);
}

/* Nobody misses a file where there is no TLS. */
static bool
is_missed(const struct child *c, unsigned family)
{
	const struct service_state *services = c->master->services;

	return certificates_wanted(c->master->conf, family) ||
	    services[family == 0 ? SERVICE_IMAPD_SSL : SERVICE_POP3D_SSL].on;
}

static void
send_certificate(void *arg, unsigned family, const char *name, const char *cert,
    const char *key)
{
	if (*name == '\0' && access(cert, F_OK) != 0 && !is_missed(arg, family))
		return;
	send_file(arg, family, false, name, cert);
	send_file(arg, family, true, name, key);
}

/*
 * Authorities are sent in pieces that fit, cut behind a certificate.  What is
 * longer than a piece without an end in it is no certificate.
 */
static void
send_authorities(struct child *c, unsigned family, struct slice pem)
{
	static const char end[] = "-----END ";

	while (pem.n != 0) {
		struct slice piece = slice_first(pem, CERTIFICATE_PEM_MAX);
		size_t at = piece.n;

		if (piece.n < pem.n) {
			const uint8_t *last = memrchr(piece.p, '\n', piece.n);

			while (last != NULL &&
			    !slice_starts(
				slice_skip(pem, (size_t)(last + 1 - pem.p)),
				SLICE("-----BEGIN")))
				last = memrchr(
				    piece.p, '\n', (size_t)(last - piece.p));
			if (last == NULL)
				return;
			at = (size_t)(last + 1 - piece.p);
		}
		piece = slice_first(pem, at);
		if (memmem(piece.p, piece.n, end, sizeof(end) - 1) != NULL)
			send_material(c, family, MATERIAL_TRUST, "", piece);
		pem = slice_skip(pem, at);
	}
}

static void
send_trust_file(struct child *c, unsigned family, const char *path)
{
	struct buf bytes;
	struct err e;

	buf_init(&bytes, TRUST_MAX);
	if (certificates_read(path, &bytes, &e) == 0)
		send_authorities(c, family, buf_slice(&bytes));
	else if (c->index == 0)
		log_error("tls: %s", e.text);
	buf_fini(&bytes);
}

/* TLS_TRUSTCERTS: a file, or a directory as c_rehash makes it. */
static void
send_trust(struct child *c, unsigned family, const char *path)
{
	struct dirent *d;
	struct stat st;
	DIR *dp;

	if (*path == '\0')
		return;
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		send_trust_file(c, family, path);
		return;
	}
	dp = opendir(path);
	if (dp == NULL && c->index == 0)
		log_error("tls: %s: %s", path, strerrordesc_np(errno));
	while (dp != NULL && (d = readdir(dp)) != NULL) {
		char *file = mem_printf("%s/%s", path, d->d_name);

		if (d->d_name[0] != '.' && stat(file, &st) == 0 &&
		    S_ISREG(st.st_mode))
			send_trust_file(c, family, file);
		free(file);
	}
	if (dp != NULL)
		(void)closedir(dp);
}

/* All login processes share the keys, so that a client may resume wherever it
 * lands; a reload makes new ones. */
static struct {
	bool made;
	uint8_t bytes[TICKET_KEYS_SIZE];
} ticket_keys;

void
master_login_renew_keys(void)
{
	explicit_bzero(&ticket_keys, sizeof(ticket_keys));
}

/* Without any, each process has its own. */
static void
send_ticket_keys(struct child *c, unsigned family)
{
	if (!ticket_keys.made)
		ticket_keys.made =
		    getrandom(ticket_keys.bytes, sizeof(ticket_keys.bytes),
			0) == (ssize_t)sizeof(ticket_keys.bytes);
	if (ticket_keys.made)
		send_material(c, family, MATERIAL_TICKET_KEYS, "",
		    slice_of(ticket_keys.bytes, sizeof(ticket_keys.bytes)));
	else
		log_error("tls: getrandom: %s", strerrorname_np(errno));
}

static void
send_tls(struct child *c)
{
	for (unsigned family = 0; family < N_FAMILIES; family++) {
		certificates_each(c->master->conf, family, send_certificate, c);
		send_trust(
		    c, family, certificates_trust(c->master->conf, family));
		send_ticket_keys(c, family);
	}
}

void
master_login_configure(struct child *c, bool first)
{
	struct msg_out out;
	struct buf packed;

	/* Before they are read: what changes from here on is a change. */
	if (c->master->certs_sent == 0)
		c->master->certs_sent =
		    certificates_fingerprint(c->master->conf);
	buf_init(&packed, MSG_SIZE_MAX - 64);
	conf_pack(c->master->conf, &packed);
	assert(buf_ok(&packed));
	msg_begin(&out, MSG_CONFIG, 0);
	msg_put_bytes(&out, buf_slice(&packed));
	peer_send(c->peer, &out);
	buf_fini(&packed);
	send_tls(c);
	if (first)
		master_login_send_auth(c);
	msg_begin(&out, MSG_START, 0);
	peer_send(c->peer, &out);
}

void
master_login_send_auth(struct child *c)
{
	int fd = master_auth_dial(c->master);
	struct msg_out out;

	if (fd < 0) {
		msg_begin(&out, MSG_AUTH_DOWN, 0);
		msg_put_u32(&out, (uint32_t)errno);
	} else {
		msg_begin(&out, MSG_AUTH_SOCKET, 0);
		out.fd = fd;
	}
	peer_send(c->peer, &out);
	if (fd >= 0)
		(void)close(fd);
}

static int
login_start(struct master *m, unsigned index)
{
	char slot[16];
	const char *argv[] = { "posternd", "--login", slot, NULL };
	struct child *c;

	(void)snprintf(slot, sizeof(slot), "%u", index);
	if ((c = master_spawn(m, CHILD_LOGIN, MASTER_SELF, argv, -1)) == NULL)
		return ERR_SYS;
	c->index = index;
	m->logins[index] = c;
	master_login_configure(c, true);
	return 0;
}

unsigned
master_cpus(void)
{
	static long n; /* asked once: it takes three system calls */

	if (n == 0)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (unsigned)n;
}

int
master_logins_start(struct master *m)
{
	int64_t n = conf_num(m->conf, CONF_POSTERN_LOGIN_PROCESSES);

	if (n == 0)
		n = master_cpus();
	m->n_logins = n < 1 ? 1 : n > LOGINS_MAX ? LOGINS_MAX : (unsigned)n;
	for (unsigned i = 0; i < m->n_logins; i++)
		if (m->logins[i] == NULL && login_start(m, i) != 0)
			return ERR_SYS;
	return 0;
}

void
master_login_died(struct child *c)
{
	struct master *m = c->master;

	m->logins[c->index] = NULL;
	conns_drop_child(m, c);
	/* One that dies before it is ready would die again at once: the tick
	 * starts it, with a growing pause. */
	if (!c->ready)
		m->login_crashes++;
	else
		m->login_crashes = 0;
}

void
master_certificates_tick(struct master *m, int64_t now_ms)
{
	uint64_t seen;

	if (now_ms < m->certs_look_ms)
		return;
	m->certs_look_ms = now_ms + CERTS_LOOK_MS;
	seen = certificates_fingerprint(m->conf);
	/* Key and certificate may be written one after the other: what was
	 * different once must be the same twice. */
	if (seen != m->certs_sent && seen == m->certs_seen) {
		log_info("tls: certificates have changed: read again");
		m->certs_sent = seen;
		for (unsigned i = 0; i < m->n_logins; i++)
			if (m->logins[i] != NULL && m->logins[i]->peer != NULL)
				master_login_configure(m->logins[i], false);
	}
	m->certs_seen = seen;
}
