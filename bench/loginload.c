/*
 * loginload: many clients that log in by IMAP and out again, side by side.
 *
 * loginload PORT CLIENTS LOGINS clear|tls USERS PASSWORD: each of CLIENTS
 * connects to 127.0.0.1, reads the greeting, says LOGIN userN@example.com (N
 * below USERS, in turn) and LOGOUT, closes, and begins anew, until LOGINS
 * logins were made in all.  With tls the handshake is a full one each time,
 * and no certificate is looked at: what the client does should cost little.
 *
 * Prints one line: logins, failures, seconds, and the median and 99th
 * percentile of the milliseconds from connect() to the OK of LOGIN.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum { CLIENTS_MAX = 4096, LINE_MAX_SIZE = 4096, STUCK_MS = 30 * 1000 };

enum state { CONNECTING, HANDSHAKE, GREETING, LOGIN, LOGOUT };

struct client {
	int fd;
	SSL *ssl;
	enum state state;
	double began;
	size_t n;
	char in[LINE_MAX_SIZE];
};

static struct {
	int epoll;
	uint16_t port;
	unsigned clients, logins, users, started, timed, done, failed;
	const char *password;
	SSL_CTX *tls;
	double *ms; /* of each login */
	struct client client[CLIENTS_MAX];
} load;

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
wait_for(struct client *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(load.epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		die("epoll_ctl");
}

/* Begin the next login, if there is one to make. */
static void
begin(struct client *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(load.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };
	const int on = 1;

	c->fd = -1;
	if (load.started == load.logins)
		return;
	load.started++;
	c->state = CONNECTING;
	c->n = 0;
	c->began = now_ms();
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 &&
	    errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		die("epoll_ctl");
}

static void
end(struct client *c, bool ok)
{
	if (ok)
		load.done++;
	else
		load.failed++;
	SSL_free(c->ssl);
	c->ssl = NULL;
	(void)close(c->fd);
	begin(c);
}

/* Short lines on an empty socket: they go at once, or something is wrong. */
static bool
say(struct client *c, const char *text)
{
	int n = (int)strlen(text);

	return c->ssl != NULL ? SSL_write(c->ssl, text, n) == n
			      : send(c->fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

/* A whole line of the server; false: the login has failed. */
static bool
take_line(struct client *c, const char *line)
{
	char text[512];

	switch (c->state) {
	case GREETING:
		c->state = LOGIN;
		(void)snprintf(text, sizeof(text),
		    "a LOGIN user%u@example.com %s\r\n",
		    load.started % load.users, load.password);
		return strncmp(line, "* OK", 4) == 0 && say(c, text);
	case LOGIN:
		if (line[0] == '*')
			return true;
		load.ms[load.timed++] = now_ms() - c->began;
		c->state = LOGOUT;
		return strncmp(line, "a OK", 4) == 0 && say(c, "b LOGOUT\r\n");
	case LOGOUT:
		return line[0] == '*' || strncmp(line, "b OK", 4) == 0;
	case CONNECTING:
	case HANDSHAKE:
		break;
	}
	return false;
}

static void
take_input(struct client *c)
{
	ssize_t n;
	char *eol;

	n = c->ssl != NULL
	    ? SSL_read(c->ssl, c->in + c->n, (int)(sizeof(c->in) - c->n - 1))
	    : recv(c->fd, c->in + c->n, sizeof(c->in) - c->n - 1, 0);
	if (n <= 0 && c->ssl != NULL &&
	    SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ)
		return;
	if (n < 0 && c->ssl == NULL && errno == EAGAIN)
		return;
	if (n <= 0) {
		end(c, false);
		return;
	}
	c->n += (size_t)n;
	c->in[c->n] = '\0';
	while ((eol = strstr(c->in, "\r\n")) != NULL) {
		bool last = c->state == LOGOUT && c->in[0] == 'b';

		*eol = '\0';
		if (!take_line(c, c->in) || last) {
			end(c, last);
			return;
		}
		c->n -= (size_t)(eol + 2 - c->in);
		memmove(c->in, eol + 2, c->n + 1);
	}
}

static void
handshake(struct client *c)
{
	int r = SSL_connect(c->ssl);

	if (r == 1) {
		c->state = GREETING;
		wait_for(c, EPOLLIN);
		take_input(c);
		return;
	}
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		wait_for(c, EPOLLIN);
		break;
	case SSL_ERROR_WANT_WRITE:
		wait_for(c, EPOLLOUT);
		break;
	default:
		end(c, false);
	}
}

static void
connected(struct client *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 ||
	    error != 0) {
		end(c, false);
	} else if (load.tls != NULL) {
		c->state = HANDSHAKE;
		c->ssl = SSL_new(load.tls);
		if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
			die("SSL_new");
		handshake(c);
	} else {
		c->state = GREETING;
		wait_for(c, EPOLLIN);
	}
}

static void
run(void)
{
	while (load.done + load.failed < load.logins) {
		struct epoll_event ev[64];
		int n = epoll_wait(load.epoll, ev, 64, STUCK_MS);

		if (n == 0) {
			(void)fprintf(stderr, "loginload: the server hangs\n");
			exit(1);
		}
		for (int i = 0; i < n; i++) {
			struct client *c = ev[i].data.ptr;

			if (c->state == CONNECTING)
				connected(c);
			else if (c->state == HANDSHAKE)
				handshake(c);
			else
				take_input(c);
		}
	}
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char *argv[])
{
	double begun;

	if (argc != 7) {
		(void)fprintf(stderr,
		    "usage: loginload PORT CLIENTS LOGINS clear|tls USERS "
		    "PASSWORD\n");
		return 2;
	}
	load.port = (uint16_t)strtoul(argv[1], NULL, 10);
	load.clients = (unsigned)strtoul(argv[2], NULL, 10);
	load.logins = (unsigned)strtoul(argv[3], NULL, 10);
	load.users = (unsigned)strtoul(argv[5], NULL, 10);
	load.password = argv[6];
	load.ms = calloc(load.logins + 1, sizeof(*load.ms));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.clients > CLIENTS_MAX || load.users == 0 || load.ms == NULL ||
	    load.epoll < 0)
		die("loginload");
	if (strcmp(argv[4], "tls") == 0) {
		load.tls = SSL_CTX_new(TLS_client_method());
		if (load.tls == NULL)
			die("SSL_CTX_new");
		(void)SSL_CTX_set_session_cache_mode(
		    load.tls, SSL_SESS_CACHE_OFF);
	}
	begun = now_ms();
	for (unsigned i = 0; i < load.clients; i++)
		begin(&load.client[i]);
	run();
	begun = now_ms() - begun;
	qsort(load.ms, load.timed, sizeof(*load.ms), by_size);
	(void)printf("%u %u %.3f %.2f %.2f\n", load.done, load.failed,
	    begun / 1e3, load.ms[load.timed / 2],
	    load.ms[load.timed * 99 / 100]);
	return load.failed == 0 ? 0 : 1;
}
