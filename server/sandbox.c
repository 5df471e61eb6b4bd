#include "config.h"

#include "server/sandbox.h"

#include <sys/prctl.h>

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>

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
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
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
	SCMP_SYS(tgkill),
	SCMP_SYS(uname),
	SCMP_SYS(write),
	SCMP_SYS(writev),
};

static const int login_only[] = {
	SCMP_SYS(accept4),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
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
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(msync),
	SCMP_SYS(open),
	SCMP_SYS(openat),
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
	SCMP_SYS(umask),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(utimensat),
};

/* Tried by libraries, and done without. */
static const int refused[] = {
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(connect),
	SCMP_SYS(fchown),
	SCMP_SYS(prctl),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(socket),
};

/* For a login process also: a missing file is what they expect. */
static const int refused_login[] = {
	SCMP_SYS(access),
	SCMP_SYS(ioctl),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(prlimit64),
	SCMP_SYS(readlink),
	SCMP_SYS(stat),
	SCMP_SYS(statx),
};

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

static int
fill(scmp_filter_ctx ctx, enum sandbox_role role)
{
	bool login = role == SANDBOX_LOGIN;
	int r = add(ctx, SCMP_ACT_ALLOW, common, NELEMS(common));

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

int
sandbox_enter(enum sandbox_role role, struct err *e)
{
#ifdef WITH_SANITIZERS
	(void)role;
	(void)e;
	return 0;
#else
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
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
#endif
}
