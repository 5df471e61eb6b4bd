/*
 * auth_client: a login process's side of the talk with authdaemond, in the
 * Dovecot authentication protocol (docs/auth.md).
 *
 * Layer:  server, uses base, libevent.
 * Memory: the client owns its socket; a request is owned by the client until
 *         its verdict was given or auth_cancel() was called.
 *
 * One connection carries the requests of all clients, told apart by id.  The
 * socket comes from the master, as a login process can open none; when it
 * breaks, want asks for another.  Requests that had no answer yet wait for it,
 * AUTH_HOLD_MS long, and are sent to it, once: so nobody hears of a restart of
 * authdaemond.  The others, and those that waited in vain, end as unavailable.
 */
#ifndef SERVER_AUTH_CLIENT_H
#define SERVER_AUTH_CLIENT_H

#include <event2/event.h>

#include "base/defs.h"
#include "base/slice.h"

enum {
	AUTH_TICKET_SIZE = 16,
	AUTH_HOLD_MS = 2000, /* a check that comes once a second ends it */
};

enum auth_verdict {
	AUTH_CONTINUE,	  /* challenge: base64, to be answered */
	AUTH_OK,	  /* ticket is set */
	AUTH_FAILED,	  /* wrong name or password */
	AUTH_UNAVAILABLE, /* temporary: table or authdaemond away */
	AUTH_UNUSABLE,	  /* the account's row is wrong, see its log */
};

struct auth_result {
	enum auth_verdict verdict;
	struct slice challenge;
	struct slice ticket; /* AUTH_TICKET_SIZE bytes */
	struct slice user;   /* canonical name; may be empty unless AUTH_OK */
};

typedef void auth_done(void *arg, const struct auth_result *r);

struct auth_client;
struct auth_request;

struct auth_client_hooks {
	void (*want_socket)(void *arg); /* ask the master for a socket */
	/* The mechanisms changed: names, blank separated. */
	void (*mechanisms)(void *arg, const char *names);
	void *arg;
};

struct auth_client *auth_client_new(struct event_base *base,
    const struct auth_client_hooks *hooks, int64_t timeout_ms) MUST_USE;
void auth_client_free(struct auth_client **c);
/* A connected socket (taken over); replaces a broken one. */
void auth_client_socket(struct auth_client *c, int fd);
/* authdaemond can't be reached now: ask again after a pause. */
void auth_client_down(struct auth_client *c);
/* There is a socket, but authdaemond hasn't told its mechanisms by it yet. */
bool auth_client_is_greeting(const struct auth_client *c);

struct auth_start {
	const char *mech, *service;
	const char *client_addr, *local_addr;
	uint32_t client_port, local_port;
	bool secured;
	struct slice exporter, end_point; /* channel bindings, or empty */
	const char *cert_user; /* whom the client's certificate names, "" */
	const char *defdomain, *domainsep; /* to complete user names, or "" */
	int64_t timeout_ms; /* for each answer; 0: as auth_client_new() */
	bool has_response;
	struct slice response; /* decoded */
};

/*
 * Begin an exchange.  done is called for each verdict, never from inside this
 * call; after any but AUTH_CONTINUE the request is gone.
 */
struct auth_request *auth_begin(struct auth_client *c,
    const struct auth_start *s, auth_done *done, void *arg) MUST_USE;
/* Answer a challenge with the decoded response. */
void auth_continue(struct auth_request *r, struct slice response);
/* Nobody wants the verdict any more. */
void auth_cancel(struct auth_request **r);

#endif
