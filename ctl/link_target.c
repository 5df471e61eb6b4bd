#include "ctl/link_target.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"

static bool
is_folder(const char *path)
{
	int fd = fsx_open_dir(AT_FDCWD, path);
	struct stat st;
	bool is;

	if (fd < 0)
		return false;
	is = fsx_stat(fd, "maildirfolder", &st) == 0;
	(void)close(fd);
	return is;
}

const char *
link_target_error(const char *path, const char *visitor)
{
	char *real = realpath(path, NULL);
	bool direct = real != NULL && strcmp(real, path) == 0;
	struct stat target, own;

	free(real);
	if (!direct)
		return "there is a symbolic link or .. on the way, or a slash "
		       "too much: write what realpath prints";
	if (stat(path, &target) < 0 || !S_ISDIR(target.st_mode))
		return "it is no directory";
	if (is_folder(path))
		return "it is a folder, not a Maildir";
	if (stat(visitor, &own) == 0 && own.st_uid != target.st_uid)
		return "it belongs to another user than this Maildir";
	return NULL;
}
