#include "config.h"

#include "tests/unit/login_fixture.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "server/child.h"
#include "server/login.h"

enum { MATERIAL_CERT, MATERIAL_KEY, MATERIAL_TRUST, MATERIAL_TICKET_KEYS };

/* --- the process --------------------------------------------------------- */

rlim_t login_files_max;

static void
run_child(int control)
{
	const struct rlimit files = { login_files_max, login_files_max };

	if (control != CHILD_CONTROL_FD) {
		(void)dup2(control, CHILD_CONTROL_FD);
		(void)close(control);
	}
	(void)fcntl(CHILD_CONTROL_FD, F_SETFD, 0);
	(void)close_range(CHILD_CONTROL_FD + 1, ~0u, 0);
	if (login_files_max != 0)
		(void)setrlimit(RLIMIT_NOFILE, &files);
	_exit(login_main(0));
}

static void
write_configuration(
    struct login_fixture *f, const char *conf, const char *imapd_ssl)
{
	char *text = mem_printf("LOGIN_USER=nobody\nLOGIN_CHROOT=%s\n"
				"LOG_LEVEL=debug\n%s",
	    f->root, conf);

	fixture_write(&f->conf, "postern", text);
	fixture_write(&f->conf, "imapd-ssl", imapd_ssl);
	free(text);
}

static void
master_listen(struct login_fixture *f, enum service s)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(
	    bind(fd, (const struct sockaddr *)(const void *)&in, n), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(
	    getsockname(fd, (struct sockaddr *)(void *)&in, &n), 0);
	f->port[s] = ntohs(in.sin_port);
	f->listener[s] = fd;
}

void
login_begin(struct login_fixture *f, const char *conf, const char *imapd_ssl)
{
	int pair[2];

	memset(f, 0, sizeof(*f));
	f->auth = -1;
	buf_init(&f->log, 4 << 20);
	(void)signal(SIGPIPE, SIG_IGN);
	fixture_begin(&f->conf);
	(void)snprintf(f->root, sizeof(f->root), "/tmp/test_login.XXXXXX");
	assert_non_null(mkdtemp(f->root));
	write_configuration(f, conf, imapd_ssl);
	for (int s = 0; s < N_SERVICES; s++)
		master_listen(f, (enum service)s);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0)
		run_child(pair[1]);
	(void)close(pair[1]);
	f->control = pair[0];
}

int
login_wait(struct login_fixture *f)
{
	int status = 0;

	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	f->pid = 0;
	if (WIFSIGNALED(status))
		fail_msg(
		    "the login process ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

void
login_end(struct login_fixture *f)
{
	if (f->control >= 0)
		(void)close(f->control);
	f->control = -1;
	if (f->auth >= 0)
		(void)close(f->auth);
	if (f->pid != 0)
		assert_int_equal(login_wait(f), 0);
	for (int s = 0; s < N_SERVICES; s++)
		(void)close(f->listener[s]);
	buf_fini(&f->log);
	(void)rmdir(f->root);
	fixture_end(&f->conf);
}

void
login_start(struct login_fixture *f, bool tls)
{
	master_send_config(f);
	if (tls) {
		master_send_certificate(f, 0, "", "imap.test");
		master_send_certificate(f, 1, "", "pop3.test");
		master_send_ticket_keys(f, 1);
	}
	auth_connect(f, "PLAIN LOGIN");
	master_send_empty(f, MSG_START);
	(void)master_expect(f, MSG_READY);
}

void
login_up(struct login_fixture *f, bool tls)
{
	login_begin(f, "", "");
	login_start(f, tls);
}

/* --- the master's messages ----------------------------------------------- */

static void
must_send(struct login_fixture *f, struct msg_out *m)
{
	assert_int_equal(msg_send(f->control, m), 0);
}

void
master_send_empty(struct login_fixture *f, enum msg_type type)
{
	struct msg_out m;

	msg_begin(&m, type, 0);
	must_send(f, &m);
}

void
master_send_u32(struct login_fixture *f, enum msg_type type, uint32_t v)
{
	struct msg_out m;

	msg_begin(&m, type, 0);
	msg_put_u32(&m, v);
	must_send(f, &m);
}

void
master_send_config(struct login_fixture *f)
{
	struct msg_out m;
	struct buf packed;

	assert_true(fixture_load(&f->conf, CONF_SERVER_FILES));
	buf_init(&packed, MSG_SIZE_MAX - 64);
	conf_pack(f->conf.conf, &packed);
	assert_true(buf_ok(&packed));
	msg_begin(&m, MSG_CONFIG, 0);
	msg_put_bytes(&m, buf_slice(&packed));
	must_send(f, &m);
	buf_fini(&packed);
}

static void
send_material(struct login_fixture *f, unsigned family, unsigned kind,
    const char *name, struct slice bytes)
{
	struct msg_out m;

	msg_begin(&m, MSG_TLS_MATERIAL, 0);
	msg_put_u32(&m, family);
	msg_put_u32(&m, kind);
	msg_put_str(&m, name);
	msg_put_bytes(&m, bytes);
	must_send(f, &m);
}

static X509 *
certificate_new(EVP_PKEY *key, const char *cn)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	assert_int_equal(X509_set_version(cert, 2), 1);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	(void)X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	(void)X509_set_issuer_name(cert, name);
	(void)X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

void
master_send_certificate(
    struct login_fixture *f, unsigned family, const char *name, const char *cn)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = certificate_new(key, cn);
	BIO *bio = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n;

	/* Both in one file, as Courier's are. */
	assert_int_equal(
	    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	n = BIO_get_mem_data(bio, &p);
	send_material(f, family, MATERIAL_CERT, name, slice_of(p, (size_t)n));
	send_material(f, family, MATERIAL_KEY, name, slice_of(p, (size_t)n));
	(void)BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void
master_send_ticket_keys(struct login_fixture *f, uint8_t fill)
{
	uint8_t keys[80];

	memset(keys, fill, sizeof(keys));
	for (unsigned family = 0; family < 2; family++)
		send_material(f, family, MATERIAL_TICKET_KEYS, "",
		    slice_of(keys, sizeof(keys)));
}

uint64_t
master_give(struct login_fixture *f, enum service s, enum conn_verdict v)
{
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	struct msg_out m;
	int fd = accept4(f->listener[s], (struct sockaddr *)(void *)&from, &n,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);

	assert_true(fd >= 0);
	msg_begin(&m, MSG_CONNECTION, 0);
	msg_put_u64(&m, ++f->last_id);
	msg_put_u32(&m, s);
	msg_put_str(&m, "::ffff:127.0.0.1");
	msg_put_u32(&m, ntohs(from.sin_port));
	msg_put_str(&m, "::ffff:127.0.0.1");
	msg_put_u32(&m, f->port[s]);
	msg_put_u32(&m, v);
	msg_put_str(&m, "");
	m.fd = fd;
	must_send(f, &m);
	(void)close(fd);
	return f->last_id;
}

uint64_t
master_admit(struct login_fixture *f, enum service s)
{
	return master_give(f, s, CONN_OK);
}

void
master_send_verdict(struct login_fixture *f, uint64_t id, enum conn_verdict v)
{
	struct msg_out m;

	msg_begin(&m, MSG_CONN_VERDICT, 0);
	msg_put_u64(&m, id);
	msg_put_u32(&m, v);
	msg_put_str(&m, "");
	must_send(f, &m);
}

void
master_send_handover_done(struct login_fixture *f, uint64_t id,
    enum conn_verdict v, const char *reason)
{
	struct msg_out m;

	msg_begin(&m, MSG_HANDOVER_DONE, 0);
	msg_put_u64(&m, id);
	msg_put_u32(&m, v);
	msg_put_str(&m, reason);
	must_send(f, &m);
}

void
master_send_handed_over(struct login_fixture *f, const uint64_t *ids, size_t n)
{
	struct msg_out m;

	msg_begin(&m, MSG_HANDED_OVER, 0);
	msg_put_bytes(&m, slice_of(ids, n * sizeof(*ids)));
	must_send(f, &m);
}

/* --- what the master is told --------------------------------------------- */

static void
wait_readable(int fd, const char *what)
{
	struct pollfd p = { fd, POLLIN, 0 };

	if (poll(&p, 1, LOGIN_WAIT_MS) != 1)
		fail_msg("no %s came", what);
}

static struct msg_in
receive(struct login_fixture *f, const char *what)
{
	struct msg_in m = { .fd = -1 };

	wait_readable(f->control, what);
	if (msg_recv(f->control, ROLE_LOGIN, ROLE_MASTER, f->space, &m) != 1)
		fail_msg("the control socket ended while waiting for %s", what);
	return m;
}

static void
keep_line(struct login_fixture *f, struct msg_in m)
{
	(void)msg_get_u32(&m);
	buf_puts(&f->log, msg_get_str(&m));
	buf_puts(&f->log, ": ");
	buf_puts(&f->log, msg_get_str(&m));
	buf_puts(&f->log, "\n");
}

struct msg_in
master_expect(struct login_fixture *f, enum msg_type type)
{
	for (;;) {
		struct msg_in m = receive(f, msg_name(type));

		if (m.type == type)
			return m;
		if (m.type == MSG_LOG)
			keep_line(f, m);
		else if (m.type != MSG_CONN_CLOSE)
			fail_msg("%s came instead of %s; the log:\n%s",
			    msg_name(m.type), msg_name(type),
			    buf_cstr(&f->log));
	}
}

void
master_expect_log(struct login_fixture *f, const char *text)
{
	while (strstr(buf_cstr(&f->log), text) == NULL) {
		struct msg_in m = receive(f, text);

		if (m.type == MSG_LOG)
			keep_line(f, m);
		else if (m.type != MSG_CONN_CLOSE)
			fail_msg("%s came; the log:\n%s", msg_name(m.type),
			    buf_cstr(&f->log));
	}
}

static void
copy_text(char *out, size_t n, struct slice s)
{
	assert_true(s.n < n);
	if (s.n != 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

void
master_expect_handover(struct login_fixture *f, struct handover *h)
{
	struct msg_in m = master_expect(f, MSG_HANDOVER);
	struct slice ticket;

	h->id = msg_get_u64(&m);
	ticket = msg_get_bytes(&m);
	assert_int_equal(ticket.n, sizeof(h->ticket));
	memcpy(h->ticket, ticket.p, ticket.n);
	copy_text(h->tag, sizeof(h->tag), msg_get_bytes(&m));
	copy_text(h->unparsed, sizeof(h->unparsed), msg_get_bytes(&m));
	copy_text(h->facts, sizeof(h->facts), msg_get_bytes(&m));
	copy_text(h->command, sizeof(h->command), msg_get_bytes(&m));
	h->utf8 = msg_get_u32(&m) != 0;
	copy_text(h->mechs, sizeof(h->mechs), msg_get_bytes(&m));
	h->password = msg_get_u32(&m) != 0;
	h->rcvd = msg_get_u64(&m);
	h->sent = msg_get_u64(&m);
	assert_true(msg_get_end(&m));
	h->fd = m.fd;
	assert_true(h->fd >= 0);
}

/* --- authdaemond --------------------------------------------------------- */

const char *
auth_line(struct login_fixture *f)
{
	static char line[32768];
	size_t n = 0;

	for (;;) {
		assert_true(n + 1 < sizeof(line));
		wait_readable(f->auth, "line for authdaemond");
		if (read(f->auth, line + n, 1) != 1)
			fail_msg("the socket to authdaemond ended");
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return line;
}

void
auth_say(struct login_fixture *f, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	buf_init(&b, 1 << 20);
	va_start(ap, fmt);
	buf_vputf(&b, fmt, ap);
	va_end(ap);
	buf_putc(&b, '\n');
	assert_int_equal(send(f->auth, b.p, b.n, MSG_NOSIGNAL), (ssize_t)b.n);
	buf_fini(&b);
}

void
auth_give_socket(struct login_fixture *f)
{
	struct msg_out m;
	int pair[2];

	if (f->auth >= 0)
		(void)close(f->auth);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->auth = pair[0];
	msg_begin(&m, MSG_AUTH_SOCKET, 0);
	m.fd = pair[1];
	must_send(f, &m);
	(void)close(pair[1]);
	assert_string_equal(auth_line(f), "VERSION\t1\t2");
	assert_int_equal(strncmp(auth_line(f), "CPID\t", 5), 0);
}

void
auth_connect(struct login_fixture *f, const char *mechanisms)
{
	struct slice rest = slice_str(mechanisms), one;

	auth_give_socket(f);
	auth_say(f, "VERSION\t1\t2");
	while (slice_split(&rest, ' ', &one))
		auth_say(f, "MECH\t%.*s\tplaintext", SLICE_ARG(one));
	auth_say(f, "SPID\t1\nCUID\t1\nCOOKIE\t00\nDONE");
}

unsigned
auth_expect(struct login_fixture *f, const char **line)
{
	unsigned id = 0;

	*line = auth_line(f);
	if (sscanf(*line, "AUTH\t%u\t", &id) != 1)
		fail_msg("not AUTH: %s", *line);
	return id;
}

void
auth_accept(struct login_fixture *f, uint8_t fill)
{
	const char *line;
	unsigned id = auth_expect(f, &line);
	char hex[2 * TEST_TICKET_SIZE + 1];

	for (size_t i = 0; i < TEST_TICKET_SIZE; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", fill);
	auth_say(f, "OK\t%u\tuser=joe@example.com\tticket=%s", id, hex);
}
