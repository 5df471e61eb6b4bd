#include "config.h"

#include "auth/sandbox.h"

#ifdef WITH_SANITIZERS

bool
sandbox_front(void)
{
	return true;
}

#else

# include <sys/socket.h>

# include <errno.h>
# include <seccomp.h>
# include <time.h>

# include <openssl/crypto.h>

static const int allowed[] = {
	/* sockets that are there */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(getsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(close),
	SCMP_SYS(fcntl),
	/* the loop */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(restart_syscall),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	/* itself */
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(uname),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* the logger, when it was restarted */
	SCMP_SYS(connect),
};

/* socket(AF_UNIX, SOCK_DGRAM with whatever flags, …) */
static const struct scmp_arg_cmp unix_datagram[] = {
	{ .arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_UNIX },
	{ .arg = 1,
	    .op = SCMP_CMP_MASKED_EQ,
	    .datum_a = 0xf,
	    .datum_b = SOCK_DGRAM },
};

bool
sandbox_front(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool ok = ctx != NULL;

	/* What reads a file at its first use has it now: the time zone, and
	 * OpenSSL its configuration. */
	tzset();
	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
	for (size_t i = 0; ok && i < NELEMS(allowed); i++)
		ok = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
	ok = ok &&
	    seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket),
		NELEMS(unix_datagram), unix_datagram) == 0 &&
	    seccomp_load(ctx) == 0;
	if (ctx != NULL)
		seccomp_release(ctx);
	return ok;
}

#endif
