/*
 * login_io: the bytes of a client's connection, plain or by TLS, and the TLS
 * handshake.
 */
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "server/login_impl.h"
#include "server/net/tls_record.h"
#include "server/service_log.h"

/* No more than that is left behind a login: who has a whole command reads no
 * more. */
enum { READ_SIZE = HANDOVER_AHEAD_MAX };

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
	/* One process, one thread: a shared place, as most of what comes is a
	 * short line, and a connection has room for that alone. */
	static uint8_t space[READ_SIZE];
	struct buf *in = &c->pre->in;
	enum conn_received got;
	size_t n = 0;

	if (!buf_ok(in) || in->max - buf_len(in) < READ_SIZE)
		return RECEIVED_NONE;
	got = c->ssl != NULL ? receive_tls(c, space, &n)
			     : receive_plain(c, space, &n);
	buf_put(in, slice_of(space, n));
	secret_wipe(space, n);
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

static struct tls_config *
tls_of(const struct conn *c)
{
	return c->login->tls[service_is_pop3(c->service)];
}

void
conn_begin_tls(struct conn *c)
{
	c->tls_next = false;
	if (!tls_config_usable(tls_of(c))) {
		log_line_as(service_ident(c->service), LOG_LEVEL_ERROR,
		    "ip=[%s], TLS is not configured",
		    service_log_addr(c->client_addr));
		conn_set_state(c, CONN_DEAD);
		return;
	}
	conn_set_state(c, CONN_HANDSHAKE);
}

/* The client has said something. */
static bool
accept_tls(struct conn *c)
{
	struct slice local = slice_str(c->local_addr);

	/* TLS_CERTFILE.192.0.2.1: an address as an admin writes it. */
	if (slice_starts(local, SLICE("::ffff:")))
		local = slice_skip(local, 7);
	if (!tls_config_usable(tls_of(c)) ||
	    (c->ssl = tls_accept(tls_of(c), c->fd, (const char *)local.p)) ==
		NULL)
		return false;
	(void)SSL_set_min_proto_version(
	    c->ssl, login_min_version(c->login, c->service));
	return true;
}

/* Be waked when so many bytes are there; 0: as soon as there are any. */
static void
wait_for_bytes(struct conn *c, size_t n)
{
	const int lowat = n != 0 ? (int)n : 1;

	if (c->lowat != n)
		(void)setsockopt(
		    c->fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat));
	c->lowat = n;
}

/*
 * Whether OpenSSL may read on (tls_record.h).  Waked for fewer bytes than were
 * asked for: no more will come, or the kernel has no room for more.
 */
static enum parse
look_at_records(struct conn *c)
{
	/* One process, one thread: a shared place to look at.  Two records,
	 * the first of which OpenSSL may answer before it has the second. */
	static uint8_t seen[2 * TLS_RECORD_MAX];
	OSSL_HANDSHAKE_STATE state =
	    c->ssl != NULL ? SSL_get_state(c->ssl) : TLS_ST_BEFORE;
	/* The second is where a server waits that wants another ClientHello:
	 * else all that comes there is encrypted. */
	bool hello = state == TLS_ST_BEFORE || state == TLS_ST_EARLY_DATA;
	size_t needed = 0;
	enum parse whole;
	ssize_t n = TEMP_FAILURE_RETRY(
	    recv(c->fd, seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT));

	if (n < 0 && errno == EAGAIN)
		return PARSE_MORE;
	if (n <= 0)
		return PARSE_OK; /* OpenSSL will see it */
	whole = tls_records_whole(slice_of(seen, (size_t)n), hello, &needed);
	if (whole == PARSE_MORE && needed == c->lowat)
		whole = needed <= TLS_HELLO_HEAD ? PARSE_BAD : PARSE_OK;
	if (whole == PARSE_MORE && needed > sizeof(seen))
		whole = PARSE_OK;
	wait_for_bytes(c, whole == PARSE_MORE ? needed : 0);
	return whole;
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

static void
handshake_failed(struct conn *c, const char *why)
{
	log_line_as(service_ident(c->service), LOG_LEVEL_DEBUG,
	    "ip=[%s], couriertls: accept: %s", service_log_addr(c->client_addr),
	    why);
	conn_set_state(c, CONN_DEAD);
}

static void
handshake_done(struct conn *c)
{
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
}

void
conn_handshake(struct conn *c)
{
	enum parse there = c->want_write ? PARSE_OK : look_at_records(c);
	char why[160];

	if (there == PARSE_MORE) {
		conn_settle(c);
		return;
	}
	if (there == PARSE_BAD || (c->ssl == NULL && !accept_tls(c))) {
		handshake_failed(c, "not a ClientHello that is taken");
		return;
	}
	c->want_write = false;
	switch (tls_handshake(c->ssl)) {
	case TLS_DONE:
		handshake_done(c);
		return;
	case TLS_WANT_READ:
		break;
	case TLS_WANT_WRITE:
		c->want_write = true;
		break;
	case TLS_CLOSED:
	case TLS_ERROR:
		handshake_failed(c, tls_reason(why, sizeof(why)));
		return;
	}
	conn_settle(c);
}
