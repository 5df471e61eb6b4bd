#include "maildir/shared_link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/acl.h"
#include "maildir/internal.h"
#include "maildir/link_target.h"
#include "maildir/name.h"

enum { PATH_BYTES = 4096 };

void
shared_link_own_file(struct account *near, struct buf *path)
{
	buf_puts(path, near->path);
	buf_puts(path, "/shared-maildirs");
}

bool
shared_links_exist(struct account *near, const struct shared_options *o)
{
	struct buf own;
	struct stat st;
	bool exist;

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	if (o->links == NULL)
		return false;
	buf_init(&own, PATH_BYTES);
	shared_link_own_file(near, &own);
	exist = (fsx_stat(AT_FDCWD, buf_cstr(&own), &st) == 0 &&
		    S_ISREG(st.st_mode)) ||
	    (o->links[0] != '\0' && fsx_stat(AT_FDCWD, o->links, &st) == 0 &&
		S_ISREG(st.st_mode));
	buf_fini(&own);
	return exist;
}

static bool
target_in(
    struct account *near, const char *file, struct slice nick, struct buf *path)
{
	struct shared_indexes **all = &near->store->shared;
	const struct shared_index *x =
	    shared_index_get(all, file, SHARED_LINKS);
	const struct shared_line *line;

	if (x == NULL)
		return false;
	line = shared_index_find(x, nick);
	if (line != NULL)
		buf_puts(path, line->target);
	shared_index_unref(*all, x);
	return line != NULL;
}

bool
shared_link_target(struct account *near, const struct shared_options *o,
    struct slice nick, struct buf *path)
{
	struct buf own;
	bool found;

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	if (o->links == NULL)
		return false;
	buf_init(&own, PATH_BYTES);
	shared_link_own_file(near, &own);
	found = target_in(near, buf_cstr(&own), nick, path) ||
	    (o->links[0] != '\0' && target_in(near, o->links, nick, path));
	buf_fini(&own);
	return found;
}

/* Whether a path is that of the account itself, by whatever name. */
static bool
is_itself(const struct account *near, const char *path)
{
	struct stat there, here;

	if (strcmp(path, near->path) == 0)
		return true;
	return fsx_stat(AT_FDCWD, path, &there) == 0 &&
	    stat(near->path, &here) == 0 && there.st_dev == here.st_dev &&
	    there.st_ino == here.st_ino;
}

int
shared_link_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	struct slice nick;

	if (!shared_link_name_valid(name))
		goto none;
	name = slice_skip(name, sizeof(SHARED_LINK_ROOT));
	if (!slice_split(&name, '.', &nick) || name.n == 0 ||
	    !shared_link_target(near, o, nick, path) ||
	    link_target_check(buf_cstr(path), geteuid()) != LINK_OK ||
	    is_itself(near, buf_cstr(path)))
		goto none;
	buf_puts(mailbox, "INBOX.");
	buf_put(mailbox, name);
	return 0;
none:
	return err_set(e, ERR_NOT_FOUND, "no such shared folder");
}

/* --- rights -------------------------------------------------------------- */

/* The bits 0 to 7 that count for who isn't the owner. */
static unsigned
bits_for_others(int root_fd, const char *dir, const char *sub, mode_t *mode)
{
	struct buf path;
	struct stat st;
	unsigned bits = 0;

	buf_init(&path, PATH_BYTES);
	buf_puts(&path, dir);
	buf_puts(&path, sub);
	*mode = 0;
	if (fsx_stat(root_fd, buf_cstr(&path), &st) == 0 &&
	    S_ISDIR(st.st_mode)) {
		*mode = st.st_mode;
		bits = st.st_mode & 7;
		if (st.st_gid == getegid())
			bits |= (st.st_mode >> 3) & 7;
	}
	buf_fini(&path);
	return bits;
}

unsigned
shared_link_rights(int root_fd, const char *dir)
{
	enum { SEARCH = 1, WRITE = 2, READ = 4, ALL = 7 };
	unsigned folder, cur, new;
	mode_t mode, unused;

	/* INBOX isn't a folder, to Courier */
	if (dir[0] == '\0' ||
	    (bits_for_others(root_fd, ".", "", &unused) & SEARCH) == 0)
		return 0;
	folder = bits_for_others(root_fd, dir, "", &mode);
	cur = bits_for_others(root_fd, dir, "/cur", &unused);
	new = bits_for_others(root_fd, dir, "/new", &unused);
	if ((folder & cur & new &(READ | SEARCH)) != (READ | SEARCH))
		return 0;
	/* what maildirmake -s write makes: messages are added, and changed by
	 * their owners only, who aren't known here */
	if ((mode & S_ISVTX) != 0 && (cur & new &ALL) == ALL)
		return ACL_LOOKUP | ACL_READ | ACL_SEEN | ACL_WRITE |
		    ACL_INSERT;
	return ACL_LOOKUP | ACL_READ;
}

unsigned
account_link_rights(struct account *a, struct slice name)
{
	struct buf dir;
	unsigned rights = 0;

	buf_init(&dir, 1024);
	if (name_to_dir(a->root_fd, name, &dir) == 0)
		rights = shared_link_rights(a->root_fd, buf_cstr(&dir));
	buf_fini(&dir);
	return rights;
}
