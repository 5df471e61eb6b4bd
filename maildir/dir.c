#include "maildir/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"

int
dir_reader_open(struct dir_reader *r, int dirfd, const char *name)
{
	int fd = fsx_open_dir(dirfd, name), keep;

	*r = (struct dir_reader){ 0 };
	if (fd < 0)
		return -1;
	if ((r->d = fdopendir(fd)) != NULL)
		return 0;
	keep = errno;
	(void)close(fd);
	errno = keep;
	return -1;
}

bool
dir_reader_next(struct dir_reader *r, struct slice *name)
{
	struct dirent *entry;

	for (;;) {
		errno = 0;
		entry = readdir(r->d);
		if (entry == NULL) {
			r->failed = errno != 0;
			return false;
		}
		*name = slice_str(entry->d_name);
		if (!slice_eq(*name, SLICE(".")) &&
		    !slice_eq(*name, SLICE("..")))
			return true;
	}
}

int
dir_reader_fd(const struct dir_reader *r)
{
	return dirfd(r->d);
}

void
dir_reader_close(struct dir_reader *r)
{
	if (r->d != NULL)
		(void)closedir(r->d);
	r->d = NULL;
}

int
dir_open_sub(int root_fd, struct slice dir, const char *sub)
{
	char *path =
	    mem_printf("%.*s%s%s", SLICE_ARG(dir), dir.n != 0 ? "/" : "", sub);
	int fd = fsx_open_dir(root_fd, path), keep = errno;

	free(path);
	errno = keep;
	return fd;
}
