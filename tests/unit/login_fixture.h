/*
 * login_fixture: a login process with everything around it played by the
 * test: the master on the control socket, authdaemond, clients, the worker.
 *
 * Layer:  tests.
 * Memory: login_begin() starts a process, login_end() ends it; the helpers
 *         wait for what is to come (seconds at most) and fail the test when
 *         it doesn't.  Text returned is valid until the next call.
 */
#ifndef TESTS_LOGIN_FIXTURE_H
#define TESTS_LOGIN_FIXTURE_H

#include <sys/resource.h>
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "server/ipc/msg.h"
#include "server/service.h"
#include "tests/unit/conf_fixture.h"

enum { LOGIN_WAIT_MS = 60000, TEST_TICKET_SIZE = 16 };

struct login_fixture {
	struct fixture conf;
	char root[64]; /* of the process, empty */
	pid_t pid;
	int control;		  /* the master's end, -1: closed */
	int auth;		  /* authdaemond's end, -1: none */
	int listener[N_SERVICES]; /* the master's */
	uint16_t port[N_SERVICES];
	uint64_t last_id; /* of a connection */
	struct buf log;	  /* "ident: line\n" of all LOG messages */
	uint8_t space[MSG_SIZE_MAX];
};

/* --- the process ---------------------------------------------------------- */

/*
 * Start one: conf is the text of the file postern, imapd_ssl that of
 * imapd-ssl; "" for none.  It isn't configured yet.
 */
void login_begin(
    struct login_fixture *f, const char *conf, const char *imapd_ssl);
/* Descriptors that the next one may have; 0: as many as we. */
extern rlim_t login_files_max;
/* End it by closing the control socket; it must exit with 0. */
void login_end(struct login_fixture *f);
/* Its exit status, once it has ended. */
int login_wait(struct login_fixture *f);

/* CONFIG, then certificates if tls, a socket to authdaemond with its
 * handshake, START; returns after READY. */
void login_start(struct login_fixture *f, bool tls);
/* Both, without any settings. */
void login_up(struct login_fixture *f, bool tls);

/* --- the master ---------------------------------------------------------- */

void master_send_config(struct login_fixture *f);
/* family: 0 IMAP, 1 POP3; a fresh certificate whose CN is cn. */
void master_send_certificate(
    struct login_fixture *f, unsigned family, const char *name, const char *cn);
void master_send_ticket_keys(struct login_fixture *f, uint8_t fill);
/* Accept the next client of a service, and give it with this verdict; returns
 * the connection's id. */
uint64_t master_give(
    struct login_fixture *f, enum service s, enum conn_verdict v);
/* The same, and it is let in. */
uint64_t master_admit(struct login_fixture *f, enum service s);
void master_send_empty(struct login_fixture *f, enum msg_type type);
void master_send_u32(struct login_fixture *f, enum msg_type type, uint32_t v);
void master_send_verdict(
    struct login_fixture *f, uint64_t id, enum conn_verdict v);
void master_send_handover_done(struct login_fixture *f, uint64_t id,
    enum conn_verdict v, const char *reason);
void master_send_handed_over(
    struct login_fixture *f, const uint64_t *ids, size_t n);

/* The next message that is no log line; it must be of this type.  CONN_CLOSE
 * is passed over unless it is what is expected. */
struct msg_in master_expect(struct login_fixture *f, enum msg_type type);
/* Wait until a log line holds this text. */
void master_expect_log(struct login_fixture *f, const char *text);

struct handover {
	uint64_t id;
	uint8_t ticket[TEST_TICKET_SIZE];
	char tag[128], facts[128], command[32], mechs[1025];
	bool utf8, password;
	char unparsed[4096];
	uint64_t rcvd, sent;
	int fd;
};

void master_expect_handover(struct login_fixture *f, struct handover *h);

/* --- authdaemond --------------------------------------------------------- */

/* A new socket for it, of whose handshake its own part is still to come. */
void auth_give_socket(struct login_fixture *f);
/* A new socket for it, after which the handshake is done. */
void auth_connect(struct login_fixture *f, const char *mechanisms);
/* The next line, without its end. */
const char *auth_line(struct login_fixture *f);
/* The next line, which must be AUTH; returns its id, text in *line. */
unsigned auth_expect(struct login_fixture *f, const char **line);
void auth_say(struct login_fixture *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Read AUTH and answer OK with a ticket of 16 bytes `fill`. */
void auth_accept(struct login_fixture *f, uint8_t fill);

/* --- clients ------------------------------------------------------------- */

struct client {
	int fd;
	SSL *ssl;
	struct buf in;
};

void client_connect(
    struct client *c, const struct login_fixture *f, enum service s);
/* A TLS handshake; name: SNI or NULL, alpn: a protocol name or NULL.  False
 * when it fails. */
bool client_tls(struct client *c, const char *name, const char *alpn);
void client_close(struct client *c);
void client_say(struct client *c, const char *text);
void client_write(struct client *c, struct slice bytes);
/* Up to n bytes; 0 at the end (close_notify under TLS), -1: cut off. */
ssize_t client_read(struct client *c, void *to, size_t n);
/* The next line without CRLF; "(end)" when there is none. */
const char *client_line(struct client *c);
/* The next line, which must begin so. */
void client_expect(struct client *c, const char *begins);
void client_expect_end(struct client *c);
/* CN of the certificate that was shown. */
const char *client_certificate(struct client *c);
/* A client that was let in and greeted, under TLS if that is the service's;
 * returns the connection's id. */
uint64_t client_greeted(
    struct client *c, struct login_fixture *f, enum service s);
/* The text must hold the part. */
void assert_contains(const char *text, const char *part);

#endif
