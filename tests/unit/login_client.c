#include <sys/socket.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/login_fixture.h"

void
client_connect(struct client *c, const struct login_fixture *f, enum service s)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(f->port[s]),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct timeval limit = { LOGIN_WAIT_MS / 1000, 0 };

	*c = (struct client){ .fd = socket(
				  AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_true(c->fd >= 0);
	buf_init(&c->in, 1 << 20);
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(
	    connect(
		c->fd, (const struct sockaddr *)(const void *)&in, sizeof(in)),
	    0);
}

static char *
copy_name(const char *name)
{
	static char copy[256];

	(void)snprintf(copy, sizeof(copy), "%s", name);
	return copy;
}

bool
client_tls(struct client *c, const char *name, const char *alpn)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	unsigned char wire[64];
	size_t n = alpn != NULL ? strlen(alpn) : 0;

	c->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	(void)SSL_set_fd(c->ssl, c->fd);
	if (name != NULL)
		/* as the macro, whose cast drops a const */
		(void)SSL_ctrl(c->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
		    TLSEXT_NAMETYPE_host_name, copy_name(name));
	if (alpn != NULL) {
		wire[0] = (unsigned char)n;
		memcpy(wire + 1, alpn, n);
		(void)SSL_set_alpn_protos(c->ssl, wire, (unsigned)n + 1);
	}
	return SSL_connect(c->ssl) == 1;
}

void
client_close(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	buf_fini(&c->in);
}

void
client_write(struct client *c, struct slice bytes)
{
	while (bytes.n > 0) {
		ssize_t n = c->ssl != NULL
		    ? SSL_write(c->ssl, bytes.p, (int)bytes.n)
		    : send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		assert_true(n > 0);
		bytes = slice_skip(bytes, (size_t)n);
	}
}

void
client_say(struct client *c, const char *text)
{
	client_write(c, slice_str(text));
}

ssize_t
client_read(struct client *c, void *to, size_t n)
{
	int r;

	if (c->ssl == NULL)
		return recv(c->fd, to, n, 0);
	r = SSL_read(c->ssl, to, (int)n);
	if (r > 0)
		return r;
	return SSL_get_error(c->ssl, r) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

const char *
client_line(struct client *c)
{
	static char line[4096];

	for (;;) {
		struct slice in = buf_slice(&c->in);
		size_t lf = slice_find(in, '\n');
		char more[1024];
		ssize_t n;

		if (lf < in.n) {
			size_t len = lf > 0 ? lf - 1 : 0;

			assert_true(len < sizeof(line));
			memcpy(line, in.p, len);
			line[len] = '\0';
			buf_drain(&c->in, lf + 1);
			return line;
		}
		n = client_read(c, more, sizeof(more));
		if (n <= 0)
			return "(end)";
		buf_put(&c->in, slice_of(more, (size_t)n));
	}
}

void
client_expect(struct client *c, const char *begins)
{
	const char *line = client_line(c);

	if (strncmp(line, begins, strlen(begins)) != 0)
		fail_msg("'%s' came instead of '%s'", line, begins);
}

void
client_expect_end(struct client *c)
{
	assert_string_equal(client_line(c), "(end)");
}

const char *
client_certificate(struct client *c)
{
	static char cn[128];
	X509 *cert = SSL_get1_peer_certificate(c->ssl);

	assert_non_null(cert);
	(void)X509_NAME_get_text_by_NID(
	    X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn));
	X509_free(cert);
	return cn;
}

void
assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, text);
}

uint64_t
client_greeted(struct client *c, struct login_fixture *f, enum service s)
{
	uint64_t id;

	client_connect(c, f, s);
	id = master_admit(f, s);
	if (service_is_tls(s))
		assert_true(client_tls(c, NULL, NULL));
	client_expect(c, service_is_pop3(s) ? "+OK" : "* OK [CAPABILITY ");
	return id;
}
