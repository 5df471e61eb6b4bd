#include "maildir/link_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fsx.h"

enum { PATH_BYTES = 4096 };

/* Whether a directory is a folder of a Maildir: to be opened by itself it would
 * get an index that it must not have. */
static bool
is_folder(const char *path)
{
	struct buf mark;
	struct stat st;
	bool is;

	buf_init(&mark, PATH_BYTES + 100);
	buf_puts(&mark, path);
	buf_puts(&mark, "/maildirfolder");
	is = fsx_stat(AT_FDCWD, buf_cstr(&mark), &st) == 0;
	buf_fini(&mark);
	return is;
}

static enum link_state
why_not(void)
{
	switch (errno) {
	case ELOOP:
		return LINK_INDIRECT;
	case ENOTDIR:
		return LINK_NO_DIRECTORY;
	case EACCES:
		return LINK_FOREIGN;
	default:
		return LINK_ABSENT;
	}
}

enum link_state
link_target_check(const char *path, uid_t uid)
{
	char *real = realpath(path, NULL);
	enum link_state state = LINK_OK;
	struct stat st;

	if (real == NULL)
		return why_not();
	if (strcmp(real, path) != 0)
		state = LINK_INDIRECT;
	else if (fsx_stat(AT_FDCWD, path, &st) < 0)
		state = LINK_ABSENT;
	else if (!S_ISDIR(st.st_mode))
		state = LINK_NO_DIRECTORY;
	else if (is_folder(path))
		state = LINK_FOLDER;
	else if (st.st_uid != uid)
		state = LINK_FOREIGN;
	free(real);
	return state;
}
