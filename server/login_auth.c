/*
 * login_auth: a connection's talk with authdaemond, and the handover that
 * follows a login.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "server/conf/conf_client.h"
#include "server/login_impl.h"
#include "server/service_log.h"

/* Plain: the socket itself goes.  TLS: it stays, and one end of a pair. */
static void
hand_over(struct conn *c, struct slice ticket)
{
	struct preauth *p = c->pre;
	char facts[HANDOVER_WORD_MAX] = "";
	struct buf mechs;
	bool password;
	struct msg_out m;
	int pair[2];

	assert(buf_len(&p->in) <= HANDOVER_AHEAD_MAX);
	if (c->ssl != NULL) {
		if (socketpair(AF_UNIX,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			pair) < 0) {
			p->ops->failed(p, PREAUTH_UNAVAILABLE, NULL);
			conn_set_state(c, CONN_TALK);
			return;
		}
		c->relay_peer = pair[0];
		(void)tls_facts(c->ssl, facts, sizeof(facts));
	}
	conn_set_state(c, CONN_WAIT_HANDOVER);
	buf_init(&mechs, HANDOVER_MECHS_MAX);
	password = p->ops->capa != NULL && p->ops->capa(p, &mechs);
	msg_begin(&m, MSG_HANDOVER, 0);
	msg_put_u64(&m, c->id);
	msg_put_bytes(&m, ticket);
	msg_put_str(&m, p->tag);
	msg_put_bytes(&m, buf_slice(&p->in));
	msg_put_str(&m, facts);
	msg_put_str(&m, p->command);
	msg_put_u32(&m, p->utf8);
	msg_put_bytes(&m, buf_slice(&mechs));
	msg_put_u32(&m, password);
	msg_put_u64(&m, c->rcvd);
	msg_put_u64(&m, c->sent);
	m.fd = c->ssl != NULL ? pair[1] : c->fd;
	peer_send(c->login->master, &m);
	buf_fini(&mechs);
	if (c->ssl != NULL)
		(void)close(pair[1]);
}

static void
on_auth_verdict(void *arg, const struct auth_result *r)
{
	struct conn *c = arg;
	struct preauth *p = c->pre;

	MAGIC_CHECK(c, CONN_MAGIC);
	if (r->verdict != AUTH_CONTINUE)
		c->auth = NULL;
	if (c->state != CONN_WAIT_AUTH)
		return;
	switch (r->verdict) {
	case AUTH_CONTINUE:
		p->ops->challenge(p, r->challenge);
		conn_set_state(c, CONN_TALK);
		break;
	case AUTH_OK:
		hand_over(c, r->ticket);
		break;
	case AUTH_FAILED:
		conn_log_failure(c);
		p->ops->failed(p, PREAUTH_BAD_CREDENTIALS, NULL);
		conn_set_state(c, CONN_TALK);
		break;
	case AUTH_UNAVAILABLE:
		log_line_as(service_ident(c->service), LOG_LEVEL_ERROR,
		    "authentication error: Input/output error, ip=[%s]",
		    service_log_addr(c->client_addr));
		p->ops->failed(p, PREAUTH_UNAVAILABLE, NULL);
		conn_set_state(c, CONN_TALK);
		break;
	case AUTH_UNUSABLE:
		log_line_as(service_ident(c->service), LOG_LEVEL_ERROR,
		    "authentication error: account can't be used, ip=[%s]",
		    service_log_addr(c->client_addr));
		p->ops->failed(p, PREAUTH_UNUSABLE, NULL);
		conn_set_state(c, CONN_TALK);
		break;
	}
	conn_run(c);
}

/* A key of the service's own files, as it is for this connection. */
static const char *
setting(const struct conn *c, enum conf_key imap, enum conf_key pop3)
{
	return conf_service_str(conn_conf(c), (enum conf_file)c->service,
	    service_is_pop3(c->service) ? pop3 : imap);
}

bool
conn_continue_auth(struct conn *c)
{
	if (c->auth == NULL)
		return false;
	conn_set_state(c, CONN_WAIT_AUTH);
	auth_continue(c->auth, secret_slice(&c->pre->response));
	secret_fini(&c->pre->response);
	return true;
}

void
conn_begin_auth(struct conn *c)
{
	uint8_t exporter[TLS_BINDING_MAX], end_point[TLS_BINDING_MAX];
	struct auth_start s = {
		.mech = c->pre->mech,
		.service =
		    conf_auth_service(conn_conf(c), (enum conf_file)c->service,
			c->local_port, c->pre->ops->service),
		.client_addr = c->client_addr,
		.local_addr = c->local_addr,
		.client_port = c->client_port,
		.local_port = c->local_port,
		.secured = c->ssl != NULL,
		.cert_user = c->cert_user != NULL ? c->cert_user : "",
		.timeout_ms = 1000 *
		    conf_service_num(conn_conf(c), (enum conf_file)c->service,
			service_is_pop3(c->service) ? CONF_POP3D_TIMEOUT_READ
						    : CONF_IMAPD_TIMEOUT_READ),
		.defdomain =
		    setting(c, CONF_IMAPD_DEFDOMAIN, CONF_POP3D_DEFDOMAIN),
		.domainsep =
		    setting(c, CONF_IMAPD_DOMAINSEP, CONF_POP3D_DOMAINSEP),
		.has_response = c->pre->has_response,
	};

	if (strcmp(c->pre->mech, "EXTERNAL") == 0 && c->cert_user != NULL)
		(void)snprintf(
		    c->pre->user, sizeof(c->pre->user), "%s", c->cert_user);
	s.response = secret_slice(&c->pre->response);

	if (c->ssl != NULL) {
		s.exporter =
		    slice_of(exporter, tls_binding_exporter(c->ssl, exporter));
		s.end_point = slice_of(
		    end_point, tls_binding_end_point(c->ssl, end_point));
	}
	auth_cancel(&c->auth);
	conn_set_state(c, CONN_WAIT_AUTH);
	c->auth = auth_begin(c->login->auth, &s, on_auth_verdict, c);
	secret_fini(&c->pre->response);
}
