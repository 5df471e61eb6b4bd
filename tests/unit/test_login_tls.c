/* login: TLS, STARTTLS, and the relay between TLS and a worker. */
#include <sys/socket.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/login_fixture.h"

/* More than the kernel keeps in the buffers of two sockets. */
enum { MUCH = 24 * 1024 * 1024 };

/* The same, logged in and relayed. */
static void
relayed(struct client *c, struct login_fixture *f, struct handover *h)
{
	(void)client_greeted(c, f, SERVICE_IMAPD_SSL);
	client_say(c, "a LOGIN joe secret\r\nb NOOP\r\n");
	auth_accept(f, 3);
	master_expect_handover(f, h);
	assert_string_equal(h->unparsed, "b NOOP\r\n");
	assert_true(strncmp(h->facts, "TLSv1.3 ", 8) == 0);
	master_send_handover_done(f, h->id, CONN_OK, "");
}

static uint8_t
pattern(size_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

static uint8_t *
make_pattern(void)
{
	uint8_t *p = malloc(MUCH);

	assert_non_null(p);
	for (size_t i = 0; i < MUCH; i++)
		p[i] = pattern(i);
	return p;
}

/* Write without waiting; returns what was taken. */
static size_t
push(int fd, const uint8_t *p, size_t n)
{
	ssize_t r = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	return r > 0 ? (size_t)r : 0;
}

static void
relays_to_the_client(void **state)
{
	struct login_fixture f;
	uint8_t *much = make_pattern(), *got = malloc(MUCH);
	size_t sent = 0, rcvd = 0, stuck;
	struct handover h;
	struct client c;
	struct pollfd p;
	struct msg_in m;

	(void)state;
	assert_non_null(got);
	login_up(&f, true);
	relayed(&c, &f, &h);
	/* A client that doesn't read stops the worker after a while. */
	p = (struct pollfd){ h.fd, POLLOUT, 0 };
	do {
		stuck = sent;
		if (poll(&p, 1, 500) == 1)
			sent += push(h.fd, much + sent, MUCH - sent);
	} while (sent != stuck);
	assert_true(sent < MUCH);
	while (rcvd < MUCH) {
		ssize_t n = client_read(&c, got + rcvd, MUCH - rcvd);

		assert_true(n > 0);
		rcvd += (size_t)n;
		if (sent < MUCH)
			sent += push(h.fd, much + sent, MUCH - sent);
	}
	assert_memory_equal(got, much, MUCH);
	/* The worker ends: what it said last arrives, then close_notify. */
	assert_int_equal(send(h.fd, "* BYE\r\n", 7, 0), 7);
	(void)close(h.fd);
	client_expect(&c, "* BYE");
	assert_int_equal(client_read(&c, got, 1), 0);
	m = master_expect(&f, MSG_CONN_CLOSE);
	assert_true(msg_get_u64(&m) == h.id);
	client_close(&c);
	free(got);
	free(much);
	login_end(&f);
}

static void
relays_to_the_worker(void **state)
{
	struct login_fixture f;
	uint8_t *much = make_pattern(), *got = malloc(MUCH);
	size_t sent = 0, rcvd = 0, taken;
	struct handover h;
	struct client c;
	struct pollfd p;
	ssize_t n;

	(void)state;
	assert_non_null(got);
	login_up(&f, true);
	relayed(&c, &f, &h);
	(void)fcntl(c.fd, F_SETFL, O_NONBLOCK);
	(void)SSL_set_mode(c.ssl,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A worker that doesn't read stops the client. */
	p = (struct pollfd){ c.fd, POLLOUT, 0 };
	while (sent < MUCH && poll(&p, 1, 500) == 1)
		if (SSL_write_ex(c.ssl, much + sent, MUCH - sent, &taken) == 1)
			sent += taken;
	assert_true(sent < MUCH);
	while (rcvd < MUCH) {
		p = (struct pollfd){ h.fd, POLLIN, 0 };
		assert_int_equal(poll(&p, 1, LOGIN_WAIT_MS), 1);
		n = recv(h.fd, got + rcvd, MUCH - rcvd, MSG_DONTWAIT);
		assert_true(n > 0);
		rcvd += (size_t)n;
		while (sent < MUCH &&
		    SSL_write_ex(c.ssl, much + sent, MUCH - sent, &taken) == 1)
			sent += taken;
	}
	assert_memory_equal(got, much, MUCH);
	/* The client goes: the worker sees the end. */
	client_close(&c);
	p = (struct pollfd){ h.fd, POLLIN, 0 };
	assert_int_equal(poll(&p, 1, LOGIN_WAIT_MS), 1);
	assert_int_equal(recv(h.fd, got, 1, 0), 0);
	(void)close(h.fd);
	(void)master_expect(&f, MSG_CONN_CLOSE);
	free(got);
	free(much);
	login_end(&f);
}

static void
cuts_a_client_that_never_reads(void **state)
{
	struct login_fixture f;
	uint8_t *much = make_pattern();
	struct handover h;
	struct client c;
	struct pollfd p;

	(void)state;
	login_begin(&f, "WRITE_TIMEOUT=1\n", "");
	login_start(&f, true);
	relayed(&c, &f, &h);
	p = (struct pollfd){ h.fd, POLLOUT, 0 };
	while (poll(&p, 1, LOGIN_WAIT_MS) == 1 &&
	    (p.revents & (POLLHUP | POLLERR)) == 0)
		(void)push(h.fd, much, MUCH);
	assert_true((p.revents & (POLLHUP | POLLERR)) != 0);
	(void)master_expect(&f, MSG_CONN_CLOSE);
	(void)close(h.fd);
	client_close(&c);
	free(much);
	login_end(&f);
}

static void
starts_tls(void **state)
{
	struct login_fixture f;
	struct handover h;
	struct client c;
	const char *line;

	(void)state;
	login_begin(&f, "", "IMAP_TLS_REQUIRED=1\n");
	login_start(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD);
	(void)master_admit(&f, SERVICE_IMAPD);
	assert_contains(client_line(&c), " STARTTLS");
	client_say(&c, "a STARTTLS\r\n");
	client_expect(&c, "a OK");
	assert_true(client_tls(&c, NULL, NULL));
	client_say(&c, "b CAPABILITY\r\n");
	line = client_line(&c);
	assert_null(strstr(line, "STARTTLS"));
	assert_null(strstr(line, "LOGINDISABLED"));
	client_expect(&c, "b OK");
	client_say(&c, "c LOGIN joe secret\r\n");
	(void)auth_expect(&f, &line);
	assert_contains(line, "\tsecured");
	auth_say(
	    &f, "OK\t1\tuser=joe\tticket=00000000000000000000000000000000");
	master_expect_handover(&f, &h);
	assert_string_equal(h.tag, "c");
	(void)close(h.fd);
	client_close(&c);
	login_end(&f);
}

/* CVE-2011-0411: what came in the clear behind STARTTLS counts for nothing. */
static void
drops_what_was_injected(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD);
	(void)master_admit(&f, SERVICE_IMAPD);
	client_expect(&c, "* OK");
	client_say(&c, "a STARTTLS\r\nb NOOP\r\nc LOGIN joe secret\r\n");
	client_expect(&c, "a OK");
	assert_true(client_tls(&c, NULL, NULL));
	client_say(&c, "d NOOP\r\n");
	client_expect(&c, "d OK");
	client_close(&c);
	login_end(&f);
}

/* A client that speaks TLS 1.2 at most. */
static bool
speaks_tls12(struct client *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	(void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	c->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	(void)SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
}

static void
keeps_each_services_version(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_begin(
	    &f, "", "TLS_PROTOCOL=TLSv1.2\nTLS_STARTTLS_PROTOCOL=TLSv1.3\n");
	login_start(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD_SSL);
	(void)master_admit(&f, SERVICE_IMAPD_SSL);
	assert_true(speaks_tls12(&c));
	client_close(&c);
	client_connect(&c, &f, SERVICE_IMAPD);
	(void)master_admit(&f, SERVICE_IMAPD);
	client_expect(&c, "* OK");
	client_say(&c, "a STARTTLS\r\n");
	client_expect(&c, "a OK");
	assert_false(speaks_tls12(&c));
	client_close(&c);
	login_end(&f);
}

static void
refuses_under_tls(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD_SSL);
	(void)master_give(&f, SERVICE_IMAPD_SSL, CONN_PER_ADDRESS);
	assert_true(client_tls(&c, NULL, NULL));
	client_expect(&c, "* BYE [UNAVAILABLE] Too many connections from your");
	client_expect_end(&c);
	client_close(&c);
	login_end(&f);
}

static void
shows_the_certificate_of_the_name(void **state)
{
	static const struct {
		const char *name, *cn;
	} cases[] = {
		{ NULL, "imap.test" },
		{ "other.example", "other.example" },
		{ "OTHER.example", "other.example" },
		{ "unknown.example", "imap.test" },
	};
	struct login_fixture f;
	struct client c;

	(void)state;
	login_begin(&f, "", "");
	master_send_config(&f);
	master_send_certificate(&f, 0, "", "imap.test");
	master_send_certificate(&f, 0, "other.example", "other.example");
	master_send_empty(&f, MSG_START);
	auth_connect(&f, "PLAIN");
	(void)master_expect(&f, MSG_READY);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		client_connect(&c, &f, SERVICE_IMAPD_SSL);
		(void)master_admit(&f, SERVICE_IMAPD_SSL);
		assert_true(client_tls(&c, cases[i].name, "imap"));
		assert_string_equal(client_certificate(&c), cases[i].cn);
		client_expect(&c, "* OK");
		client_close(&c);
	}
	login_end(&f);
}

static void
shows_the_certificate_of_the_address(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_begin(&f, "", "");
	master_send_config(&f);
	master_send_certificate(&f, 0, "", "imap.test");
	master_send_certificate(&f, 0, "127.0.0.1", "of.address");
	master_send_empty(&f, MSG_START);
	auth_connect(&f, "PLAIN");
	(void)master_expect(&f, MSG_READY);
	(void)client_greeted(&c, &f, SERVICE_IMAPD_SSL);
	assert_string_equal(client_certificate(&c), "of.address");
	client_close(&c);
	login_end(&f);
}

/* RFC 7301 3.2: none in common ends the handshake. */
static void
insists_on_its_protocol(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD_SSL);
	(void)master_admit(&f, SERVICE_IMAPD_SSL);
	assert_false(client_tls(&c, NULL, "pop3"));
	client_close(&c);
	client_connect(&c, &f, SERVICE_POP3D_SSL);
	(void)master_admit(&f, SERVICE_POP3D_SSL);
	assert_true(client_tls(&c, NULL, "pop3"));
	client_expect(&c, "+OK");
	client_close(&c);
	login_end(&f);
}

/* A record longer than one read: the rest waits inside OpenSSL. */
static void
reads_on_after_a_long_record(void **state)
{
	struct login_fixture f;
	struct client c;
	const char *line;
	unsigned id;
	char said[6000];

	(void)state;
	(void)snprintf(said, sizeof(said),
	    "a LOGIN joe %04000d\r\nb LOGIN joe %01000d\r\n", 1, 2);
	login_up(&f, true);
	(void)client_greeted(&c, &f, SERVICE_IMAPD_SSL);
	client_say(&c, said);
	id = auth_expect(&f, &line);
	auth_say(&f, "FAIL\t%u", id);
	client_expect(&c, "a NO");
	id = auth_expect(&f, &line);
	auth_say(&f, "FAIL\t%u", id);
	client_expect(&c, "b NO");
	client_close(&c);
	login_end(&f);
}

static void
survives_what_is_no_tls(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD_SSL);
	(void)master_admit(&f, SERVICE_IMAPD_SSL);
	client_say(&c, "a LOGIN joe secret\r\n\r\n");
	while (client_read(&c, (char[64]){ 0 }, 64) > 0)
		; /* an alert */
	client_close(&c);
	(void)client_greeted(&c, &f, SERVICE_IMAPD_SSL);
	client_close(&c);
	login_end(&f);
}

static void
reloads_without_dropping_anybody(void **state)
{
	struct login_fixture f;
	struct client before, talking, after;
	struct handover h;

	(void)state;
	login_up(&f, true);
	relayed(&before, &f, &h);
	(void)client_greeted(&talking, &f, SERVICE_IMAPD_SSL);
	master_send_config(&f);
	master_send_certificate(&f, 0, "", "new.test");
	master_send_ticket_keys(&f, 2);
	master_send_empty(&f, MSG_START);
	client_connect(&after, &f, SERVICE_IMAPD_SSL);
	(void)master_admit(&f, SERVICE_IMAPD_SSL);
	assert_true(client_tls(&after, NULL, NULL));
	assert_string_equal(client_certificate(&after), "new.test");
	client_expect(&after, "* OK");
	client_say(&talking, "x NOOP\r\n");
	client_expect(&talking, "x OK");
	assert_int_equal(send(h.fd, "* 1 EXISTS\r\n", 12, 0), 12);
	client_expect(&before, "* 1 EXISTS");
	(void)close(h.fd);
	client_close(&before);
	client_close(&talking);
	client_close(&after);
	login_end(&f);
}

static void
lets_relays_finish_at_shutdown(void **state)
{
	struct login_fixture f;
	struct handover h;
	struct client c;

	(void)state;
	login_up(&f, true);
	relayed(&c, &f, &h);
	master_send_empty(&f, MSG_SHUTDOWN);
	assert_int_equal(send(h.fd, "* BYE\r\n", 7, 0), 7);
	(void)close(h.fd);
	client_expect(&c, "* BYE");
	assert_int_equal(client_read(&c, (char[1]){ 0 }, 1), 0);
	client_close(&c);
	assert_int_equal(login_wait(&f), 0);
	login_end(&f);
}

/* The ticket that one process gave is good at another with the same keys. */
static void
resumes_at_a_sibling(void **state)
{
	struct login_fixture one, other;
	struct client c;
	SSL_SESSION *session;

	(void)state;
	login_up(&one, true);
	login_up(&other, true);
	(void)client_greeted(&c, &one, SERVICE_IMAPD_SSL);
	session = SSL_get1_session(c.ssl);
	assert_int_equal(SSL_SESSION_is_resumable(session), 1);
	/* OpenSSL forgets a session that wasn't closed in order. */
	(void)SSL_shutdown(c.ssl);
	client_close(&c);
	client_connect(&c, &other, SERVICE_IMAPD_SSL);
	(void)master_admit(&other, SERVICE_IMAPD_SSL);
	{
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

		c.ssl = SSL_new(ctx);
		SSL_CTX_free(ctx);
	}
	(void)SSL_set_fd(c.ssl, c.fd);
	assert_int_equal(SSL_set_session(c.ssl, session), 1);
	assert_int_equal(SSL_connect(c.ssl), 1);
	assert_int_equal(SSL_session_reused(c.ssl), 1);
	SSL_SESSION_free(session);
	client_expect(&c, "* OK");
	client_close(&c);
	login_end(&one);
	login_end(&other);
}

/* A client whose bytes come one by one, as those of a bad line. */
static void
takes_a_hello_in_pieces(void **state)
{
	struct login_fixture f;
	struct client c;
	uint8_t bytes[4096];
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int n;

	(void)state;
	login_up(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD_SSL);
	(void)master_admit(&f, SERVICE_IMAPD_SSL);
	c.ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_bio(c.ssl, in, out);
	for (;;) {
		int r = SSL_connect(c.ssl);

		while ((n = BIO_read(out, bytes, sizeof(bytes))) > 0)
			for (int i = 0; i < n; i++)
				assert_int_equal(
				    send(c.fd, bytes + i, 1, MSG_NOSIGNAL), 1);
		if (r == 1)
			break;
		assert_int_equal(SSL_get_error(c.ssl, r), SSL_ERROR_WANT_READ);
		n = (int)recv(c.fd, bytes, sizeof(bytes), 0);
		assert_true(n > 0);
		assert_int_equal(BIO_write(in, bytes, n), n);
	}
	(void)SSL_set_fd(c.ssl, c.fd);
	client_say(&c, "a NOOP\r\n");
	client_close(&c);
	(void)master_expect(&f, MSG_CONN_CLOSE);
	login_end(&f);
}

/* A ClientHello for which OpenSSL would make room of 171 KiB; one that never
 * is whole, and then ends; one in the form of SSL 2. */
static void
refuses_a_hello(void **state)
{
	static const struct slice heads[] = {
		SLICE_INIT("\x16\3\1\x40\0\1\2\0\0"),
		SLICE_INIT("\x16\3\1\0\2\1\0\x16\3\1\0\2\0\0"),
		SLICE_INIT("\x80\x2e\1\3\1\0\x15\0\0"),
		SLICE_INIT("\x16\3\1\0\x40\1\0\0\x3c\3\3"),
		SLICE_INIT("\x16\3\1"),
	};
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, true);
	for (size_t i = 0; i < NELEMS(heads); i++) {
		client_connect(&c, &f, SERVICE_IMAPD_SSL);
		(void)master_admit(&f, SERVICE_IMAPD_SSL);
		client_write(&c, heads[i]);
		if (i >= 3)
			(void)shutdown(c.fd, SHUT_WR);
		(void)master_expect(&f, MSG_CONN_CLOSE);
		client_close(&c);
	}
	login_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relays_to_the_client),
		cmocka_unit_test(relays_to_the_worker),
		cmocka_unit_test(cuts_a_client_that_never_reads),
		cmocka_unit_test(starts_tls),
		cmocka_unit_test(drops_what_was_injected),
		cmocka_unit_test(keeps_each_services_version),
		cmocka_unit_test(refuses_under_tls),
		cmocka_unit_test(shows_the_certificate_of_the_name),
		cmocka_unit_test(shows_the_certificate_of_the_address),
		cmocka_unit_test(insists_on_its_protocol),
		cmocka_unit_test(reads_on_after_a_long_record),
		cmocka_unit_test(survives_what_is_no_tls),
		cmocka_unit_test(reloads_without_dropping_anybody),
		cmocka_unit_test(lets_relays_finish_at_shutdown),
		cmocka_unit_test(resumes_at_a_sibling),
		cmocka_unit_test(takes_a_hello_in_pieces),
		cmocka_unit_test(refuses_a_hello),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
