/*
 * posternctl: say something to the running posternd over its control socket,
 * or do something to accounts without it.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/help.h"
#include "base/mem.h"
#include "base/paths.h"
#include "ctl/export.h"
#include "ctl/maintain.h"
#include "server/conf/conf.h"
#include "server/ipc/msg.h"

enum {
	EXIT_NOT_RUNNING = 3,
	ANSWER_WAIT_MS = 60 * 1000,
	WORDS_MAX = 4096, /* all arguments together */
};

static const char usage_text[] =
    "usage: posternctl [-c CONFDIR] VERB ...\n"
    "       posternctl -h\n"
    "  service start|stop|status SERVICE\n"
    "  who                 sessions and connections\n"
    "  kick ID             end the session that who calls ID\n"
    "  reload              read the configuration again\n"
    "  stop                end posternd\n"
    "  ping                is it there?\n"
    "  export ACCOUNT|--all\n"
    "                      write Courier's files now\n"
    "  mailbox status ACCOUNT|--all [MAILBOX]\n"
    "                      compare the index with the files\n"
    "  mailbox rescan ACCOUNT|--all [MAILBOX] [--commit]\n"
    "                      read the files anew\n"
    "  mailbox rebuild ACCOUNT|--all [--commit]\n"
    "                      make another index from the files\n"
    "  quota recount ACCOUNT|--all [--commit]\n"
    "                      count the mail of an account\n";

static NORETURN void
usage(int status)
{
	(void)fputs(usage_text, status == 0 ? stdout : stderr);
	exit(status);
}

static void
print_remark(
    void *arg, int severity, const char *file, int line, const char *text)
{
	(void)arg;
	if (severity == CONF_ERROR)
		(void)fprintf(stderr, "%s:%d: %s\n", file, line, text);
}

/* A socket to posternd, or -1 with errno. */
static int
dial(const char *rundir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n, fd;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control", rundir);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int keep = errno;

		(void)close(fd);
		errno = keep;
		fd = -1;
	}
	return fd;
}

/* Print the answer's pieces; the exit status it ends with. */
static int
read_answer(int fd)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	uint8_t *space = mem_alloc(MSG_SIZE_MAX);
	uint32_t status = UINT32_MAX;
	struct slice text;
	struct msg_in in;

	while (status == UINT32_MAX) {
		if (poll(&pfd, 1, ANSWER_WAIT_MS) != 1 ||
		    msg_recv(fd, ROLE_MASTER, ROLE_CONTROL, space, &in) != 1) {
			(void)fputs("posternctl: posternd went away\n", stderr);
			status = 1;
			break;
		}
		status = msg_get_u32(&in);
		text = msg_get_bytes(&in);
		(void)fwrite(text.p, 1, text.n,
		    status == 0 || status == UINT32_MAX ||
			    status == EXIT_NOT_RUNNING
			? stdout
			: stderr);
	}
	free(space);
	return (int)status;
}

static int
send_words(int fd, struct slice words)
{
	struct msg_out out;

	msg_begin(&out, MSG_CONTROL, 0);
	msg_put_bytes(&out, words);
	if (msg_send(fd, &out) == 0)
		return read_answer(fd);
	(void)fputs("posternctl: posternd went away\n", stderr);
	return 1;
}

static int
ask(const char *rundir, char *words[])
{
	struct buf text;
	int fd, status;

	buf_init(&text, WORDS_MAX);
	for (int i = 0; words[i] != NULL; i++)
		buf_putf(&text, "%s%s", i == 0 ? "" : " ", words[i]);
	if (!buf_ok(&text)) {
		(void)fprintf(stderr,
		    "posternctl: arguments of more than %d bytes\n", WORDS_MAX);
		status = 1;
	} else if ((fd = dial(rundir)) < 0) {
		(void)fprintf(stderr,
		    "posternctl: posternd is not running "
		    "(%s/control: %s)\n",
		    rundir, strerror(errno));
		status = EXIT_NOT_RUNNING;
	} else {
		status = send_words(fd, buf_slice(&text));
		(void)close(fd);
	}
	buf_fini(&text);
	return status;
}

/* Those that work on the Maildirs themselves. */
static const struct account_verb {
	const char *name;
	int (*fn)(const struct conf *c, char *words[]);
} account_verbs[] = { { "export", ctl_export }, { "mailbox", ctl_mailbox },
	{ "quota", ctl_quota } };

static const struct account_verb *
account_verb(const char *name)
{
	for (size_t i = 0; i < NELEMS(account_verbs); i++)
		if (strcmp(name, account_verbs[i].name) == 0)
			return &account_verbs[i];
	return NULL;
}

int
main(int argc, char *argv[])
{
	const char *dir = POSTERN_SYSCONFDIR;
	const struct account_verb *verb;
	struct conf *conf;
	int c, status;

	if (help_asked(argc, argv, usage_text))
		return 0;
	while ((c = getopt(argc, argv, "+c:h")) != -1) {
		if (c == 'c')
			dir = optarg;
		else
			usage(c == 'h' ? 0 : 1);
	}
	if (optind == argc)
		usage(1);
	verb = account_verb(argv[optind]);
	conf = conf_load(dir,
	    verb != NULL ? CONF_BIT(CONF_FILE_POSTERN) |
		    CONF_BIT(CONF_FILE_AUTHDAEMONRC) | CONF_BIT(CONF_FILE_IMAPD)
			 : CONF_BIT(CONF_FILE_POSTERN),
	    print_remark, NULL);
	if (conf == NULL)
		return 1;
	if (verb != NULL)
		status = verb->fn(conf, argv + optind + 1);
	else
		status =
		    ask(conf_str(conf, CONF_POSTERN_RUNDIR), argv + optind);
	conf_free(&conf);
	return status;
}
