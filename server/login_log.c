/*
 * login_log: the lines about a connection before login, in Courier's form.
 */
#include "base/log.h"

#include <string.h>

#include "base/clock.h"
#include "server/login_impl.h"
#include "server/service_log.h"

static const char *
ident(const struct conn *c)
{
	return service_ident(c->service);
}

static const char *
addr(const struct conn *c)
{
	return service_log_addr(c->client_addr);
}

void
conn_log_open(const struct conn *c)
{
	log_line_as(ident(c), LOG_LEVEL_DEBUG, "Connection, ip=[%s], port=[%u]",
	    addr(c), c->client_port);
}

void
conn_log_gone(const struct conn *c)
{
	if (service_is_pop3(c->service))
		log_line_as(ident(c), LOG_LEVEL_DEBUG,
		    "Disconnected, ip=[%s], port=[%u]", addr(c),
		    c->client_port);
	else
		log_line_as(ident(c), LOG_LEVEL_DEBUG,
		    "Disconnected, ip=[%s], port=[%u], time=%lld%s", addr(c),
		    c->client_port,
		    (long long)(clock_now() - c->began_ms) / 1000,
		    c->ssl != NULL ? ", starttls=1" : "");
}

void
conn_log_logout(const struct conn *c)
{
	if (service_is_pop3(c->service))
		log_line_as(ident(c), LOG_LEVEL_INFO,
		    "LOGOUT, ip=[%s], port=[%u]", addr(c), c->client_port);
	else
		log_line_as(ident(c), LOG_LEVEL_INFO,
		    "LOGOUT, ip=[%s], port=[%u], rcvd=%llu, sent=%llu", addr(c),
		    c->client_port, (unsigned long long)c->rcvd,
		    (unsigned long long)c->sent);
}

/*
 * The name that a client typed.  A comma or a bracket in it could pass for a
 * field of ours, and have those who read the log block another's address.
 */
static const char *
typed_user(const struct conn *c, char *out, size_t n)
{
	(void)log_safe(slice_str(c->pre->user), out, n);
	for (char *p = out; *p != '\0'; p++)
		if (*p == ',' || *p == '[' || *p == ']')
			*p = '.';
	return out;
}

void
conn_log_failure(const struct conn *c)
{
	char user[300];

	(void)typed_user(c, user, sizeof(user));
	if (strcmp(c->pre->command, "LOGIN") == 0 ||
	    strcmp(c->pre->command, "PASS") == 0)
		log_line_as(ident(c), LOG_LEVEL_INFO,
		    "LOGIN FAILED, user=%s, ip=[%s], port=[%u]", user, addr(c),
		    c->client_port);
	else
		log_line_as(ident(c), LOG_LEVEL_INFO,
		    "LOGIN FAILED, user=%s, method=%s, ip=[%s], port=[%u]",
		    user, c->pre->mech, addr(c), c->client_port);
}
