/*
 * What an APPEND comes down to: the bare calls, and the floor of layers above
 * them that a server can't do without (see appendload.h).
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/appendload.h"

/* --- the bare calls ------------------------------------------------------- */

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

void
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

/* --- the floor ------------------------------------------------------------ */

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
	append_by_one(ntohs(at->sin_port), each);
	_exit(0);
}

static void
watch_fd(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

void
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
