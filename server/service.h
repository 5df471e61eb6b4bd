/*
 * service: the four things an admin starts and stops.
 *
 * Layer:  server, uses base.
 */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include <stdbool.h>

enum service {
	SERVICE_IMAPD,
	SERVICE_IMAPD_SSL,
	SERVICE_POP3D,
	SERVICE_POP3D_SSL,
	N_SERVICES,
};

/* "imapd", "imapd-ssl", "pop3d", "pop3d-ssl": also the log ident. */
const char *service_name(enum service s);
/* The service of that name, or N_SERVICES. */
enum service service_by_name(const char *name);

static inline bool
service_is_pop3(enum service s)
{
	return s == SERVICE_POP3D || s == SERVICE_POP3D_SSL;
}

/* TLS from the first byte. */
static inline bool
service_is_tls(enum service s)
{
	return s == SERVICE_IMAPD_SSL || s == SERVICE_POP3D_SSL;
}

/*
 * Of a HANDOVER, which waits in the master as long as a loginexec takes: what a
 * client has sent behind its login, which a login process reads as far as it
 * reads at once, and each of the words that go with it; all mechanisms are one.
 */
enum {
	HANDOVER_AHEAD_MAX = 4096,
	HANDOVER_WORD_MAX = 128,
	HANDOVER_MECHS_MAX = 1024,
};

/* What the master says of a connection, and answers to HANDOVER. */
enum conn_verdict {
	CONN_OK,
	CONN_PER_ADDRESS, /* MAXPERIP reached */
	CONN_TOTAL,	  /* MAXDAEMONS reached */
	CONN_STOPPING,	  /* the service is being stopped */
	CONN_UNAVAILABLE, /* no worker to be had: see the reason */
	CONN_REFUSED,	  /* ticket unknown, used, or of another address */
	CONN_DENIED,	  /* the account may not use this service */
	CONN_NO_ACCESS,	  /* the access file keeps the address out */
	/* Not yet decided, the login process is to ask: */
	CONN_PROXIED, /* when its PROXY header has come */
	CONN_FULL,    /* at once: what others close meanwhile makes room */
};

#endif
