/*
 * sandbox: what each role may do still, what it is refused, and what ends it.
 * Each case runs in a process of its own.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/sandbox.h"

enum outcome { ALLOWED, REFUSED, ENDED };

/* Each returns whether the call did what it is for. */

static bool
do_memory(void)
{
	void *p = malloc(64 << 20);
	bool ok = p != NULL;

	free(p);
	return ok;
}

static bool
do_clock(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_MONOTONIC, &t) == 0;
}

static bool
do_pair(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
	    send(pair[0], "x", 1, MSG_NOSIGNAL) == 1 &&
	    shutdown(pair[0], SHUT_WR) == 0;
}

static bool
do_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool
do_file(void)
{
	char path[] = "/tmp/test_sandbox.XXXXXX";
	int fd = mkstemp(path);

	return fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 &&
	    ftruncate(fd, 0) == 0 && close(fd) == 0 && unlink(path) == 0;
}

/* What Courier keeps a subscription to a folder by link in. */
static bool
do_symlink(void)
{
	char path[] = "/tmp/test_sandbox.XXXXXX";
	int fd = mkstemp(path);

	return fd >= 0 && unlink(path) == 0 &&
	    symlinkat("/nowhere", AT_FDCWD, path) == 0 && unlink(path) == 0;
}

/* Of a converter that is loaded as a shared object. */
static bool
do_iconv(void)
{
	iconv_t cd = iconv_open("UTF-8", "ISO-2022-KR");

	if (cd == (iconv_t)-1)
		return false;
	(void)iconv_close(cd);
	return true;
}

static bool
do_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool
do_exec(void)
{
	static char name[] = "/bin/true";
	char *argv[] = { name, NULL };

	(void)execv(name, argv);
	return false;
}

static bool
do_fork(void)
{
	return fork() >= 0;
}

static bool
do_bind(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	(void)bind(0, (const struct sockaddr *)(const void *)&in, sizeof(in));
	return false;
}

static bool
do_setuid(void)
{
	return setuid(getuid()) == 0;
}

static bool
do_run_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool
do_make_runnable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool
do_tgkill(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) == 0;
}

static bool
do_kill(void)
{
	return kill(getppid(), 0) == 0;
}

static const struct {
	const char *name;
	bool (*act)(void);
	enum outcome login, worker;
} cases[] = {
	{ "memory", do_memory, ALLOWED, ALLOWED },
	{ "clock", do_clock, ALLOWED, ALLOWED },
	{ "open", do_open, REFUSED, ALLOWED },
	{ "socketpair", do_pair, ALLOWED, ENDED },
	{ "file", do_file, REFUSED, ALLOWED },
	{ "symlink", do_symlink, REFUSED, ALLOWED },
	{ "iconv", do_iconv, REFUSED, ALLOWED },
	{ "socket", do_socket, REFUSED, REFUSED },
	{ "fork", do_fork, REFUSED, REFUSED },
	{ "exec", do_exec, ENDED, ENDED },
	{ "bind", do_bind, ENDED, ENDED },
	{ "setuid", do_setuid, ENDED, ENDED },
	{ "kill", do_kill, ENDED, ENDED },
	{ "tgkill", do_tgkill, ENDED, ENDED },
	{ "run memory", do_run_memory, ENDED, ENDED },
	{ "make runnable", do_make_runnable, ENDED, ENDED },
};

static void
run(enum sandbox_role role, bool (*act)(void))
{
	struct err e;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		_exit(3);
	if (sandbox_enter(role, &e) != 0)
		_exit(4);
	_exit(act() ? 0 : 1);
}

static enum outcome
try_in(enum sandbox_role role, const char *name, bool (*act)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		run(role, act);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		if (WTERMSIG(status) != SIGSYS)
			fail_msg("%s: signal %d", name, WTERMSIG(status));
		return ENDED;
	}
	if (WEXITSTATUS(status) > 1)
		fail_msg("%s: no sandbox", name);
	return WEXITSTATUS(status) == 0 ? ALLOWED : REFUSED;
}

static bool
is_built_in(void)
{
#ifdef WITH_SANITIZERS
	return false;
#else
	return true;
#endif
}

static void
keeps_roles_apart(void **state)
{
	(void)state;
	if (!is_built_in()) {
		print_message("skip keeps_roles_apart: sanitizers need calls "
			      "that the sandbox forbids\n");
		skip();
	}
	for (size_t i = 0; i < NELEMS(cases); i++) {
		if (try_in(SANDBOX_LOGIN, cases[i].name, cases[i].act) !=
		    cases[i].login)
			fail_msg("login: %s", cases[i].name);
		if (try_in(SANDBOX_WORKER, cases[i].name, cases[i].act) !=
		    cases[i].worker)
			fail_msg("worker: %s", cases[i].name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_roles_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
