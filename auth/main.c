/*
 * authdaemond [-c CONFDIR] [-f] [start|stop|restart|status]
 *
 * Without a word, or with start, it becomes a daemon; -f stays in the
 * foreground and logs on standard error.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/keeper.h"
#include "auth/log_target.h"
#include "auth/pidfile.h"
#include "auth/settings.h"
#include "base/clock.h"
#include "base/help.h"
#include "base/log.h"
#include "base/mem.h"

enum { STOP_KILL_MS = 10 * 1000, STOP_POLL_US = 20 * 1000 };

enum word {
	WORD_START,
	WORD_STOP,
	WORD_RESTART,
	WORD_STATUS,
	WORD_CONFIGTEST,
};

struct command_line {
	enum word word;
	const char *dir;
	bool foreground;
};

static const char usage_text[] =
    "usage: authdaemond [-f] [-c CONFDIR] "
    "[start|stop|restart|status|configtest]\n"
    "  -c  read the configuration from there\n"
    "  -f  stay in the foreground, log on standard error\n";

static void
usage(void)
{
	(void)fprintf(stderr, "Unknown option\n%s", usage_text);
}

static bool
take_word(const char *text, enum word *word)
{
	static const char *const words[] = { "start", "stop", "restart",
		"status", "configtest" };

	/* courierlogger took them with a dash. */
	if (text[0] == '-')
		text++;
	for (size_t i = 0; i < NELEMS(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*word = (enum word)i;
			return true;
		}
	return false;
}

static bool
take_arguments(int argc, char **argv, struct command_line *out)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0)
			out->foreground = true;
		else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc)
			out->dir = argv[++i];
		else if (!take_word(argv[i], &out->word))
			return false;
	}
	return true;
}

/* --- start -------------------------------------------------------------- */

/* authdaemonvar, if it lacks: 0750, of the user that authdaemond becomes. */
static bool
make_var(const struct settings *s)
{
	const char *var = settings_var(s);
	struct passwd *pw;

	if (mkdir(var, 0750) != 0) {
		if (errno == EEXIST)
			return true;
		log_error("%s: %s", var, strerrordesc_np(errno));
		return false;
	}
	pw = getuid() == 0 ? getpwnam(settings_user(s)) : NULL;
	if (pw != NULL && lchown(var, pw->pw_uid, pw->pw_gid) != 0) {
		log_error("%s: chown: %s", var, strerrordesc_np(errno));
		return false;
	}
	return true;
}

/*
 * Leave the terminal.  Returns in the daemon, with the descriptor that gets a
 * byte when clients are served; the first process waits for it and exits.
 */
static int
daemonize(void)
{
	int ready[2], null;
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid != 0) {
		(void)close(ready[1]);
		_exit(
		    TEMP_FAILURE_RETRY(read(ready[0], &byte, 1)) == 1 ? 0 : 1);
	}
	(void)close(ready[0]);
	(void)setsid();
	if (chdir("/") != 0)
		return -1;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -1;
	for (int fd = 0; fd <= 2; fd++)
		(void)dup2(null, fd);
	(void)close(null);
	return ready[1];
}

static void
raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

/* A relative path would mean something else once a daemon. */
static char *
absolute(const char *dir)
{
	char *path = dir != NULL ? realpath(dir, NULL) : NULL;

	return path != NULL || dir == NULL ? path : mem_strdup(dir);
}

static int
start(const struct command_line *cl, struct settings *s)
{
	struct keeper_options o = { .foreground = cl->foreground,
		.ready_fd = -1 };
	int status;

	if (!make_var(s))
		return 1;
	o.lock_fd = pidfile_lock(settings_var(s));
	if (o.lock_fd == PIDFILE_HELD)
		return 0;
	if (o.lock_fd < 0)
		return 1;
	o.dir = cl->dir;
	if (!cl->foreground) {
		/* A POSIX lock isn't inherited: it is taken again. */
		(void)close(o.lock_fd);
		o.ready_fd = daemonize();
		if (o.ready_fd < 0)
			return 1;
		o.lock_fd = pidfile_lock(settings_var(s));
		if (o.lock_fd < 0)
			return o.lock_fd == PIDFILE_HELD ? 0 : 1;
	}
	log_target_open(s, cl->foreground);
	raise_limits();
	(void)signal(SIGPIPE, SIG_IGN);
	if (!pidfile_write(settings_var(s)))
		return 1;
	pidfile_remember(settings_var(s));
	status = keeper_run(&o, s);
	pidfile_remove();
	(void)close(o.lock_fd);
	return status;
}

/* --- stop and the rest -------------------------------------------------- */

static int
stop(const struct settings *s)
{
	const char *var = settings_var(s);
	pid_t pid = pidfile_holder(var);
	int64_t begun = clock_now();

	if (pid <= 0)
		return 0;
	(void)kill(pid, SIGTERM);
	while (pidfile_holder(var) == pid) {
		(void)usleep(STOP_POLL_US);
		if (clock_now() - begun > STOP_KILL_MS) {
			(void)kill(pid, SIGKILL);
			begun = clock_now();
		}
	}
	return 0;
}

static int
restart(const struct settings *s)
{
	pid_t pid = pidfile_holder(settings_var(s));

	if (pid > 0)
		(void)kill(pid, SIGHUP);
	return 0;
}

static int
status(const struct settings *s)
{
	pid_t pid = pidfile_holder(settings_var(s));

	if (pid > 0)
		(void)printf("authdaemond is running, pid %d\n", (int)pid);
	else
		(void)printf("authdaemond is not running\n");
	return pid > 0 ? 0 : 3;
}

static int
run(const struct command_line *cl, struct settings *s)
{
	switch (cl->word) {
	case WORD_START:
		return start(cl, s);
	case WORD_STOP:
		return stop(s);
	case WORD_RESTART:
		return restart(s);
	case WORD_STATUS:
		return status(s);
	case WORD_CONFIGTEST:
		/* What was wrong has been said, and ended us, before. */
		return 0;
	}
	return 1;
}

int
main(int argc, char **argv)
{
	struct command_line cl = { .word = WORD_START };
	struct settings s;
	char *dir;
	int result = 1;

	if (help_asked(argc, argv, usage_text))
		return 0;
	log_set_ident("authdaemond");
	if (!take_arguments(argc, argv, &cl)) {
		usage();
		return 1;
	}
	dir = absolute(cl.dir);
	cl.dir = dir;
	if (settings_load(&s, dir)) {
		result = run(&cl, &s);
		settings_free(&s);
	}
	free(dir);
	return result;
}
