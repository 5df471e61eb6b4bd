/*
 * posternd: which process to become.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/help.h"
#include "base/log.h"
#include "base/log_out.h"
#include "base/num.h"
#include "base/paths.h"
#include "server/check.h"
#include "server/login.h"
#include "server/master.h"
#include "server/outbox.h"
#include "server/service_log.h"

struct arguments {
	struct master_options master;
	bool check, check_access, dump;
};

static const char usage_text[] =
    "usage: posternd [-a] [-f] [-k] [-n] [-t] [-c CONFDIR] [-s SERVICE,...]\n"
    "       posternd -V\n"
    "  -a  only check the access files\n"
    "  -c  read the configuration from there\n"
    "  -f  stay in the foreground, log on standard error\n"
    "  -h  print this\n"
    "  -k  go on while no service is on\n"
    "  -n  print the settings that differ from their defaults\n"
    "  -s  begin with these: imapd, imapd-ssl, pop3d, pop3d-ssl\n"
    "  -t  only check the configuration\n"
    "  -V  print the version\n";

static NORETURN void
usage(int status)
{
	(void)fputs(usage_text, status == 0 ? stdout : stderr);
	exit(status);
}

static unsigned
services_of(char *words)
{
	char *save = NULL, *w;
	unsigned set = 0;

	for (w = strtok_r(words, ",", &save); w != NULL;
	     w = strtok_r(NULL, ",", &save)) {
		enum service s = service_by_name(w);

		if (s == N_SERVICES) {
			(void)fprintf(stderr,
			    "posternd: no service '%s': imapd, imapd-ssl, "
			    "pop3d or pop3d-ssl?\n",
			    w);
			exit(1);
		}
		set |= 1u << s;
	}
	return set;
}

static struct arguments
arguments_parse(int argc, char *argv[])
{
	struct arguments a = { .master.confdir = POSTERN_SYSCONFDIR };
	int c;

	while ((c = getopt(argc, argv, "ac:fhkns:tV")) != -1) {
		switch (c) {
		case 'a':
			a.check_access = true;
			break;
		case 'c':
			a.master.confdir = optarg;
			break;
		case 'f':
			a.master.foreground = true;
			break;
		case 'k':
			a.master.keep = true;
			break;
		case 'n':
			a.dump = true;
			break;
		case 's':
			a.master.services |= services_of(optarg);
			break;
		case 't':
			a.check = true;
			break;
		case 'V':
			(void)printf("Postern %s\n", PACKAGE_VERSION);
			exit(0);
		case 'h':
			usage(0);
		default:
			usage(1);
		}
	}
	if (optind != argc)
		usage(1);
	return a;
}

struct report {
	bool notes; /* -t wants them too */
};

static void
print_remark(
    void *arg, int severity, const char *file, int line, const char *text)
{
	static const char *const words[] = { "note", "warning", "error" };
	const struct report *r = arg;

	if (severity == CONF_NOTE && !r->notes)
		return;
	if (line > 0)
		(void)fprintf(stderr, "%s:%d: %s: %s\n", file, line,
		    words[severity], text);
	else
		(void)fprintf(
		    stderr, "%s: %s: %s\n", file, words[severity], text);
}

static void
dump(const struct conf *conf)
{
	struct buf out;

	buf_init(&out, 4 * 1024 * 1024);
	conf_dump_changed(conf, &out);
	(void)fwrite(buf_cstr(&out), 1, buf_len(&out), stdout);
	buf_fini(&out);
}

/*
 * Detach: the parent waits until the child serves (a byte) or has ended
 * without (end of file), so that scripts can rely on our exit status.
 */
static int
detach(void)
{
	int pipe_fds[2];
	char byte;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	switch (fork()) {
	case -1:
		return -1;
	case 0:
		break;
	default:
		(void)close(pipe_fds[1]);
		_exit(TEMP_FAILURE_RETRY(read(pipe_fds[0], &byte, 1)) == 1 ? 0
									   : 1);
	}
	(void)close(pipe_fds[0]);
	if (setsid() < 0 || chdir("/") < 0)
		return -1;
	return pipe_fds[1];
}

/*
 * Children have these two as we have them, and programs of users among them:
 * none gets a terminal, or what else we were started with.  Standard error
 * stays until the start has succeeded, in the foreground for good.
 */
static void
leave_standard_streams(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)dup2(fd, STDIN_FILENO);
	(void)dup2(fd, STDOUT_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

/* Descriptors 0 to 4 have fixed meanings in children: none may be free, or a
 * socket would land there. */
static void
occupy_low_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= 4);
	if (fd > 4)
		(void)close(fd);
}

static int
server_main(int argc, char *argv[])
{
	struct arguments a = arguments_parse(argc, argv);
	struct report report = { a.check || a.check_access };
	struct conf *conf;
	char *dir = realpath(a.master.confdir, NULL);
	int ready_fd = -1;

	if (dir == NULL) {
		(void)fprintf(stderr, "posternd: %s: %s\n", a.master.confdir,
		    strerror(errno));
		return 1;
	}
	a.master.confdir = dir;
	conf = conf_load(dir, CONF_SERVER_FILES, print_remark, &report);
	if (conf == NULL)
		return 1;
	if (a.dump)
		dump(conf);
	if (a.dump || a.check || a.check_access) {
		bool good = a.check ? check_files(conf, print_remark, &report)
				    : !a.check_access ||
			check_access_files(conf, print_remark, &report);

		conf_free(&conf);
		free(dir);
		return good ? 0 : 1;
	}
	(void)umask(022);
	if (!a.master.foreground && (ready_fd = detach()) < 0) {
		(void)fprintf(stderr, "posternd: %s\n", strerror(errno));
		return 1;
	}
	leave_standard_streams();
	occupy_low_descriptors();
	if (log_out_open(a.master.foreground ? "stderr"
					     : conf_str(conf, CONF_POSTERN_LOG),
		slice_str(conf_str(conf, CONF_POSTERN_LOG_FACILITY))) != 0) {
		(void)fprintf(stderr, "posternd: %s: %s\n",
		    conf_str(conf, CONF_POSTERN_LOG), strerror(errno));
		return 1;
	}
	service_log_setup(conf);
	return master_main(&a.master, conf, ready_fd);
}

int
main(int argc, char *argv[])
{
	uint32_t index;

	if (help_asked(argc, argv, usage_text))
		return 0;
	log_set_ident("posternd");
	/* One that the master starts would be called "exe" (MASTER_SELF). */
	(void)prctl(PR_SET_NAME, "posternd", 0, 0, 0);
	if (argc == 3 && strcmp(argv[1], "--login") == 0 &&
	    num_u32(slice_str(argv[2]), &index))
		return login_main(index);
	if (argc == 6 && strcmp(argv[1], "--loginexec") == 0)
		return hook_main(argv + 2);
	if (argc == 8 && strcmp(argv[1], "--sendmail") == 0)
		return outbox_main(argv + 2);
	return server_main(argc, argv);
}
