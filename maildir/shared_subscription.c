/* Subscriptions of "shared.NICK.FOLDER": directories shared-folders/NICK/FOLDER
 * as Courier makes them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
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
			collect_add(out, buf_slice(&name), 0);
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

/* A link there would lead elsewhere. */
static int
make_parent(int root_fd, const char *path, struct err *e)
{
	if (fsx_mkdir(root_fd, path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "mkdir %s", path);
	if (!is_dir(root_fd, path))
		return err_set(e, ERR_DENIED, "%s is no directory", path);
	return 0;
}

/* The directories on the way to a subscription. */
static int
make_parents(int root_fd, const char *path, struct err *e)
{
	char *nick = mem_strdup(path);
	int rc = make_parent(root_fd, FOLDERS, e);

	*strrchr(nick, '/') = '\0';
	if (rc == 0)
		rc = make_parent(root_fd, nick, e);
	free(nick);
	return rc;
}

static int
fill(int root_fd, const char *tmp, const char *target, struct err *e)
{
	int fd = fsx_open_dir(root_fd, tmp), rc = 0;

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
make(struct change_job *j, const char *target, struct err *e)
{
	int rc = make_parents(j->root_fd, j->dir, e);

	if (rc != 0 || is_dir(j->root_fd, j->dir))
		return rc;
	if (fsx_mkdir(j->root_fd, j->work, 0700) < 0)
		return err_sys(e, "mkdir %s", j->work);
	if ((rc = fill(j->root_fd, j->work, target, e)) == 0 &&
	    fsx_rename(j->root_fd, j->work, j->root_fd, j->dir) < 0)
		rc = err_sys(e, "rename to %s", j->dir);
	return rc;
}

/* Move one away, whole, to be swept up: as with Courier, its flags go too. */
static int
drop(struct change_job *j, const char *path, struct err *e)
{
	char *nick = mem_strdup(path);
	bool there;

	*strrchr(nick, '/') = '\0';
	/* no link on the way */
	there = is_dir(j->root_fd, FOLDERS) && is_dir(j->root_fd, nick) &&
	    is_dir(j->root_fd, path);
	free(nick);
	if (!there)
		return err_set(e, ERR_NOT_FOUND, "not subscribed");
	if (fsx_rename(j->root_fd, path, j->root_fd, j->gone) < 0)
		return err_sys(e, "rename %s", path);
	return 0;
}

/* On: list[0] is the folder that dir shall lead to; off: the directories that
 * it may have. */
static int
link_job(struct change_job *j, struct err *e)
{
	int rc = ERR_NOT_FOUND;

	if (j->on)
		return make(j, j->list[0], e);
	for (size_t i = 0; i < j->n && rc == ERR_NOT_FOUND; i++)
		rc = drop(j, j->list[i], e);
	return rc;
}

static void
add_path(struct account_change *c, char *path)
{
	c->list = mem_realloc(c->list, c->n_list + 1, sizeof(*c->list));
	c->list[c->n_list++] = path;
}

/* target: the Maildir; mailbox: in it. */
static int
find_target(struct account_change *c, struct slice nick, struct buf *target,
    struct slice mailbox, struct err *e)
{
	int fd = fsx_open_dir(AT_FDCWD, buf_cstr(target)), rc;
	struct buf dir;

	if (fd < 0)
		return err_sys(e, "open %s", buf_cstr(target));
	buf_init(&dir, 1024);
	rc = change_bad_name(e, name_to_dir(fd, mailbox, &dir));
	if (rc == 0) {
		buf_reset(&c->job_dir);
		put_path(&c->job_dir, nick, buf_slice(&dir));
		buf_putc(target, '/');
		buf_put(target, buf_slice(&dir));
		add_path(c, mem_strdup(buf_cstr(target)));
	}
	buf_fini(&dir);
	(void)close(fd);
	return rc;
}

static int
find_folder(struct account_change *c, struct slice nick, struct err *e)
{
	struct buf path, mailbox;
	int rc;

	buf_init(&path, PATH_BYTES);
	buf_init(&mailbox, PATH_BYTES);
	rc = shared_link_find(
	    c->a, &c->shared, slice_str(c->name), &path, &mailbox, e);
	if (rc == 0)
		rc = find_target(c, nick, &path, buf_slice(&mailbox), e);
	buf_fini(&mailbox);
	buf_fini(&path);
	return rc;
}

/* Both spellings of a name. */
static void
find_subscription(
    struct account_change *c, struct slice nick, struct slice mailbox)
{
	struct buf dir, path;

	buf_init(&dir, 1024);
	buf_init(&path, PATH_BYTES);
	name_put_utf8_dir(&dir, mailbox);
	put_path(&path, nick, buf_slice(&dir));
	add_path(c, mem_strdup(buf_cstr(&path)));
	buf_reset(&dir);
	buf_reset(&path);
	if (name_put_utf7_dir(&dir, mailbox)) {
		put_path(&path, nick, buf_slice(&dir));
		add_path(c, mem_strdup(buf_cstr(&path)));
	}
	buf_fini(&path);
	buf_fini(&dir);
}

static int
check_link(struct account_change *c, struct err *e)
{
	struct slice name = slice_str(c->name), rest, nick;
	struct buf mailbox;
	int rc = account_open(c->a, e);

	if (rc != 0)
		return rc;
	if (!shared_link_name_valid(name))
		return err_set(e, ERR_INVALID, "no such name can be");
	rest = slice_skip(name, sizeof(SHARED_LINK_ROOT));
	if (!slice_split(&rest, '.', &nick) || rest.n == 0)
		return err_set(e, ERR_NOT_FOUND, "no such shared folder");
	buf_init(&mailbox, PATH_BYTES);
	buf_puts(&mailbox, "INBOX.");
	buf_put(&mailbox, rest);
	if (!name_valid(buf_slice(&mailbox)))
		rc = err_set(e, ERR_INVALID, "no such name can be");
	else if (c->on)
		rc = find_folder(c, nick, e);
	else
		find_subscription(c, nick, buf_slice(&mailbox));
	buf_fini(&mailbox);
	return rc;
}

/* What was moved away is to go. */
static int
sweep_dropped(struct account_change *c, struct err *e)
{
	(void)e;
	if (!c->on)
		c->a->sweep = true;
	return 0;
}

static const struct change_phase link_phases[] = { { .run = check_link },
	{ .job = link_job }, { .run = sweep_dropped }, { .run = NULL } };

struct account_change *
account_subscribe_link(struct account *a, const struct shared_options *o,
    struct slice name, bool on)
{
	struct account_change *c = change_new(a, link_phases, name, NULL);

	c->shared = *o;
	c->on = on;
	return c;
}
