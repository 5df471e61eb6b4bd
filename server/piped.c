#include "config.h"

#include "server/piped.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/log_out.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/paths.h"
#include "server/child.h"
#include "server/net/addr.h"
#include "server/outbox.h"
#include "server/peer.h"
#include "server/service_log.h"

enum { CHUNK = 32 * 1024 };

/* One way of the bytes. */
struct pump {
	struct event_base *base;
	int from, to;
	struct event *on_readable, *on_writable;
	struct buf held;
	void (*at_end)(struct pump *p);
};

static const struct piped *what;
static struct peer *worker;
static bool ending; /* the session is over: the worker's end is waited for */
static struct outbox outbox; /* how its messages are sent */

/* --- bytes --------------------------------------------------------------- */

static void
pump_end(struct pump *p)
{
	(void)event_del(p->on_readable);
	p->at_end(p);
}

static void
on_readable(evutil_socket_t fd, short why, void *arg)
{
	struct pump *p = arg;
	uint8_t *to = buf_reserve(&p->held, CHUNK);
	ssize_t n;

	(void)why;
	assert(to != NULL); /* it is empty */
	n = TEMP_FAILURE_RETRY(read(fd, to, CHUNK));
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		pump_end(p);
		return;
	}
	buf_advance(&p->held, (size_t)n);
	(void)event_del(p->on_readable);
	(void)event_add(p->on_writable, NULL);
}

static void
on_writable(evutil_socket_t fd, short why, void *arg)
{
	struct pump *p = arg;
	/* a pipe that is writable takes so much without blocking */
	struct slice s = slice_first(buf_slice(&p->held), PIPE_BUF);
	ssize_t n = TEMP_FAILURE_RETRY(write(fd, s.p, s.n));

	(void)why;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		(void)event_del(p->on_writable);
		pump_end(p);
		return;
	}
	buf_drain(&p->held, (size_t)n);
	if (buf_len(&p->held) != 0)
		return;
	(void)event_del(p->on_writable);
	(void)event_add(p->on_readable, NULL);
}

static void
pump_init(struct pump *p, struct event_base *base, int from, int to,
    void (*at_end)(struct pump *p))
{
	*p = (struct pump){
		.base = base, .from = from, .to = to, .at_end = at_end
	};
	buf_init(&p->held, CHUNK);
	p->on_readable =
	    event_new(base, from, EV_READ | EV_PERSIST, on_readable, p);
	p->on_writable =
	    event_new(base, to, EV_WRITE | EV_PERSIST, on_writable, p);
	assert(p->on_readable != NULL && p->on_writable != NULL);
	(void)event_add(p->on_readable, NULL);
}

static void
pump_fini(struct pump *p)
{
	event_free(p->on_readable);
	event_free(p->on_writable);
	buf_fini(&p->held);
}

/* No more commands: what was asked for is still answered. */
static void
input_ended(struct pump *p)
{
	(void)shutdown(p->to, SHUT_WR);
}

/* The session is over, or nobody reads its answers. */
static void
output_ended(struct pump *p)
{
	(void)event_base_loopexit(p->base, NULL);
}

/* --- the worker ---------------------------------------------------------- */

/* To OUTBOX: nothing else happens in the session until it has been sent. */
static void
send_message(struct peer *p, struct msg_in *in)
{
	uint64_t id = msg_get_u64(in);
	struct msg_out out;
	int report[2];

	if (!msg_get_end(in) || pipe2(report, O_CLOEXEC) < 0)
		return;
	msg_begin(&out, MSG_SENT, 0);
	msg_put_u64(&out, id);
	msg_put_u32(&out, (uint32_t)outbox_run(&outbox, in->fd, report[1]));
	(void)close(report[1]);
	out.fd = report[0];
	peer_send(p, &out);
	(void)close(report[0]);
}

static void
on_worker_message(struct peer *p, struct msg_in *in, void *arg)
{
	uint32_t level;
	const char *ident, *line;

	(void)p;
	(void)arg;
	if (in->type == MSG_SEND)
		send_message(p, in);
	if (in->type != MSG_LOG)
		return;
	level = msg_get_u32(in);
	ident = msg_get_str(in);
	line = msg_get_str(in);
	(void)msg_get_u32(in); /* dropped */
	if (msg_get_end(in) && level <= LOG_LEVEL_TRACE)
		log_line_as(ident, (enum log_level)level, "%s", line);
}

static void
on_worker_end(struct peer *p, const char *why, void *arg)
{
	(void)p;
	(void)why;
	/* its end of the session's socket closes too, and ends the loop */
	peer_free(&worker);
	if (ending)
		(void)event_base_loopbreak(arg);
}

static void
on_signal(evutil_socket_t sig, short why, void *arg)
{
	struct msg_out out;

	(void)sig;
	(void)why;
	(void)arg;
	if (worker == NULL)
		return;
	msg_begin(&out, MSG_SHUTDOWN, 0);
	peer_send(worker, &out);
}

/* Start it with its end of the control socket. */
static pid_t
start_worker(int control)
{
	const char *dir = secure_getenv("POSTERN_LIBEXECDIR");
	char *program =
	    mem_printf("%s/worker", dir != NULL ? dir : POSTERN_LIBEXECDIR);
	char uid[16], gid[16];
	char *argv[] = { program, uid, gid, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	(void)snprintf(uid, sizeof(uid), "%u", getuid());
	(void)snprintf(gid, sizeof(gid), "%u", getgid());
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	/* The standard streams are the client's; it has a socket for them. */
	if (posix_spawn_file_actions_adddup2(
		&actions, control, CHILD_CONTROL_FD) != 0 ||
	    posix_spawn_file_actions_addopen(
		&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0) != 0 ||
	    posix_spawn_file_actions_adddup2(
		&actions, STDIN_FILENO, STDOUT_FILENO) != 0 ||
	    posix_spawn_file_actions_addclosefrom_np(
		&actions, CHILD_CONTROL_FD + 1) != 0 ||
	    (errno = posix_spawn(
		 &pid, program, &actions, NULL, argv, environ)) != 0)
		pid = -1;
	(void)posix_spawn_file_actions_destroy(&actions);
	free(program);
	return pid;
}

/* One end of a connection, if whoever started us told of one; log lines want
 * an address in any case. */
static void
put_end(struct msg_out *out, const char *ip, const char *port)
{
	const char *set = getenv(ip), *number = getenv(port);
	char text[ADDR_TEXT];
	struct addr a;
	uint32_t n = 0;

	if (set == NULL || !addr_parse(&a, slice_str(set))) {
		msg_put_str(out, "127.0.0.1");
		msg_put_u32(out, 0);
		return;
	}
	if (number == NULL || !num_u32(slice_str(number), &n) || n > UINT16_MAX)
		n = 0;
	msg_put_str(out, addr_text(&a, text));
	msg_put_u32(out, n);
}

static void
send_session(
    const struct conf *conf, int fd, const char *user, const char *path)
{
	const char *home = getenv("HOME"); /* may be locked by its sticky bit */
	struct msg_out out;
	struct buf packed;

	buf_init(&packed, MSG_SIZE_MAX - 64);
	conf_pack(conf, &packed);
	assert(buf_ok(&packed));
	msg_begin(&out, MSG_CONFIG, 0);
	msg_put_bytes(&out, buf_slice(&packed));
	peer_send(worker, &out);
	buf_fini(&packed);
	msg_begin(&out, MSG_START, 0);
	peer_send(worker, &out);
	msg_begin(&out, MSG_SESSION, 0);
	msg_put_u64(&out, 1);
	msg_put_u32(&out, what->service);
	put_end(&out, "TCPREMOTEIP", "TCPREMOTEPORT");
	put_end(&out, "TCPLOCALIP", "TCPLOCALPORT");
	msg_put_str(&out, ""); /* TLS */
	msg_put_str(&out, ""); /* no login command: PREAUTH */
	msg_put_bytes(&out, slice_of(NULL, 0));
	msg_put_str(&out, "");
	msg_put_u32(&out, 0);  /* UTF8: POP3 only */
	msg_put_str(&out, ""); /* nor had it CAPA */
	msg_put_u32(&out, 0);
	msg_put_str(&out, user);
	msg_put_str(&out, home != NULL ? home : "");
	msg_put_str(&out, path);
	msg_put_str(&out, ""); /* quota: that of maildirsize */
	msg_put_str(&out, "");
	msg_put_u64(&out, 0);
	msg_put_u64(&out, 0);
	msg_put_str(&out, ""); /* an access file's variables */
	msg_put_str(&out, ""); /* a skeleton for a home */
	out.fd = fd;
	peer_send(worker, &out);
}

/* --- who and what -------------------------------------------------------- */

static NORETURN void
refuse(const char *text)
{
	(void)printf("%s %s\r\n", what->refusal, text);
	(void)fflush(stdout);
	exit(1);
}

static char *
user_name(void)
{
	const char *set = getenv("AUTHENTICATED");
	struct passwd buf, *found = NULL;
	char space[4096];

	if (set != NULL && set[0] != '\0')
		return mem_strdup(set);
	if (getpwuid_r(getuid(), &buf, space, sizeof(space), &found) == 0 &&
	    found != NULL)
		return mem_strdup(found->pw_name);
	return mem_printf("%u", getuid());
}

/* The Maildir's absolute path. */
static char *
maildir_path(const char *given)
{
	const char *set = getenv("MAILDIR");
	char *here, *path;

	if (given == NULL)
		given = set != NULL && set[0] != '\0' ? set : "./Maildir";
	if (given[0] == '/')
		return mem_strdup(given);
	here = getcwd(NULL, 0);
	if (here == NULL)
		refuse("The current directory is not there.");
	if (strncmp(given, "./", 2) == 0)
		given += 2;
	path = mem_printf("%s/%s", here, given);
	free(here);
	return path;
}

/* What the environment says must fit into a message; no path that works is as
 * long. */
static void
check_lengths(const char *user, const char *path)
{
	const char *home = getenv("HOME");

	if (strlen(user) >= PATH_MAX || strlen(path) >= PATH_MAX ||
	    (home != NULL && strlen(home) >= PATH_MAX))
		refuse("The name of the user, HOME or the Maildir is too "
		       "long.");
}

static void
print_remark(
    void *arg, int severity, const char *file, int line, const char *text)
{
	(void)arg;
	if (severity == CONF_ERROR)
		(void)fprintf(
		    stderr, "%s: %s:%d: %s\n", what->name, file, line, text);
}

static struct event_base *
base_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	assert(cfg != NULL);
	/* a standard stream may be a file, which epoll doesn't know */
	(void)event_config_require_features(cfg, EV_FEATURE_FDS);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	assert(base != NULL);
	return base;
}

/* Serve until the session ends. */
static void
serve(const struct conf *conf, const char *user, const char *path)
{
	static const struct peer_handler handler = { on_worker_message,
		on_worker_end };
	struct event_base *base = base_new();
	struct event *on_term, *on_hup;
	struct pump in, out;
	int control[2], stream[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) <
		0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		stream) < 0 ||
	    (pid = start_worker(control[1])) < 0)
		refuse("No worker can be started.");
	(void)close(control[1]);
	worker = peer_new(
	    base, control[0], ROLE_MASTER, ROLE_WORKER, &handler, base);
	send_session(conf, stream[1], user, path);
	(void)close(stream[1]);
	on_term = evsignal_new(base, SIGTERM, on_signal, NULL);
	on_hup = evsignal_new(base, SIGHUP, on_signal, NULL);
	(void)event_add(on_term, NULL);
	(void)event_add(on_hup, NULL);
	pump_init(&in, base, STDIN_FILENO, stream[0], input_ended);
	pump_init(&out, base, stream[0], STDOUT_FILENO, output_ended);
	(void)event_base_dispatch(base);
	pump_fini(&in);
	pump_fini(&out);
	(void)close(stream[0]);
	/* its last log lines tell how the session ended */
	ending = true;
	on_signal(0, 0, NULL);
	if (worker != NULL)
		(void)event_base_dispatch(base);
	peer_free(&worker);
	(void)TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
	event_free(on_term);
	event_free(on_hup);
	event_base_free(base);
}

/* Descriptors that a child finds by number must not be free here. */
static void
occupy_low_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= CHILD_PAGE_FD);
	if (fd > CHILD_PAGE_FD)
		(void)close(fd);
}

static int
usage(FILE *to, int status)
{
	(void)fprintf(to,
	    "usage: %s [-c CONFDIR] [MAILDIR]\n"
	    "       %s --version\n",
	    what->name, what->name);
	return status;
}

int
piped_main(const struct piped *program, int argc, char *argv[])
{
	const char *confdir = POSTERN_SYSCONFDIR;
	struct conf *conf;
	char *user, *path;
	int at = 1;

	what = program;
	log_set_ident(what->name);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("Postern %s %s\n", PACKAGE_VERSION, what->name);
		return 0;
	}
	if (argc > 2 && strcmp(argv[1], "-c") == 0) {
		confdir = argv[2];
		at = 3;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	/* nobody's Maildir is called as an option, but it would be made */
	if (argc > at + 1 || (argc > at && argv[at][0] == '-'))
		return usage(stderr, 1);
	occupy_low_descriptors();
	(void)signal(SIGPIPE, SIG_IGN);
	conf = conf_load(confdir, CONF_SERVER_FILES, print_remark, NULL);
	if (conf == NULL)
		refuse("The configuration has errors.");
	(void)log_out_open(conf_str(conf, CONF_POSTERN_LOG),
	    slice_str(conf_str(conf, CONF_POSTERN_LOG_FACILITY)));
	service_log_setup(conf);
	user = user_name();
	path = maildir_path(argc > at ? argv[at] : NULL);
	check_lengths(user, path);
	outbox = (struct outbox){
		.program = conf_str(conf, CONF_IMAPD_SENDMAIL),
		.sender = user,
		.header = conf_str(conf, CONF_IMAPD_HEADERFROM),
		.seconds =
		    (uint32_t)conf_num(conf, CONF_POSTERN_SENDMAIL_TIMEOUT),
	};
	serve(conf, user, path);
	free(user);
	free(path);
	conf_free(&conf);
	return 0;
}
