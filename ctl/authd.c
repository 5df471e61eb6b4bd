#include "ctl/authd.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/paths.h"
#include "server/conf/conf.h"

/* As long as Courier's library waits. */
enum { WAIT_S = 30, PIECE = 8192 };

static void
ignore(void *arg, int severity, const char *file, int line, const char *text)
{
	(void)arg;
	(void)severity;
	(void)file;
	(void)line;
	(void)text;
}

/* Who may use the socket may not be able to read authdaemonrc. */
static bool
socket_path(const char *confdir, struct sockaddr_un *sun)
{
	struct conf *conf =
	    conf_load(confdir != NULL ? confdir : POSTERN_PKGCONFDIR,
		CONF_BIT(CONF_FILE_AUTHDAEMONRC), ignore, NULL);
	const char *var = conf != NULL
	    ? conf_str(conf, CONF_AUTHDAEMONRC_authdaemonvar)
	    : POSTERN_AUTHDAEMONVAR;
	int n;

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/socket", var);
	if (conf != NULL)
		conf_free(&conf);
	if (n > 0 && (size_t)n < sizeof(sun->sun_path))
		return true;
	errno = ENAMETOOLONG;
	return false;
}

static int
dial(const char *confdir)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	struct sockaddr_un sun;
	int fd, keep;

	if (!socket_path(confdir, &sun))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	keep = errno;
	(void)close(fd);
	errno = keep;
	return -1;
}

static int
exchange(int fd, const struct buf *request, struct buf *out)
{
	struct slice s = buf_slice(request);
	ssize_t n;

	while (s.n != 0) {
		n = TEMP_FAILURE_RETRY(send(fd, s.p, s.n, MSG_NOSIGNAL));
		if (n < 0)
			return ERR_SYS;
		s = slice_skip(s, (size_t)n);
	}
	do {
		uint8_t *to = buf_reserve(out, PIECE);

		if (to == NULL) {
			errno = EMSGSIZE;
			return ERR_LIMIT;
		}
		n = TEMP_FAILURE_RETRY(recv(fd, to, PIECE, 0));
		if (n > 0)
			buf_advance(out, (size_t)n);
	} while (n > 0);
	if (n == 0 && buf_len(out) == 0)
		errno = EIO;
	return n == 0 && buf_len(out) != 0 ? 0 : ERR_SYS;
}

int
authd_ask(const char *confdir, const struct buf *request, struct buf *out)
{
	int fd = dial(confdir), result, keep;

	if (fd < 0)
		return ERR_SYS;
	result = exchange(fd, request, out);
	keep = errno;
	(void)close(fd);
	errno = keep;
	return result;
}
