#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/acl_file.h"
#include "maildir/collect.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/name.h"
#include "maildir/shared_index.h"
#include "maildir/shared_link.h"
#include "maildir/subscription.h"

static int
invalid(struct err *e, int rc)
{
	return rc == 0 ? 0 : err_set(e, rc, "mailbox name: %s", err_name(rc));
}

/* --- listing -------------------------------------------------------------- */

static bool
has_new(int root_fd, const char *dir)
{
	struct dir_reader r;
	struct slice name;
	struct buf path;
	bool found = false;
	int rc;

	buf_init(&path, 1024);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/new" : "new");
	rc = dir_reader_open(&r, root_fd, buf_cstr(&path));
	buf_fini(&path);
	if (rc < 0)
		return false;
	while (!found && dir_reader_next(&r, &name))
		found = name.p[0] != '.';
	dir_reader_close(&r);
	return found;
}

static unsigned
marked(int root_fd, const char *dir)
{
	return has_new(root_fd, dir) ? MAILBOX_MARKED : MAILBOX_UNMARKED;
}

/* 1 or 0; ERR_* if that can't be told. */
static int
is_mailbox(int root_fd, const char *dir)
{
	struct stat st;
	struct buf path;
	int result = 0, rc;

	buf_init(&path, 1024);
	buf_puts(&path, dir);
	rc = fsx_stat(root_fd, buf_cstr(&path), &st);
	if (rc == 0 && S_ISDIR(st.st_mode)) {
		buf_puts(&path, "/cur");
		rc = fsx_stat(root_fd, buf_cstr(&path), &st);
		result = rc == 0 && S_ISDIR(st.st_mode);
	}
	if (rc < 0 && errno != ENOENT && errno != ENOTDIR)
		result = err_of_errno(errno);
	buf_fini(&path);
	return result;
}

static int
collect_dirs(struct account *a, struct collect *c, struct err *e)
{
	struct dir_reader r;
	struct slice dir;
	struct buf name;

	if (dir_reader_open(&r, a->root_fd, ".") < 0)
		return err_sys(e, "read %s", a->path);
	buf_init(&name, 4096);
	while (dir_reader_next(&r, &dir)) {
		const char *path = (const char *)dir.p;

		/* of what can't be told the listing keeps what was there */
		if (!name_is_dir(dir) || is_mailbox(a->root_fd, path) == 0)
			continue;
		buf_reset(&name);
		name_put_from_dir(a->root_fd, dir, &name);
		collect_add(c, buf_slice(&name), marked(a->root_fd, path));
	}
	buf_fini(&name);
	dir_reader_close(&r);
	if (r.failed)
		return err_set(e, ERR_SYS, "read %s", a->path);
	return 0;
}

int
account_list(struct account *a, struct mailbox_list *out, struct err *e)
{
	struct collect c = { 0 };
	struct mailbox_list subscribed;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	collect_init(&c);
	collect_add(&c, SLICE("INBOX"), marked(a->root_fd, ""));
	if ((rc = collect_dirs(a, &c, e)) != 0 ||
	    (rc = account_subscriptions(a, &subscribed, e)) != 0)
		goto fail;
	for (size_t i = 0; i < subscribed.n; i++) {
		if (!name_valid(subscribed.v[i].name))
			continue; /* not of this account */
		collect_add(&c, subscribed.v[i].name,
		    MAILBOX_SUBSCRIBED | MAILBOX_NOSELECT);
	}
	mailbox_list_fini(&subscribed);
	collect_parents(&c, SLICE("INBOX"));
	collect_finish(&c, out);
	return 0;
fail:
	collect_fini(&c);
	return rc;
}

int
account_subscriptions(
    struct account *a, struct mailbox_list *out, struct err *e)
{
	struct collect c = { 0 };
	struct buf file;
	struct slice rest, name;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&file, COLLECT_MAX);
	if ((rc = subscription_read(a->root_fd, &file, e)) != 0)
		goto out;
	collect_init(&c);
	rest = buf_slice(&file);
	while (slice_split(&rest, '\n', &name))
		if (name_valid(name) || shared_name_valid(name))
			collect_add(&c, name, MAILBOX_SUBSCRIBED);
	shared_link_subscriptions(a, &c);
	collect_finish(&c, out);
out:
	buf_fini(&file);
	return rc;
}

int
account_subscribe(struct account *a, struct slice name, bool on, struct err *e)
{
	struct file_unique u;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (!name_valid(name) && !shared_name_valid(name))
		return invalid(e, ERR_INVALID);
	u = store_unique(a->store, a->store->wall_ms);
	return subscription_set(a->root_fd, name, on, &u, e);
}

int
account_exists(struct account *a, struct slice name, struct err *e)
{
	struct buf dir;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&dir, 1024);
	rc = name_to_dir(a->root_fd, name, &dir);
	if (rc == 0 && buf_len(&dir) != 0) {
		rc = is_mailbox(a->root_fd, buf_cstr(&dir));
		rc = rc == 1 ? 0 : rc == 0 ? ERR_NOT_FOUND : rc;
	}
	buf_fini(&dir);
	return invalid(e, rc);
}

/* --- create --------------------------------------------------------------- */

/* A path below tmp/ for something that is put together or torn down there. */
static void
put_tmp(struct account *a, struct buf *out, const char *prefix)
{
	struct file_unique u = store_unique(a->store, a->store->wall_ms);

	buf_puts(out, "tmp/");
	buf_puts(out, prefix);
	file_name_tmp(out, &u);
}

/* Give a directory what makes it a mailbox. */
static int
fill_dir(struct account *a, const char *path, struct err *e)
{
	int fd = fsx_open_dir(a->root_fd, path), mark, rc;

	if (fd < 0)
		return err_sys(e, "open %s", path);
	rc = account_make_dirs(fd, e);
	if (rc == 0) {
		mark = fsx_create(fd, "maildirfolder", 0600);
		if (mark >= 0)
			(void)close(mark);
		else if (errno != EEXIST)
			rc = err_sys(e, "create %s/maildirfolder", path);
	}
	if (rc == 0 && fsx_fsync(fd) < 0)
		rc = err_sys(e, "sync %s", path);
	(void)close(fd);
	return rc;
}

static int
make_dir(struct account *a, const char *dir, struct err *e)
{
	struct buf tmp;
	int rc;

	/* It appears whole, or not at all. */
	buf_init(&tmp, 1024);
	put_tmp(a, &tmp, "postern-deleted.");
	if (fsx_mkdir(a->root_fd, buf_cstr(&tmp), 0700) < 0)
		rc = err_sys(e, "mkdir %s", buf_cstr(&tmp));
	else if ((rc = fill_dir(a, buf_cstr(&tmp), e)) == 0 &&
	    fsx_rename(a->root_fd, buf_cstr(&tmp), a->root_fd, dir) < 0)
		rc = err_sys(e, "rename to %s", dir);
	if (rc != 0)
		a->sweep = true;
	buf_fini(&tmp);
	return rc;
}

struct row_call {
	struct account *a;
	struct slice dir;
	int64_t id;
	bool fresh; /* what an earlier directory of the name left is void */
};

static int
drop_row(void *arg, struct err *e)
{
	struct row_call *c = arg;
	uint32_t validity;
	int rc = account_open(c->a, e);

	if (rc != 0 || (rc = db_begin(&c->a->db, e)) != 0)
		return account_db_failed(c->a, rc);
	rc = mailbox_row_find(c->a, c->dir, &c->id, &validity, e);
	if (rc == 1 &&
	    (rc = mailbox_row_note_used(c->a, c->dir, validity, e)) == 0)
		rc = mailbox_row_delete(c->a, c->id, e);
	if (rc == 0)
		rc = db_commit(&c->a->db, e);
	else
		db_rollback(&c->a->db);
	if (rc == 0 && c->id != 0)
		cache_forget_mailbox(c->a, c->id);
	return account_db_failed(c->a, rc);
}

static int
make_row(void *arg, struct err *e)
{
	struct row_call *c = arg;
	int rc = account_open(c->a, e);

	if (rc == 0)
		rc = mailbox_row(c->a, c->dir, &c->id, e);
	return account_db_failed(c->a, rc);
}

/* Out of the way, whole, to be swept up. */
static void
unmake_dir(struct account *a, const char *dir)
{
	struct buf tmp;

	buf_init(&tmp, 1024);
	put_tmp(a, &tmp, "postern-deleted.");
	a->sweep = fsx_rename(a->root_fd, dir, a->root_fd, buf_cstr(&tmp)) == 0;
	buf_fini(&tmp);
}

int
account_create(struct account *a, struct slice name, struct err *e)
{
	struct row_call c = { .a = a };
	struct buf dir;
	bool made = false;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&dir, 1024);
	rc = name_to_dir(a->root_fd, name, &dir);
	c.dir = buf_slice(&dir);
	if (rc == 0) {
		rc = c.dir.n == 0 ? 1 : is_mailbox(a->root_fd, buf_cstr(&dir));
		if (rc == 0)
			rc = fill_dir(a, buf_cstr(&dir), e);
		else if (rc == 1)
			rc = ERR_EXISTS;
	} else if (rc == ERR_NOT_FOUND &&
	    (rc = account_retry(drop_row, &c, e)) == 0) {
		rc = make_dir(a, buf_cstr(&dir), e);
		made = rc == 0;
	}
	if (rc == 0 && (rc = account_acl_created(a, buf_cstr(&dir), e)) == 0 &&
	    (rc = account_retry(make_row, &c, e)) == 0) {
		a->root_dirty = true;
		rc = account_sync_now(a, e);
	}
	if (rc != 0 && made)
		unmake_dir(a, buf_cstr(&dir));
	buf_fini(&dir);
	return rc == ERR_INVALID || rc == ERR_EXISTS ? invalid(e, rc) : rc;
}

/* --- delete --------------------------------------------------------------- */

int
account_delete(struct account *a, struct slice name, struct err *e)
{
	struct row_call c = { .a = a };
	struct mailbox *m;
	struct buf dir, tmp;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (name_is_inbox(name))
		return invalid(e, ERR_INVALID);
	buf_init(&dir, 1024);
	buf_init(&tmp, 1024);
	if ((rc = name_to_dir(a->root_fd, name, &dir)) != 0) {
		(void)invalid(e, rc);
		goto out;
	}
	c.dir = buf_slice(&dir);
	if ((rc = account_acl_before_delete(a, buf_cstr(&dir), e)) != 0)
		goto out;
	put_tmp(a, &tmp, "postern-deleted.");
	if (fsx_rename(a->root_fd, buf_cstr(&dir), a->root_fd, buf_cstr(&tmp)) <
	    0) {
		rc = err_sys(e, "rename %s", buf_cstr(&dir));
		goto out;
	}
	rc = account_retry(drop_row, &c, e);
	if (rc != 0 &&
	    fsx_rename(
		a->root_fd, buf_cstr(&tmp), a->root_fd, buf_cstr(&dir)) == 0)
		goto out;
	if ((m = mailbox_find_dir(a, c.dir)) != NULL)
		mailbox_set_gone(m);
	acl_deleted(a->root_fd, buf_cstr(&dir));
	a->sweep = tidy_sweep(a);
	/* counted anew by whoever asks next */
	if (quota_active(a))
		quota_distrust(a);
out:
	buf_fini(&tmp);
	buf_fini(&dir);
	return rc;
}
