/*
 * hook: the process that runs a Maildir's loginexec as the Maildir's user.
 *
 * --loginexec UID GID MAILDIR SECONDS.  Its exit status is the program's, 124
 * when that had to be killed, 126 when it isn't run.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "server/child.h"
#include "server/master.h"

enum { HOOK_TIMEOUT = 124, HOOK_NOT_RUN = 126 };

static const char program[] = "loginexec";

/* What others could have written would be theirs, not the user's. */
static bool
is_ours(void)
{
	struct stat st;

	return lstat(program, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_uid == geteuid() || st.st_uid == 0) &&
	    (st.st_mode & 0022) == 0 && access(program, X_OK) == 0;
}

/* Wait for it, then for its time to be over; its exit status. */
static int
await(pid_t pid, const sigset_t *children, uint32_t seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds };
	int status = 0;

	/* One signal may stand for several: look each time. */
	while (waitpid(pid, &status, WNOHANG) == 0)
		if (sigtimedwait(children, NULL, &left) < 0) {
			(void)kill(-pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return HOOK_TIMEOUT;
		}
	(void)kill(-pid, SIGKILL); /* what it left behind */
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
hook_main(char *argv[])
{
	char *const command[] = { (char *)(uintptr_t) "./loginexec", NULL };
	uint32_t uid, gid, seconds;
	sigset_t children;
	struct err e;
	pid_t pid;
	int status;

	(void)signal(SIGPIPE, SIG_DFL);
	(void)umask(077);
	if (!num_u32(slice_str(argv[0]), &uid) ||
	    !num_u32(slice_str(argv[1]), &gid) ||
	    !num_u32(slice_str(argv[3]), &seconds) ||
	    child_drop_privileges(uid, gid, &e) != 0 || chdir(argv[2]) < 0 ||
	    !is_ours())
		return HOOK_NOT_RUN;
	(void)sigemptyset(&children);
	(void)sigaddset(&children, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &children, NULL);
	if ((pid = fork()) < 0)
		return HOOK_NOT_RUN;
	if (pid == 0) {
		(void)setsid();
		(void)sigprocmask(SIG_UNBLOCK, &children, NULL);
		(void)execv(command[0], command);
		_exit(HOOK_NOT_RUN);
	}
	status = await(pid, &children, seconds);
	if (status == 0 && unlink(program) < 0)
		return HOOK_NOT_RUN;
	return status;
}
