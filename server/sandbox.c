#include "config.h"

#include "server/sandbox.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/log.h"

#ifdef WITH_SANITIZERS

int
sandbox_enter(enum sandbox_role role, struct err *e)
{
	(void)role;
	(void)e;
	return 0;
}

#else

/*
 * Allow-lists: what isn't named ends the process with SIGSYS.  Calls that
 * libraries try on the way and do without are refused with an errno instead.
 */

/* Memory, time, signals, and reading and writing what is open. */
static const int common[] = {
	SCMP_SYS(brk),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(futex),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getsockopt),
	SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(lseek),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(newfstatat),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	/* The same on 32-bit systems; nowhere else are they known. */
	SCMP_SYS(_llseek),
	SCMP_SYS(clock_getres_time64),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_nanosleep_time64),
	SCMP_SYS(fcntl64),
	SCMP_SYS(fstat64),
	SCMP_SYS(fstatat64),
	SCMP_SYS(futex_time64),
	SCMP_SYS(getegid32),
	SCMP_SYS(geteuid32),
	SCMP_SYS(getgid32),
	SCMP_SYS(getuid32),
	SCMP_SYS(ppoll_time64),
	SCMP_SYS(recv),
	SCMP_SYS(send),
	SCMP_SYS(sigreturn),
	SCMP_SYS(time),
};

static const int login_only[] = {
	SCMP_SYS(getpeername),
	SCMP_SYS(socketpair),
};

/* Files below the Maildir; threads have been started before. */
static const int worker_only[] = {
	SCMP_SYS(access),
	SCMP_SYS(chdir),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fallocate),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fdatasync),
	SCMP_SYS(flock),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(getrlimit),
	SCMP_SYS(inotify_add_watch),
	SCMP_SYS(inotify_init1),
	SCMP_SYS(inotify_rm_watch),
	SCMP_SYS(ioctl),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(lstat),
	SCMP_SYS(memfd_create), /* what a message is read from: young.h */
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(msync),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(pread64),
	SCMP_SYS(prlimit64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(rmdir),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(stat),
	SCMP_SYS(statfs),
	SCMP_SYS(statx),
	SCMP_SYS(symlinkat), /* a subscription of "shared." */
	SCMP_SYS(syncfs),
	SCMP_SYS(umask),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(utimensat),
	SCMP_SYS(fadvise64_64), /* from here on: 32-bit systems */
	SCMP_SYS(fstatfs64),
	SCMP_SYS(ftruncate64),
	SCMP_SYS(lstat64),
	SCMP_SYS(stat64),
	SCMP_SYS(statfs64),
	SCMP_SYS(ugetrlimit),
	SCMP_SYS(utimensat_time64),
};

/* Tried by libraries, and done without. */
static const int refused[] = {
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(connect),
	SCMP_SYS(fchown),
	SCMP_SYS(fchown32),
	SCMP_SYS(prctl),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(socket),
};

/* For a login process also: a missing file is what they expect. */
static const int refused_login[] = {
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getcwd),
	SCMP_SYS(lstat),
	SCMP_SYS(readlinkat),
	SCMP_SYS(ioctl),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(prlimit64),
	SCMP_SYS(readlink),
	SCMP_SYS(stat),
	SCMP_SYS(stat64),
	SCMP_SYS(statx),
	SCMP_SYS(lstat64),
	SCMP_SYS(ugetrlimit),
};

/* On 32-bit systems mmap(2) takes its arguments from memory, where no filter
 * sees them. */
# if __SIZEOF_POINTER__ == 4
#  define CALL_MMAP SCMP_SYS(mmap2)
# else
#  define CALL_MMAP SCMP_SYS(mmap)
# endif

static int
add(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(ctx, action, calls[i], 0);

		/* -EDOM: this architecture has no such call. */
		if (r != 0 && r != -EDOM && r != -EEXIST)
			return r;
	}
	return 0;
}

/* Allow a call only if its argument has the value under the mask. */
static int
add_if(
    scmp_filter_ctx ctx, int call, unsigned arg, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp cmp = { .arg = arg,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = mask,
		.datum_b = value };
	int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &cmp);

	return r == -EDOM ? 0 : r;
}

/*
 * No memory that can be run, but what a worker maps of a file: iconv loads
 * its converters.  Signals only to itself, for abort(): the other processes
 * of this user are not its business.
 */
static int
add_conditions(scmp_filter_ctx ctx, bool login)
{
	int r = add_if(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);

	if (r == 0)
		r = add_if(ctx, CALL_MMAP, 2, PROT_EXEC, 0);
	if (r == 0 && !login)
		r = add_if(ctx, CALL_MMAP, 2, PROT_WRITE, 0);
	if (r == 0)
		r = add_if(
		    ctx, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint64_t)getpid());
	return r;
}

static int
fill(scmp_filter_ctx ctx, enum sandbox_role role)
{
	bool login = role == SANDBOX_LOGIN;
	int r = add(ctx, SCMP_ACT_ALLOW, common, NELEMS(common));

	if (r == 0)
		r = add_conditions(ctx, login);
	if (r == 0 && login)
		r = add(ctx, SCMP_ACT_ALLOW, login_only, NELEMS(login_only));
	if (r == 0 && !login)
		r = add(ctx, SCMP_ACT_ALLOW, worker_only, NELEMS(worker_only));
	if (r == 0)
		r = add(ctx, SCMP_ACT_ERRNO(EPERM), refused, NELEMS(refused));
	if (r == 0 && login)
		r = add(ctx, SCMP_ACT_ERRNO(ENOENT), refused_login,
		    NELEMS(refused_login));
	return r;
}

/* At LOG_LEVEL debug the number of the call is told before the end. */
static void
on_forbidden(int sig, siginfo_t *info, void *context)
{
	char text[] = "sandbox: forbidden system call      \n";
	size_t at = sizeof(text) - 3;
	int call = info->si_syscall;

	(void)context;
	do
		text[at--] = (char)('0' + call % 10);
	while ((call /= 10) > 0 && text[at] == ' ');
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
	_exit(1);
}

static bool
tell_which(void)
{
	struct sigaction act = { .sa_sigaction = on_forbidden,
		.sa_flags = SA_SIGINFO | SA_NODEFER };

	return log_enabled(LOG_LEVEL_DEBUG) &&
	    sigaction(SIGSYS, &act, NULL) == 0;
}

int
sandbox_enter(enum sandbox_role role, struct err *e)
{
	scmp_filter_ctx ctx =
	    seccomp_init(tell_which() ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
	int r;

	if (ctx == NULL)
		return err_set(e, ERR_SYS, "seccomp_init failed");
	/* All threads, those of the sync pool too. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = fill(ctx, role);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r == 0)
		return 0;
	/* A container may forbid filters: no_new_privs and the dropped ids
	 * remain, and somebody should know. */
	errno = -r;
	return err_sys(e, "seccomp");
}

#endif
