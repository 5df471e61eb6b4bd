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
	TICKET_KEYS_SIZE = 80,
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

/* TLS_CERTFILE, and each TLS_CERTFILE.<name> beside it, with its key. */
static void
send_certificates(struct child *c, unsigned family, enum conf_key cert_key,
    enum conf_key key_key)
{
	const char *cert = conf_str(c->master->conf, cert_key);
	const char *key = conf_str(c->master->conf, key_key);
	char *dir = mem_strdup(cert), *slash = strrchr(dir, '/');
	const char *base = slash != NULL ? slash + 1 : cert;
	size_t base_n = strlen(base);
	struct dirent *d;
	DIR *dp;

	if (access(cert, F_OK) == 0) {
		send_file(c, family, MATERIAL_CERT, "", cert);
		send_file(c, family, MATERIAL_KEY, "", *key ? key : cert);
	}
	if (slash != NULL)
		*slash = '\0';
	dp = slash != NULL ? opendir(dir) : NULL;
	while (dp != NULL && (d = readdir(dp)) != NULL) {
		const char *name = d->d_name + base_n + 1;
		char *path;

		if (strncmp(d->d_name, base, base_n) != 0 ||
		    d->d_name[base_n] != '.' || *name == '\0')
			continue;
		path = mem_printf("%s.%s", cert, name);
		send_file(c, family, MATERIAL_CERT, name, path);
		free(path);
		path = mem_printf("%s.%s", *key ? key : cert, name);
		send_file(c, family, MATERIAL_KEY, name, path);
		free(path);
	}
	if (dp != NULL)
		(void)closedir(dp);
	free(dir);
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
	send_certificates(c, 0, CONF_IMAPD_SSL_TLS_CERTFILE,
	    CONF_IMAPD_SSL_TLS_PRIVATE_KEYFILE);
	send_certificates(c, 1, CONF_POP3D_SSL_TLS_CERTFILE,
	    CONF_POP3D_SSL_TLS_PRIVATE_KEYFILE);
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

void
master_login_configure(struct child *c, bool listeners)
{
	struct msg_out out;
	struct buf packed;

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
