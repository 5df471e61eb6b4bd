/* Access control lists of an account, and visits to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/acl_file.h"
#include "maildir/dir.h"
#include "maildir/name.h"

/* Whether a name that is no mailbox has mailboxes below it; or ERR_*. */
static int
is_parent(struct account *a, struct slice dir)
{
	struct dir_reader r;
	struct slice entry;
	bool found = false;

	if (dir_reader_open(&r, a->root_fd, ".") < 0)
		return err_of_errno(errno);
	while (!found && dir_reader_next(&r, &entry))
		found = name_is_dir(entry) && entry.n > dir.n &&
		    entry.p[dir.n] == '.' && slice_starts(entry, dir);
	dir_reader_close(&r);
	return r.failed && !found ? ERR_SYS : found;
}

int
account_acl(
    struct account *a, struct slice name, struct acl *out, struct err *e)
{
	struct buf dir;
	int rc = account_open(a, e);

	if (rc != 0)
		return rc;
	buf_init(&dir, 1024);
	rc = name_to_dir(a->root_fd, name, &dir);
	if (rc == 0 || rc == ERR_NOT_FOUND)
		rc = acl_read(a->root_fd, buf_cstr(&dir), out, NULL, e);
	else
		(void)err_set(e, rc, "mailbox name: %s", err_name(rc));
	buf_fini(&dir);
	return rc;
}

void
mailbox_acl_print(const struct mailbox *m, struct acl_print *out)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	*out = acl_print(
	    m->account->root_fd, m->dir, store_wall(m->account->store));
}

/* The directory of a mailbox, or the one that a mere parent would have. */
static int
known_dir(struct account *a, struct slice name, struct buf *dir, struct err *e)
{
	int rc = account_open(a, e);

	if (rc != 0)
		return rc;
	rc = name_to_dir(a->root_fd, name, dir);
	if (rc == ERR_NOT_FOUND) {
		rc = is_parent(a, buf_slice(dir));
		rc = rc == 1 ? 0 : rc == 0 ? ERR_NOT_FOUND : rc;
	}
	return rc == 0 ? 0 : err_set(e, rc, "mailbox name: %s", err_name(rc));
}

int
account_acl_known(struct account *a, struct slice name, struct err *e)
{
	struct buf dir;
	int rc;

	buf_init(&dir, 1024);
	rc = known_dir(a, name, &dir, e);
	buf_fini(&dir);
	return rc;
}

/* --- SETACL --------------------------------------------------------------- */

void
change_acl_free(struct acl **acl)
{
	if (*acl == NULL)
		return;
	acl_fini(*acl);
	free(*acl);
	*acl = NULL;
}

static int
read_list(struct account_change *c, struct err *e)
{
	int rc;

	buf_reset(&c->job_dir);
	rc = known_dir(c->a, slice_str(c->name), &c->job_dir, e);
	if (rc != 0)
		return rc;
	c->ino = acl_place(c->a->root_fd, buf_cstr(&c->job_dir));
	change_acl_free(&c->acl);
	c->acl = MEM_NEW(struct acl);
	acl_init(c->acl);
	return c->read_acl(c->read_arg, c->acl, e);
}

static int
write_list(struct change_job *j, struct err *e)
{
	int rc = acl_settle(j->root_fd, j->dir, &j->unique, e);

	return rc != 0
	    ? rc
	    : acl_write(j->root_fd, j->dir, j->ino, j->acl, &j->unique, e);
}

static const struct change_phase acl_phases[] = { { .run = read_list },
	{ .job = write_list }, { .run = NULL } };

struct account_change *
account_acl_change(
    struct account *a, struct slice name, acl_reader *read, void *arg)
{
	struct account_change *c = change_new(a, acl_phases, name, NULL);

	c->read_acl = read;
	c->read_arg = arg;
	return c;
}

/* --- other accounts ------------------------------------------------------- */

int
account_visit(
    struct account *near, const char *path, struct account **out, struct err *e)
{
	struct stat st;
	int fd;

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	/* account_open() would make it */
	fd = fsx_open_dir(AT_FDCWD, path);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		(void)close(fd);
		return err_set(e, ERR_DENIED, "%s is another user's", path);
	}
	if (fsx_stat(fd, "cur", &st) < 0 || !S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return err_set(e, ERR_NOT_FOUND, "%s is no Maildir", path);
	}
	(void)close(fd);
	*out = account_get(near->store, path, NULL);
	return 0;
}
