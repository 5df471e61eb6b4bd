#include "maildir/account_lock.h"

#include <errno.h>
#include <fcntl.h>

int
account_lock(struct account *a, enum account_lock which, short type)
{
	struct flock lock = { .l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)which,
		.l_len = 1 };

	if (a->lock_fd < 0) {
		errno = EBADF;
		return -1;
	}
	return fcntl(a->lock_fd, F_OFD_SETLK, &lock);
}
