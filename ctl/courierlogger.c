/*
 * courierlogger: lines of standard input, or of another program's standard
 * error, to syslog; and a program as a daemon that a pid file names.  With
 * Courier's options.
 *
 * Layer:  ctl, uses base.
 */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSLOG_NAMES
#include <syslog.h>

#include "base/help.h"
#include "base/num.h"
#include "ctl/pid_lock.h"

enum { LINE_MAX_BYTES = 8192, KILL_AFTER_S = 8, RESPAWN_S = 1 };

struct arguments {
	const char *name, *pidfile, *user, *group;
	int facility;
	bool start, stop, restart, respawn, droproot;
	char **command; /* NULL: standard input */
	uid_t uid;
	gid_t gid;
	bool has_uid, has_gid;
};

static volatile sig_atomic_t child_pid, ending;

static int
failed(const char *what)
{
	(void)fprintf(stderr, "courierlogger: %s: %s\n", what, strerror(errno));
	return 1;
}

/* --- signals go to the child ---------------------------------------------- */

static void
on_signal(int sig)
{
	int keep = errno;

	if (sig == SIGTERM) {
		ending = 1;
		(void)alarm(KILL_AFTER_S);
	}
	if (child_pid > 0)
		(void)kill((pid_t)child_pid, sig == SIGALRM ? SIGKILL : sig);
	else if (ending)
		_exit(0);
	errno = keep;
}

static void
forward_signals(void)
{
	static const int sigs[] = { SIGTERM, SIGHUP, SIGALRM };
	struct sigaction act = { .sa_handler = on_signal,
		.sa_flags = SA_RESTART };

	for (size_t i = 0; i < NELEMS(sigs); i++)
		(void)sigaction(sigs[i], &act, NULL);
}

/* --- lines ---------------------------------------------------------------- */

static void
log_line(const char *line)
{
	static const struct {
		const char *word;
		int priority;
	} words[] = {
		{ "DEBUG:", LOG_DEBUG },
		{ "INFO:", LOG_INFO },
		{ "WARN:", LOG_WARNING },
		{ "ERR:", LOG_ERR },
		{ "ALERT:", LOG_ALERT },
		{ "CRIT:", LOG_CRIT },
	};
	int priority = LOG_INFO;

	for (size_t i = 0; i < NELEMS(words); i++) {
		size_t n = strlen(words[i].word);

		if (strncmp(line, words[i].word, n) != 0)
			continue;
		priority = words[i].priority;
		line += n + strspn(line + n, " ");
		break;
	}
	syslog(priority, "%s", line);
}

static void
log_lines(int fd)
{
	FILE *in = fdopen(fd, "r");
	char line[LINE_MAX_BYTES];

	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		log_line(line);
	}
	if (in != NULL)
		(void)fclose(in);
}

/* --- who to be ------------------------------------------------------------ */

static bool
find_user(struct arguments *a)
{
	const struct passwd *pw;
	uint32_t id;

	if (num_u32(slice_str(a->user), &id)) {
		pw = getpwuid((uid_t)id);
	} else {
		pw = getpwnam(a->user);
		if (pw == NULL)
			return false;
		id = pw->pw_uid;
	}
	if (pw != NULL) {
		a->gid = pw->pw_gid;
		a->has_gid = true;
	}
	a->uid = (uid_t)id;
	a->has_uid = true;
	return a->uid != (uid_t)-1; /* to setresuid(2): stay who you are */
}

static bool
find_group(struct arguments *a)
{
	const struct group *gr;
	uint32_t id;

	if (!num_u32(slice_str(a->group), &id)) {
		gr = getgrnam(a->group);
		if (gr == NULL)
			return false;
		id = gr->gr_gid;
	}
	a->gid = (gid_t)id;
	a->has_gid = true;
	return a->gid != (gid_t)-1;
}

static bool
find_ids(struct arguments *a)
{
	return (a->user == NULL || find_user(a)) &&
	    (a->group == NULL || find_group(a));
}

static bool
drop_root(const struct arguments *a)
{
	if (geteuid() != 0 || (!a->has_uid && !a->has_gid))
		return true;
	if (setgroups(0, NULL) < 0 ||
	    (a->has_gid && setresgid(a->gid, a->gid, a->gid) < 0))
		return false;
	return !a->has_uid || setresuid(a->uid, a->uid, a->uid) == 0;
}

/* --- the program ---------------------------------------------------------- */

/* Start it; the end of the pipe that its standard error is. */
static int
start_child(const struct arguments *a)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGTERM, SIG_DFL);
		(void)signal(SIGHUP, SIG_DFL);
		if (dup2(fds[1], STDERR_FILENO) < 0)
			_exit(127);
		(void)execvp(a->command[0], a->command);
		(void)fprintf(
		    stderr, "ERR: %s: %s\n", a->command[0], strerror(errno));
		_exit(127);
	}
	(void)close(fds[1]);
	if (pid < 0) {
		(void)close(fds[0]);
		return -1;
	}
	child_pid = pid;
	return fds[0];
}

static int
run_command(const struct arguments *a)
{
	do {
		int fd = start_child(a), status;

		if (fd < 0)
			return failed(a->command[0]);
		if (!a->droproot && !drop_root(a))
			return failed("cannot be another user");
		log_lines(fd);
		(void)TEMP_FAILURE_RETRY(waitpid((pid_t)child_pid, &status, 0));
		child_pid = 0;
		if (a->respawn && !ending)
			(void)sleep(RESPAWN_S);
	} while (a->respawn && !ending);
	return 0;
}

static int
run(const struct arguments *a)
{
	openlog(a->name, LOG_NDELAY, a->facility);
	forward_signals();
	if (a->droproot && !drop_root(a))
		return failed("cannot be another user");
	if (a->command != NULL)
		return run_command(a);
	if (!drop_root(a))
		return failed("cannot be another user");
	log_lines(STDIN_FILENO);
	return 0;
}

/* --- the daemon ----------------------------------------------------------- */

/* The parent returns when the daemon has its lock and pid file. */
static int
start_daemon(const struct arguments *a)
{
	int ready[2], null, lock;
	char ok;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return failed("pipe");
	pid = fork();
	if (pid < 0)
		return failed("fork");
	if (pid > 0) {
		int status = 1;

		(void)close(ready[1]);
		if (read(ready[0], &ok, 1) == 1)
			return 0;
		(void)waitpid(pid, &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	(void)setsid();
	lock = pid_lock_take(a->pidfile);
	if (lock == PID_LOCK_HELD) /* it is running already */
		_exit(0);
	if (lock < 0 || pid_lock_write(a->pidfile) < 0)
		_exit(failed(a->pidfile));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= STDERR_FILENO && null >= 0; fd++)
		(void)dup2(null, fd);
	(void)!write(ready[1], "x", 1);
	(void)close(ready[1]);
	pid = run(a);
	(void)unlink(a->pidfile);
	_exit((int)pid);
}

/* --- main ----------------------------------------------------------------- */

static bool
facility_of(const char *name, int *out)
{
	for (const CODE *c = facilitynames; c->c_name != NULL; c++)
		if (strcmp(c->c_name, name) == 0) {
			*out = c->c_val;
			return true;
		}
	return false;
}

/* NULL, or what is wrong. */
static const char *
take_option(struct arguments *a, const char *o)
{
	static char text[128];

	if (strncmp(o, "-name=", 6) == 0)
		a->name = o + 6;
	else if (strncmp(o, "-pid=", 5) == 0)
		a->pidfile = o + 5;
	else if (strncmp(o, "-user=", 6) == 0)
		a->user = o + 6;
	else if (strncmp(o, "-group=", 7) == 0)
		a->group = o + 7;
	else if (strcmp(o, "-start") == 0)
		a->start = true;
	else if (strcmp(o, "-stop") == 0)
		a->stop = true;
	else if (strcmp(o, "-restart") == 0)
		a->restart = true;
	else if (strcmp(o, "-respawn") == 0)
		a->respawn = true;
	else if (strcmp(o, "-droproot") == 0)
		a->droproot = true;
	else if (strncmp(o, "-facility=", 10) != 0 ||
	    !facility_of(o + 10, &a->facility)) {
		(void)snprintf(text, sizeof(text), "%s '%.80s'",
		    strncmp(o, "-facility=", 10) == 0 ? "Unknown facility name"
						      : "Unknown option",
		    strncmp(o, "-facility=", 10) == 0 ? o + 10 : o);
		return text;
	}
	return NULL;
}

int
main(int argc, char *argv[])
{
	struct arguments a = { .name = "courierlogger", .facility = LOG_MAIL };
	const char *wrong = NULL;
	int i = 1;

	if (help_asked(argc, argv,
		"Usage: courierlogger [-name=ident] [-facility=facility]\n"
		"           [-user=user] [-group=group] [-droproot]\n"
		"           [-pid=file] [-respawn] [-start] [command ...]\n"
		"       courierlogger -pid=file -stop | -restart\n"))
		return 0;
	for (; i < argc && argv[i][0] == '-' && wrong == NULL; i++)
		wrong = take_option(&a, argv[i]);
	a.command = i < argc ? argv + i : NULL;
	if (wrong == NULL && a.pidfile == NULL &&
	    (a.start || a.stop || a.restart))
		wrong = "-pid argument required";
	if (wrong == NULL && !find_ids(&a))
		wrong = "no such user or group";
	if (wrong != NULL) {
		(void)fprintf(stderr, "courierlogger: %s\n", wrong);
		return 1;
	}
	if (a.stop || a.restart) {
		int rc = a.stop ? pid_lock_stop(a.pidfile)
				: pid_lock_restart(a.pidfile);

		return rc == 0 ? 0 : failed(a.pidfile);
	}
	if (a.pidfile != NULL && a.command != NULL)
		return start_daemon(&a);
	return run(&a);
}
