#include "auth/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* Bind with exactly this mode: chmod() afterwards would follow a link that
 * somebody with rights on the directory put there meanwhile. */
static int
bind_mode(int fd, const struct sockaddr_un *sun, mode_t mode)
{
	mode_t old = umask(0777 & ~mode);
	int r = bind(fd, (const struct sockaddr *)sun, sizeof(*sun));

	(void)umask(old);
	return r;
}

int
socket_listen(const char *path, enum socket_kind kind, mode_t mode, uid_t uid,
    gid_t gid, struct err *e)
{
	int type = kind == SOCKET_TICKETS ? SOCK_SEQPACKET : SOCK_STREAM;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s.tmp", path);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return err_set(e, ERR_LIMIT, "%s: path too long", path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	(void)unlink(sun.sun_path);
	if (bind_mode(fd, &sun, mode) != 0 || listen(fd, BACKLOG) != 0)
		n = err_sys(e, "%s", sun.sun_path);
	else if ((uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    lchown(sun.sun_path, uid, gid) != 0)
		n = err_sys(e, "%s: chown", sun.sun_path);
	else if (rename(sun.sun_path, path) != 0)
		n = err_sys(e, "%s", path);
	else
		return fd;
	(void)unlink(sun.sun_path);
	(void)close(fd);
	return n;
}
