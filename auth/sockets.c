#include "auth/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fcntl.h>
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

/*
 * Give it to whom it is for.  Whoever may write to the directory may have put
 * another file in its place, by a link to one that is not his: maybe a socket,
 * too, which has its first name still.
 */
static int
give_away(const char *path, uid_t uid, gid_t gid, struct err *e)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), result = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		result = err_sys(e, "%s", path);
	else if (!S_ISSOCK(st.st_mode) || st.st_nlink != 1 ||
	    st.st_uid != geteuid())
		result =
		    err_set(e, ERR_DENIED, "%s: not our socket any more", path);
	else if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) != 0)
		result = err_sys(e, "%s: chown", path);
	if (fd >= 0)
		(void)close(fd);
	return result;
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
	else
		n = uid != (uid_t)-1 || gid != (gid_t)-1
		    ? give_away(sun.sun_path, uid, gid, e)
		    : 0;
	if (n == 0 && rename(sun.sun_path, path) != 0)
		n = err_sys(e, "%s", path);
	if (n == 0)
		return fd;
	(void)unlink(sun.sun_path);
	(void)close(fd);
	return n;
}
