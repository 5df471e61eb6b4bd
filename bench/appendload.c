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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 4000, WIRE_MAX = 8192, CLIENTS_MAX = 64, LINE_SIZE = 4096 };

static char message[SIZE], wire[WIRE_MAX];
static size_t n_wire;

static void
fail(const char *what)
{
	(void)fprintf(
	    stderr, "appendload: %s: %s\n", what, strerrordesc_np(errno));
	exit(1);
}

#define MUST(x)                                                                \
 do {                                                                          \
  if ((x) < 0)                                                                 \
   fail(#x);                                                                   \
 } while (0)

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

static void
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

static void
end(void)
{
	double wall = now_s() - began;

	while (wait(NULL) > 0)
		;
	(void)printf("%.6f %.6f\n", wall,
	    cpu_s(RUSAGE_SELF) + cpu_s(RUSAGE_CHILDREN) - cpu_began);
}

/* --- the bare calls --------------------------------------------------------
 */

static struct bare {
	const char *dir;
	unsigned each, index;
	int tmp, cur;
	pthread_t thread;
} bare[CLIENTS_MAX];

static void
open_dirs(struct bare *b)
{
	char path[LINE_SIZE];

	(void)snprintf(path, sizeof(path), "%s/tmp", b->dir);
	MUST(b->tmp = open(path, O_RDONLY | O_DIRECTORY));
	(void)snprintf(path, sizeof(path), "%s/cur", b->dir);
	MUST(b->cur = open(path, O_RDONLY | O_DIRECTORY));
}

static void
names_of(const struct bare *b, unsigned i, char name[128], char final[160])
{
	(void)snprintf(name, 128, "%lld.M%uP%uT%u.bench", (long long)time(NULL),
	    i, (unsigned)getpid(), b->index);
	(void)snprintf(final, 160, "%s,S=%d:2,", name, SIZE);
}

static void
write_file(const struct bare *b, const char *name)
{
	int fd = openat(b->tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	MUST(fd);
	MUST(write(fd, message, SIZE));
	MUST(fdatasync(fd));
	MUST(close(fd));
}

static void *
bare_thread(void *arg)
{
	struct bare *b = arg;
	char name[128], final[160];

	for (unsigned i = 0; i < b->each; i++) {
		names_of(b, i, name, final);
		write_file(b, name);
		MUST(renameat(b->tmp, name, b->cur, final));
		MUST(fsync(b->cur));
	}
	return NULL;
}

static void
do_bare(unsigned each, char **dirs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		bare[i] =
		    (struct bare){ .dir = dirs[i], .each = each, .index = i };
		open_dirs(&bare[i]);
	}
	begin();
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(
			&bare[i].thread, NULL, bare_thread, &bare[i]) != 0)
			fail("pthread_create");
	for (unsigned i = 0; i < n; i++)
		(void)pthread_join(bare[i].thread, NULL);
	end();
}

/* --- clients ----------------------------------------------------------------
 */

static struct client {
	int fd;
	const char *mailbox;
	unsigned left, tag;
	size_t n;
	char in[LINE_SIZE];
} client[CLIENTS_MAX];
static bool plus;

static void
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

/* --- the floor --------------------------------------------------------------
 */

/*
 * Each layer has what those before it have.  The frames of the log are those of
 * SQLite: a header and a page each, in two calls, over again from its start
 * when it has a thousand of them.
 */
enum layer {
	LAYER_BARE,	/* the calls of do_bare() */
	LAYER_LOG,	/* a log, written and synced beside the directory */
	LAYER_SOCKET,	/* a client, one round trip */
	LAYER_CONTINUE, /* another round trip for the literal */
	LAYER_THREADS,	/* one thread has the socket, others sync; one trip */
	LAYER_THREADS_CONTINUE,
	LAYER_THREADS_UNSYNCED, /* one trip; the log is written, not synced */
};

/* FRAMES_TENTHS: pages of log for a message, as Postern writes them with one
 * client (docs/performance.md). */
enum { FRAMES_TENTHS = 42, LOG_FRAMES = 1000, FRAME = 4096 + 24, LOCKS = 6 };

struct job {
	void (*run)(void);
	struct job *next;
};

static struct {
	struct bare dir;
	int log, lock, wake;
	unsigned frame;
	char name[128], final[160];
	/* the threads */
	pthread_mutex_t mutex;
	pthread_cond_t work;
	struct job *first, **last;
	unsigned unfinished;
} f = { .mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

static void
run_file(void)
{
	write_file(&f.dir, f.name);
}

static void
run_dir(void)
{
	MUST(fsync(f.dir.cur));
}

static void
run_log(void)
{
	MUST(fdatasync(f.log));
}

static void *
floor_thread(void *arg)
{
	const uint64_t one = 1;
	bool last;

	(void)arg;
	(void)pthread_mutex_lock(&f.mutex);
	for (;;) {
		struct job *job;

		while ((job = f.first) == NULL)
			(void)pthread_cond_wait(&f.work, &f.mutex);
		f.first = job->next;
		if (f.first == NULL)
			f.last = &f.first;
		(void)pthread_mutex_unlock(&f.mutex);
		job->run();
		(void)pthread_mutex_lock(&f.mutex);
		last = --f.unfinished == 0;
		(void)pthread_mutex_unlock(&f.mutex);
		if (last)
			MUST(write(f.wake, &one, sizeof(one)));
		(void)pthread_mutex_lock(&f.mutex);
	}
	return NULL;
}

static void
submit(struct job *job)
{
	(void)pthread_mutex_lock(&f.mutex);
	job->next = NULL;
	*f.last = job;
	f.last = &job->next;
	f.unfinished++;
	(void)pthread_mutex_unlock(&f.mutex);
	(void)pthread_cond_signal(&f.work);
}

/* Until all jobs are done. */
static void
wait_jobs(int ep)
{
	struct epoll_event e;
	uint64_t count;

	do
		MUST(epoll_wait(ep, &e, 1, -1));
	while (e.data.fd != f.wake);
	MUST(read(f.wake, &count, sizeof(count)));
}

/* That of message i. */
static void
write_log(unsigned i)
{
	static char page[4096];
	unsigned n = (i + 1) * FRAMES_TENTHS / 10 - i * FRAMES_TENTHS / 10;

	for (unsigned k = 0; k < LOCKS; k++) {
		struct flock l = { .l_type = k % 2 == 0 ? F_WRLCK : F_UNLCK,
			.l_whence = SEEK_SET,
			.l_start = 120 + k / 2,
			.l_len = 1 };

		MUST(fcntl(f.lock, F_SETLK, &l));
	}
	if (f.frame + n > LOG_FRAMES)
		f.frame = 0;
	for (; n > 0; n--, f.frame++) {
		off_t at = 32 + (off_t)f.frame * FRAME;

		MUST(pwrite(f.log, page, 24, at));
		MUST(pwrite(f.log, page, sizeof(page), at + 24));
	}
}

/* One message, once it is here. */
static void
store_message(enum layer layer, int ep, unsigned i)
{
	struct job file = { .run = run_file }, dir = { .run = run_dir },
		   log = { .run = run_log };

	names_of(&f.dir, i, f.name, f.final);
	if (layer < LAYER_THREADS) {
		run_file();
	} else {
		submit(&file);
		wait_jobs(ep);
	}
	if (layer >= LAYER_LOG)
		write_log(i);
	MUST(renameat(f.dir.tmp, f.name, f.dir.cur, f.final));
	if (layer >= LAYER_LOG && layer != LAYER_THREADS_UNSYNCED)
		submit(&log);
	if (layer < LAYER_THREADS)
		run_dir();
	else
		submit(&dir);
	if (layer >= LAYER_LOG)
		wait_jobs(ep);
}

static void
receive(int ep, int fd, char *to, size_t *n)
{
	struct epoll_event e;
	ssize_t m;

	do
		MUST(epoll_wait(ep, &e, 1, -1));
	while (e.data.fd != fd);
	MUST(m = recv(fd, to + *n, WIRE_MAX + LINE_SIZE - *n, MSG_DONTWAIT));
	if (m == 0)
		exit(0);
	*n += (size_t)m;
}

/* It knows what the client will send, so that it needs no parser. */
static void
serve(enum layer layer, int ep, int fd, unsigned each)
{
	static char in[WIRE_MAX + LINE_SIZE];
	char text[64];

	for (unsigned i = 0; i < each; i++) {
		size_t n = 0;
		int len;

		while (memchr(in, '\n', n) == NULL)
			receive(ep, fd, in, &n);
		if (!plus) {
			send_all(fd, "+ OK\r\n", 6);
			n = 0;
		}
		while (n < n_wire + 2)
			receive(ep, fd, in, &n);
		while (in[n - 1] != '\n')
			receive(ep, fd, in, &n);
		store_message(layer, ep, i);
		len =
		    snprintf(text, sizeof(text), "%u OK APPEND Ok.\r\n", i + 1);
		send_all(fd, text, (size_t)len);
	}
}

static void
start_clients(unsigned each, const struct sockaddr_in *at)
{
	pid_t pid = fork();

	MUST(pid);
	if (pid != 0)
		return;
	client[0].mailbox = "INBOX.Append";
	client[0].left = each;
	connect_client(&client[0], ntohs(at->sin_port));
	run_clients(1);
	_exit(0);
}

static void
watch_fd(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

static void
do_floor(enum layer layer, unsigned each, const char *dir)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int ep = epoll_create1(EPOLL_CLOEXEC), listener, fd = -1;
	static const char zeros[FRAME];
	char path[LINE_SIZE];
	pthread_t thread;

	MUST(ep);
	f.dir.dir = dir;
	open_dirs(&f.dir);
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	MUST(f.log = open(path, O_RDWR | O_CREAT, 0600));
	/* no sync has a new size to write */
	for (unsigned i = 0; i <= LOG_FRAMES; i++)
		MUST(pwrite(f.log, zeros, FRAME, (off_t)i * FRAME));
	MUST(fsync(f.log));
	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	MUST(f.lock = open(path, O_RDWR | O_CREAT, 0600));
	MUST(f.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	watch_fd(ep, f.wake);
	f.last = &f.first;
	plus = layer != LAYER_CONTINUE && layer != LAYER_THREADS_CONTINUE;
	MUST(listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	MUST(bind(listener, (struct sockaddr *)&at, sizeof(at)));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (struct sockaddr *)&at, &n));
	begin();
	if (layer >= LAYER_SOCKET)
		start_clients(each, &at);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, floor_thread, NULL) != 0)
			fail("pthread_create");
	if (layer < LAYER_SOCKET) {
		for (unsigned i = 0; i < each; i++)
			store_message(layer, ep, i);
	} else {
		const int on = 1;

		MUST(fd = accept(listener, NULL, NULL));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch_fd(ep, fd);
		serve(layer, ep, fd, each);
	}
	end();
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
