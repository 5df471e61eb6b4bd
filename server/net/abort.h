/*
 * abort: what is done to a client that doesn't read.
 *
 * Layer:  server/net.
 */
#ifndef NET_ABORT_H
#define NET_ABORT_H

#include <sys/socket.h>

/*
 * When the socket is closed the connection is reset, and what the kernel has
 * of it dropped: else it would keep megabytes for as long as the other end
 * answers, which needs no program there.
 */
static inline void
net_abort(int fd)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

#endif
