/*
 * login_io: the bytes of a client's connection, plain or by TLS, and the TLS
 * handshake.
 */
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/login_impl.h"
#include "server/service_log.h"

enum { READ_SIZE = 4096 };

/* --- bytes --------------------------------------------------------------- */

bool
conn_send(struct conn *c)
{
	struct buf *out = &c->pre->out;

	c->want_write = false;
	while (buf_len(out) != 0) {
		size_t n = 0;
		ssize_t r;

		if (c->ssl == NULL) {
			r = TEMP_FAILURE_RETRY(send(c->fd, buf_slice(out).p,
			    buf_len(out), MSG_NOSIGNAL | MSG_DONTWAIT));
			if (r < 0 && errno != EAGAIN)
				return false;
			if (r < 0) {
				c->want_write = true;
				return true;
			}
			n = (size_t)r;
		} else {
			switch (tls_write(c->ssl, buf_slice(out), &n)) {
			case TLS_DONE:
				break;
			case TLS_WANT_READ:
				return true;
			case TLS_WANT_WRITE:
				c->want_write = true;
				return true;
			case TLS_CLOSED:
			case TLS_ERROR:
				return false;
			}
		}
		c->sent += n;
		buf_drain(out, n);
	}
	return true;
}

static enum conn_received
receive_plain(struct conn *c, uint8_t *to, size_t *n)
{
	ssize_t r =
	    TEMP_FAILURE_RETRY(recv(c->fd, to, READ_SIZE, MSG_DONTWAIT));

	if (r < 0 && errno == EAGAIN)
		return RECEIVED_NONE;
	if (r <= 0)
		return RECEIVED_END;
	*n = (size_t)r;
	return RECEIVED_SOME;
}

static enum conn_received
receive_tls(struct conn *c, uint8_t *to, size_t *n)
{
	c->read_wants_write = false;
	switch (tls_read(c->ssl, to, READ_SIZE, n)) {
	case TLS_DONE:
		return RECEIVED_SOME;
	case TLS_WANT_READ:
		return RECEIVED_NONE;
	case TLS_WANT_WRITE:
		c->read_wants_write = true;
		return RECEIVED_NONE;
	case TLS_CLOSED:
	case TLS_ERROR:
		break;
	}
	return RECEIVED_END;
}

enum conn_received
conn_receive(struct conn *c)
{
	struct buf *in = &c->pre->in;
	enum conn_received got;
	uint8_t *to;
	size_t n = 0;

	if (in->max - buf_len(in) < READ_SIZE ||
	    (to = buf_reserve(in, READ_SIZE)) == NULL)
		return RECEIVED_NONE;
	got =
	    c->ssl != NULL ? receive_tls(c, to, &n) : receive_plain(c, to, &n);
	buf_advance(in, n);
	c->rcvd += n;
	return got;
}

enum conn_received
conn_discard(struct conn *c)
{
	uint8_t bytes[READ_SIZE];
	size_t n = 0;

	return c->ssl != NULL ? receive_tls(c, bytes, &n)
			      : receive_plain(c, bytes, &n);
}

/* --- TLS ----------------------------------------------------------------- */

void
conn_begin_tls(struct conn *c)
{
	struct tls_config *t = c->login->tls[service_is_pop3(c->service)];
	struct slice local = slice_str(c->local_addr);

	/* TLS_CERTFILE.192.0.2.1: an address as an admin writes it. */
	if (slice_starts(local, SLICE("::ffff:")))
		local = slice_skip(local, 7);
	c->tls_next = false;
	if (!tls_config_usable(t) ||
	    (c->ssl = tls_accept(t, c->fd, (const char *)local.p)) == NULL) {
		log_line_as(service_ident(c->service), LOG_LEVEL_ERROR,
		    "ip=[%s], TLS is not configured",
		    service_log_addr(c->client_addr));
		conn_set_state(c, CONN_DEAD);
		return;
	}
	(void)SSL_set_min_proto_version(
	    c->ssl, login_min_version(c->login, c->service));
	conn_set_state(c, CONN_HANDSHAKE);
}

/* TLS_EXTERNAL: the field of the certificate that names the user. */
static void
take_certificate(struct conn *c)
{
	const char *field =
	    conf_service_str(conn_conf(c), (enum conf_file)c->service,
		service_is_pop3(c->service) ? CONF_POP3D_SSL_TLS_EXTERNAL
					    : CONF_IMAPD_SSL_TLS_EXTERNAL);
	char user[256];

	if (*field != '\0' && tls_peer_field(c->ssl, field, user, sizeof(user)))
		c->cert_user = mem_strdup(user);
	c->pre->mechanisms = c->cert_user != NULL ? c->login->mechanisms_cert
						  : c->login->mechanisms_tls;
}

void
conn_handshake(struct conn *c)
{
	char why[160];

	c->want_write = false;
	switch (tls_handshake(c->ssl)) {
	case TLS_DONE:
		take_certificate(c);
		if (service_is_tls(c->service)) {
			c->pre->tls = c->pre->clear_allowed = true;
			conn_greet(c);
		} else {
			c->pre->ops->tls_started(c->pre);
			c->pre->tls = c->pre->clear_allowed = true;
			conn_set_state(c, CONN_TALK);
		}
		conn_run(c);
		return;
	case TLS_WANT_READ:
		break;
	case TLS_WANT_WRITE:
		c->want_write = true;
		break;
	case TLS_CLOSED:
	case TLS_ERROR:
		log_line_as(service_ident(c->service), LOG_LEVEL_DEBUG,
		    "ip=[%s], couriertls: accept: %s",
		    service_log_addr(c->client_addr),
		    tls_reason(why, sizeof(why)));
		conn_set_state(c, CONN_DEAD);
		return;
	}
	conn_settle(c);
}
