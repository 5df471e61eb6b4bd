/*
 * appendload: APPENDs of 4 kB, and what they come down to.
 *
 * appendload imap PORT PASSWORD sync|plus EACH USER MAILBOX ...: a client for
 * each USER and MAILBOX, side by side, appends EACH messages, one after the
 * other, with a synchronizing literal or without (RFC 7888).
 * appendload bare EACH DIR ...: a thread for each Maildir DIR does the same by
 * system calls alone: create, write, fdatasync, rename, fsync of the directory.
 * appendload floor LAYER EACH DIR: the same by one client, with more and more
 * of what a server can't do without, and nothing else (see the layers).
 *
 * Says "ready", waits for a line, does it, and prints seconds of wall time, and
 * of CPU time of itself and its children.
 */
#include "bench/appendload.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

char message[SIZE], wire[WIRE_MAX];
size_t n_wire;
bool plus;

void
fail(const char *what)
{
	(void)fprintf(
	    stderr, "appendload: %s: %s\n", what, strerrordesc_np(errno));
	exit(1);
}

static unsigned
number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || n > UINT16_MAX) {
		errno = EINVAL;
		fail(text);
	}
	return (unsigned)n;
}

static double
now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu_s(int who)
{
	struct rusage r;

	(void)getrusage(who, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	    (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* 4 kB of lines; on the wire they end by CRLF. */
static void
make_message(void)
{
	static const char header[] = "From: a@example.com\nTo: b@example.com\n"
				     "Subject: a message of 4 kB\n\n";

	for (size_t i = 0; i < SIZE; i++)
		message[i] = i < sizeof(header) - 1 ? header[i]
		    : i % 60 == 59 || i == SIZE - 1 ? '\n'
						    : 'x';
	for (size_t i = 0; i < SIZE; i++) {
		if (message[i] == '\n')
			wire[n_wire++] = '\r';
		wire[n_wire++] = message[i];
	}
}

static double began, cpu_began;

void
begin(void)
{
	char line[16];

	(void)printf("ready\n");
	(void)fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(1);
	cpu_began = cpu_s(RUSAGE_SELF);
	began = now_s();
}

void
end(void)
{
	double wall = now_s() - began;

	while (wait(NULL) > 0)
		;
	(void)printf("%.6f %.6f\n", wall,
	    cpu_s(RUSAGE_SELF) + cpu_s(RUSAGE_CHILDREN) - cpu_began);
}

/* --- clients -------------------------------------------------------------- */

static struct client {
	int fd;
	const char *mailbox;
	unsigned left, tag;
	size_t n;
	char in[LINE_SIZE];
} client[CLIENTS_MAX];

void
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t m = send(fd, p, n, MSG_NOSIGNAL);

		MUST(m);
		p += m;
		n -= (size_t)m;
	}
}

/* The next line, without its end; blocks, or returns NULL if it isn't here. */
static const char *
next_line(struct client *c, bool wait)
{
	static char line[LINE_SIZE];
	char *lf;

	while ((lf = memchr(c->in, '\n', c->n)) == NULL) {
		ssize_t m = recv(c->fd, c->in + c->n, sizeof(c->in) - c->n,
		    wait ? 0 : MSG_DONTWAIT);
		const int on = 1;

		if (m < 0 && errno == EAGAIN && !wait)
			return NULL;
		if (m <= 0)
			fail("closed by the server");
		/* no server is to wait for a late acknowledgement */
		(void)setsockopt(
		    c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
		c->n += (size_t)m;
	}
	memcpy(line, c->in, (size_t)(lf - c->in));
	line[lf - c->in] = '\0';
	c->n -= (size_t)(lf + 1 - c->in);
	memmove(c->in, lf + 1, c->n);
	return line;
}

static void
command(struct client *c, const char *text)
{
	char line[LINE_SIZE];
	const char *said;
	int n = snprintf(line, sizeof(line), "a %s\r\n", text);

	send_all(c->fd, line, (size_t)n);
	do
		said = next_line(c, true);
	while (strncmp(said, "a ", 2) != 0);
	if (strncmp(said, "a OK", 4) != 0) {
		(void)fprintf(stderr, "appendload: %s: %s\n", text, said);
		exit(1);
	}
}

static void
connect_client(struct client *c, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int on = 1;

	MUST(c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	MUST(connect(c->fd, (struct sockaddr *)&to, sizeof(to)));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void
send_append(struct client *c)
{
	char text[LINE_SIZE];
	int n = snprintf(text, sizeof(text), "%u APPEND %s {%zu%s}\r\n",
	    ++c->tag, c->mailbox, n_wire, plus ? "+" : "");

	if (plus) {
		/* in one call, as a client that buffers does */
		struct iovec v[3] = { { text, (size_t)n }, { wire, n_wire },
			{ (char[]){ '\r', '\n' }, 2 } };
		struct msghdr m = { .msg_iov = v, .msg_iovlen = 3 };

		if (sendmsg(c->fd, &m, MSG_NOSIGNAL) !=
		    (ssize_t)((size_t)n + n_wire + 2))
			fail("sendmsg");
	} else {
		send_all(c->fd, text, (size_t)n);
	}
}

static void
on_line(struct client *c, const char *line)
{
	char tag[16];
	int n = snprintf(tag, sizeof(tag), "%u ", c->tag);

	if (line[0] == '+' && !plus) {
		static char all[WIRE_MAX + 2];

		memcpy(all, wire, n_wire);
		memcpy(all + n_wire, "\r\n", 2);
		send_all(c->fd, all, n_wire + 2);
	} else if (strncmp(line, tag, (size_t)n) == 0) {
		if (strncmp(line + n, "OK", 2) != 0) {
			(void)fprintf(stderr, "appendload: %s\n", line);
			exit(1);
		}
		if (--c->left > 0)
			send_append(c);
	}
}

static bool
any_left(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (client[i].left != 0)
			return true;
	return false;
}

/* All of them have what they need to begin. */
static void
run_clients(unsigned n)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	MUST(ep);
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

		MUST(epoll_ctl(ep, EPOLL_CTL_ADD, client[i].fd, &e));
		send_append(&client[i]);
	}
	while (any_left(n)) {
		struct epoll_event e[CLIENTS_MAX];
		int m = epoll_wait(ep, e, CLIENTS_MAX, -1);

		for (int k = 0; k < m; k++) {
			struct client *c = &client[e[k].data.u32];
			const char *line;

			while ((line = next_line(c, false)) != NULL)
				on_line(c, line);
		}
	}
}

static void
do_imap(uint16_t port, const char *password, unsigned each, char **pairs,
    unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct client *c = &client[i];
		char text[LINE_SIZE / 2];

		c->mailbox = pairs[2 * i + 1];
		c->left = each;
		connect_client(c, port);
		(void)next_line(c, true);
		(void)snprintf(
		    text, sizeof(text), "LOGIN %s %s", pairs[2 * i], password);
		command(c, text);
		(void)snprintf(
		    text, sizeof(text), "STATUS %s (MESSAGES)", c->mailbox);
		command(c, text);
	}
	begin();
	run_clients(n);
	end();
}

void
append_by_one(uint16_t port, unsigned each)
{
	client[0].mailbox = "INBOX.Append";
	client[0].left = each;
	connect_client(&client[0], port);
	run_clients(1);
}

int
main(int argc, char *argv[])
{
	make_message();
	if (argc >= 4 && strcmp(argv[1], "bare") == 0 &&
	    argc - 3 <= CLIENTS_MAX) {
		do_bare(number(argv[2]), argv + 3, (unsigned)argc - 3);
		return 0;
	}
	if (argc == 5 && strcmp(argv[1], "floor") == 0) {
		do_floor((enum layer)number(argv[2]), number(argv[3]), argv[4]);
		return 0;
	}
	if (argc < 8 || argc % 2 != 0 || argc - 6 > 2 * CLIENTS_MAX ||
	    strcmp(argv[1], "imap") != 0) {
		(void)fprintf(stderr,
		    "usage: appendload imap PORT PASSWORD sync|plus EACH "
		    "USER MAILBOX ...\n"
		    "       appendload bare EACH DIR ...\n"
		    "       appendload floor LAYER EACH DIR\n");
		return 2;
	}
	plus = strcmp(argv[4], "plus") == 0;
	do_imap((uint16_t)number(argv[2]), argv[3], number(argv[5]), argv + 6,
	    (unsigned)(argc - 6) / 2);
	return 0;
}
