/*
 * master_login: the login processes.
 *
 * They get everything that needs a file as bytes, before their sandbox
 * closes: configuration, certificates, keys, listeners.
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
#include "server/master.h"

enum {
	PEM_MAX = 96 * 1024, /* one file; must fit into a packet */
	TRUST_MAX = 4 * 1024 * 1024,
	TICKET_KEYS_SIZE = 80,
	CERTS_LOOK_MS = 2000,
};

enum material_kind {
	MATERIAL_CERT,
	MATERIAL_KEY,
	MATERIAL_TRUST,
	MATERIAL_TICKET_KEYS,
	MATERIAL_DH,
};

static void
send_material(struct child *c, unsigned family, enum material_kind kind,
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

static int
read_file(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *to;
	ssize_t n = -1;

	if (fd < 0)
		return err_sys(e, "%s", path);
	while ((to = buf_reserve(out, 4096)) != NULL &&
	    (n = TEMP_FAILURE_RETRY(read(fd, to, 4096))) > 0)
		buf_advance(out, (size_t)n);
	(void)close(fd);
	if (!buf_ok(out))
		return err_set(e, ERR_LIMIT, "%s is too large", path);
	return n < 0 ? err_sys(e, "%s", path) : 0;
}

static void
send_file(struct child *c, unsigned family, enum material_kind kind,
    const char *name, const char *path)
{
	struct buf bytes;
	struct err e;

	buf_init(&bytes, PEM_MAX + 4096);
	if (read_file(path, &bytes, &e) == 0)
		send_material(c, family, kind, name, buf_slice(&bytes));
	else
		log_error("tls: %s", e.text);
	if (bytes.p != NULL)
		explicit_bzero(bytes.p, bytes.cap);
	buf_fini(&bytes);
}

/* Called with the name ("" for the default) and both paths. */
typedef void certificate_fn(void *arg, unsigned family, const char *name,
    const char *cert, const char *key);

static const struct {
	enum conf_key cert, key, trust, verify;
} families[] = {
	{ CONF_IMAPD_SSL_TLS_CERTFILE, CONF_IMAPD_SSL_TLS_PRIVATE_KEYFILE,
	    CONF_IMAPD_SSL_TLS_TRUSTCERTS, CONF_IMAPD_SSL_TLS_VERIFYPEER },
	{ CONF_POP3D_SSL_TLS_CERTFILE, CONF_POP3D_SSL_TLS_PRIVATE_KEYFILE,
	    CONF_POP3D_SSL_TLS_TRUSTCERTS, CONF_POP3D_SSL_TLS_VERIFYPEER },
};

/* TLS_CERTFILE, and each TLS_CERTFILE.<name> beside it, with its key. */
static void
each_certificate(
    const struct master *m, unsigned family, certificate_fn *fn, void *arg)
{
	const char *cert = conf_str(m->conf, families[family].cert);
	const char *key = conf_str(m->conf, families[family].key);
	char *dir = mem_strdup(cert), *slash = strrchr(dir, '/');
	const char *base = slash != NULL ? slash + 1 : cert;
	size_t base_n = strlen(base);
	struct dirent *d;
	DIR *dp;

	if (access(cert, F_OK) == 0)
		fn(arg, family, "", cert, *key ? key : cert);
	if (slash != NULL)
		*slash = '\0';
	dp = slash != NULL ? opendir(dir) : NULL;
	while (dp != NULL && (d = readdir(dp)) != NULL) {
		const char *name = d->d_name + base_n + 1;
		char *cert_path, *key_path;

		if (strncmp(d->d_name, base, base_n) != 0 ||
		    d->d_name[base_n] != '.' || *name == '\0')
			continue;
		cert_path = mem_printf("%s.%s", cert, name);
		key_path = mem_printf("%s.%s", *key ? key : cert, name);
		fn(arg, family, name, cert_path, key_path);
		free(cert_path);
		free(key_path);
	}
	if (dp != NULL)
		(void)closedir(dp);
	free(dir);
}

static void
send_certificate(void *arg, unsigned family, const char *name, const char *cert,
    const char *key)
{
	send_file(arg, family, MATERIAL_CERT, name, cert);
	send_file(arg, family, MATERIAL_KEY, name, key);
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
		struct slice piece = slice_first(pem, PEM_MAX);
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
	if (read_file(path, &bytes, &e) == 0)
		send_authorities(c, family, buf_slice(&bytes));
	else
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
	if (dp == NULL)
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

static void
send_tls(struct child *c)
{
	/* All login processes share the keys, so that a client may resume
	 * wherever it lands; a reload makes new ones. */
	static uint8_t ticket_keys[TICKET_KEYS_SIZE];
	static bool made;

	if (!made &&
	    getrandom(ticket_keys, sizeof(ticket_keys), 0) !=
		(ssize_t)sizeof(ticket_keys))
		log_error("tls: getrandom: %s", strerrorname_np(errno));
	made = true;
	for (unsigned family = 0; family < NELEMS(families); family++) {
		each_certificate(c->master, family, send_certificate, c);
		if (conf_num(c->master->conf, families[family].verify) != 0)
			send_trust(c, family,
			    conf_str(c->master->conf, families[family].trust));
	}
	for (unsigned family = 0; family < 2; family++)
		send_material(c, family, MATERIAL_TICKET_KEYS, "",
		    slice_of(ticket_keys, sizeof(ticket_keys)));
}

void
master_login_listeners(struct child *c, enum service s)
{
	const struct service_state *state = &c->master->services[s];
	struct msg_out out;

	for (int i = 0; i < state->n_fds; i++) {
		msg_begin(&out, MSG_LISTENER, 0);
		msg_put_u32(&out, s);
		msg_put_u32(&out, service_is_tls(s));
		out.fd = state->fds[i];
		peer_send(c->peer, &out);
	}
}

/* --- certificates that change --------------------------------------------- */

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

/* Of all files that certificates come from. */
static uint64_t
certificates_fingerprint(struct master *m)
{
	uint64_t seen = 0;

	for (unsigned family = 0; family < NELEMS(families); family++) {
		each_certificate(m, family, add_certificate, &seen);
		add_file(&seen, conf_str(m->conf, families[family].trust));
	}
	return seen;
}

void
master_login_configure(struct child *c, bool listeners)
{
	struct msg_out out;
	struct buf packed;

	/* Before they are read: what changes from here on is a change. */
	if (c->master->certs_sent == 0)
		c->master->certs_sent = certificates_fingerprint(c->master);
	buf_init(&packed, MSG_SIZE_MAX - 64);
	conf_pack(c->master->conf, &packed);
	assert(buf_ok(&packed));
	msg_begin(&out, MSG_CONFIG, 0);
	msg_put_bytes(&out, buf_slice(&packed));
	peer_send(c->peer, &out);
	buf_fini(&packed);
	send_tls(c);
	if (listeners) {
		for (int s = 0; s < N_SERVICES; s++)
			if (c->master->services[s].on)
				master_login_listeners(c, (enum service)s);
		master_login_send_auth(c);
	}
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
	const char *argv[] = { "/proc/self/exe", "--login", slot, NULL };
	struct child *c;

	(void)snprintf(slot, sizeof(slot), "%u", index);
	if ((c = master_spawn(m, CHILD_LOGIN, argv, -1)) == NULL)
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
	seen = certificates_fingerprint(m);
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
