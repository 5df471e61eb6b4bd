/* Subscriptions of "shared.NICK.FOLDER": directories shared-folders/NICK/FOLDER
 * as Courier makes them. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/collect.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/name.h"
#include "maildir/shared_link.h"

#define FOLDERS "shared-folders"

enum { PATH_BYTES = 4096 };

static bool
is_dir(int dirfd, const char *name)
{
	struct stat st;

	return fsx_stat(dirfd, name, &st) == 0 && S_ISDIR(st.st_mode);
}

/* --- which there are ------------------------------------------------------ */

static void
collect_nick(int dirfd, struct slice nick, unsigned *left, struct collect *out)
{
	struct dir_reader r;
	struct slice folder;
	struct buf name;

	if (dir_reader_open(&r, dirfd, (const char *)nick.p) < 0)
		return;
	buf_init(&name, PATH_BYTES);
	while (*left > 0 && dir_reader_next(&r, &folder)) {
		(*left)--;
		buf_reset(&name);
		buf_puts(&name, SHARED_LINK_ROOT ".");
		buf_put(&name, nick);
		buf_putc(&name, '.');
		name_put_decoded(&name, folder);
		if (is_dir(dir_reader_fd(&r), (const char *)folder.p) &&
		    buf_ok(&name) && shared_link_name_valid(buf_slice(&name)))
			collect_add(out, buf_slice(&name), MAILBOX_SUBSCRIBED);
	}
	buf_fini(&name);
	dir_reader_close(&r);
}

void
shared_link_subscriptions(struct account *a, struct collect *out)
{
	unsigned left = SHARED_SUBSCRIPTIONS_MAX;
	struct dir_reader r;
	struct slice nick;

	if (dir_reader_open(&r, a->root_fd, FOLDERS) < 0)
		return;
	while (left > 0 && dir_reader_next(&r, &nick)) {
		left--;
		if (!slice_has(nick, '.'))
			collect_nick(dir_reader_fd(&r), nick, &left, out);
	}
	dir_reader_close(&r);
}

/* --- changes -------------------------------------------------------------- */

/* The directory of a subscription, out of the folder's own spelled ".a.b". */
static void
put_path(struct buf *out, struct slice nick, struct slice dir)
{
	buf_puts(out, FOLDERS "/");
	buf_put(out, nick);
	buf_putc(out, '/');
	buf_put(out, slice_skip(dir, 1));
}

/* A name below tmp/ that is swept up if it stays there. */
static void
put_tmp(struct account *a, struct buf *out)
{
	struct file_unique u = store_unique(a->store, store_wall(a->store));

	buf_puts(out, "tmp/postern-deleted.");
	file_name_tmp(out, &u);
	if (u.counter > a->store->unique)
		a->store->unique = u.counter;
}

/* A link there would lead elsewhere. */
static int
make_parent(struct account *a, const char *path, struct err *e)
{
	if (fsx_mkdir(a->root_fd, path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "mkdir %s", path);
	if (!is_dir(a->root_fd, path))
		return err_set(e, ERR_DENIED, "%s is no directory", path);
	return 0;
}

static int
make_parents(struct account *a, struct slice nick, struct err *e)
{
	struct buf path;
	int rc;

	buf_init(&path, PATH_BYTES);
	buf_puts(&path, FOLDERS "/");
	buf_put(&path, nick);
	rc = make_parent(a, FOLDERS, e);
	if (rc == 0)
		rc = make_parent(a, buf_cstr(&path), e);
	buf_fini(&path);
	return rc;
}

static int
fill(struct account *a, const char *tmp, const char *target, struct err *e)
{
	int fd = fsx_open_dir(a->root_fd, tmp), rc = 0;

	if (fd < 0)
		return err_sys(e, "open %s", tmp);
	if (fsx_mkdir(fd, "cur", 0700) < 0 || fsx_mkdir(fd, "new", 0700) < 0 ||
	    fsx_mkdir(fd, "tmp", 0700) < 0 ||
	    symlinkat(target, fd, "shared") < 0 || fsx_fsync(fd) < 0)
		rc = err_sys(e, "fill %s", tmp);
	(void)close(fd);
	return rc;
}

/* It appears whole, or not at all. */
static int
make(struct account *a, const char *path, const char *target, struct err *e)
{
	struct buf tmp;
	int rc;

	if (is_dir(a->root_fd, path))
		return 0;
	buf_init(&tmp, 1024);
	put_tmp(a, &tmp);
	if (fsx_mkdir(a->root_fd, buf_cstr(&tmp), 0700) < 0)
		rc = err_sys(e, "mkdir %s", buf_cstr(&tmp));
	else if ((rc = fill(a, buf_cstr(&tmp), target, e)) == 0 &&
	    fsx_rename(a->root_fd, buf_cstr(&tmp), a->root_fd, path) < 0)
		rc = err_sys(e, "rename to %s", path);
	if (rc != 0)
		a->sweep = true;
	buf_fini(&tmp);
	return rc;
}

/* target: the Maildir; mailbox: in it. */
static int
subscribe(struct account *a, struct slice nick, struct buf *target,
    struct slice mailbox, struct err *e)
{
	struct buf path, dir;
	int fd = fsx_open_dir(AT_FDCWD, buf_cstr(target)), rc;

	if (fd < 0)
		return err_sys(e, "open %s", buf_cstr(target));
	buf_init(&path, PATH_BYTES);
	buf_init(&dir, 1024);
	rc = name_to_dir(fd, mailbox, &dir);
	if (rc != 0)
		(void)err_set(e, rc, "mailbox name: %s", err_name(rc));
	if (rc == 0 && (rc = make_parents(a, nick, e)) == 0) {
		put_path(&path, nick, buf_slice(&dir));
		buf_putc(target, '/');
		buf_put(target, buf_slice(&dir));
		rc = make(a, buf_cstr(&path), buf_cstr(target), e);
	}
	buf_fini(&dir);
	buf_fini(&path);
	(void)close(fd);
	return rc;
}

/* Move one away, whole, to be swept up: as with Courier, its flags go too. */
static int
drop(struct account *a, struct slice nick, struct slice dir, struct err *e)
{
	struct buf path, tmp;
	int rc = 0;

	buf_init(&path, PATH_BYTES);
	buf_init(&tmp, 1024);
	buf_puts(&path, FOLDERS "/");
	buf_put(&path, nick);
	/* no link on the way */
	if (!is_dir(a->root_fd, FOLDERS) ||
	    !is_dir(a->root_fd, buf_cstr(&path)))
		rc = err_set(e, ERR_NOT_FOUND, "not subscribed");
	buf_reset(&path);
	put_path(&path, nick, dir);
	if (rc == 0 && !is_dir(a->root_fd, buf_cstr(&path)))
		rc = err_set(e, ERR_NOT_FOUND, "not subscribed");
	put_tmp(a, &tmp);
	if (rc == 0 &&
	    fsx_rename(
		a->root_fd, buf_cstr(&path), a->root_fd, buf_cstr(&tmp)) < 0)
		rc = err_sys(e, "rename %s", buf_cstr(&path));
	if (rc == 0)
		a->sweep = true;
	buf_fini(&tmp);
	buf_fini(&path);
	return rc;
}

static int
unsubscribe(
    struct account *a, struct slice nick, struct slice mailbox, struct err *e)
{
	struct buf dir;
	int rc;

	buf_init(&dir, 1024);
	name_put_utf8_dir(&dir, mailbox);
	rc = drop(a, nick, buf_slice(&dir), e);
	buf_reset(&dir);
	if (rc == ERR_NOT_FOUND && name_put_utf7_dir(&dir, mailbox))
		rc = drop(a, nick, buf_slice(&dir), e);
	buf_fini(&dir);
	return rc;
}

int
shared_link_subscribe(struct account *near, const struct shared_options *o,
    struct slice name, bool on, struct err *e)
{
	struct buf path, mailbox;
	struct slice nick, rest;
	int rc = account_open(near, e);

	if (rc != 0)
		return rc;
	if (!shared_link_name_valid(name))
		return err_set(e, ERR_INVALID, "no such name can be");
	rest = slice_skip(name, sizeof(SHARED_LINK_ROOT));
	if (!slice_split(&rest, '.', &nick) || rest.n == 0)
		return err_set(e, ERR_NOT_FOUND, "no such shared folder");
	buf_init(&path, PATH_BYTES);
	buf_init(&mailbox, PATH_BYTES);
	buf_puts(&mailbox, "INBOX.");
	buf_put(&mailbox, rest);
	if (!name_valid(buf_slice(&mailbox))) {
		rc = err_set(e, ERR_INVALID, "no such name can be");
	} else if (on) {
		buf_reset(&mailbox);
		rc = shared_link_find(near, o, name, &path, &mailbox, e);
		if (rc == 0)
			rc = subscribe(
			    near, nick, &path, buf_slice(&mailbox), e);
	} else {
		rc = unsubscribe(near, nick, buf_slice(&mailbox), e);
	}
	buf_fini(&mailbox);
	buf_fini(&path);
	return rc;
}
