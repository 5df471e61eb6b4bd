/*
 * CREATE, DELETE and SUBSCRIBE.
 *
 * A new mailbox is put together below tmp/, synced, and renamed into place, so
 * that it appears whole or not at all; its row follows.  One that is removed is
 * renamed to tmp/ in the transaction that removes its row, and once more when
 * that is committed: then it may be swept up, by any process.  One that was
 * made for nothing never goes there, as mail may be delivered into it. A crash
 * in between leaves a row without a directory, which CREATE drops, or a
 * directory without a row, which gets one when it is opened.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/acl_file.h"
#include "maildir/cache.h"
#include "maildir/dir.h"
#include "maildir/name.h"
#include "maildir/quota.h"
#include "maildir/row.h"
#include "maildir/shared_index.h"
#include "maildir/subscription.h"

int
account_is_mailbox(int root_fd, const char *dir)
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

/* --- CREATE --------------------------------------------------------------- */

static int
fill(int root_fd, const char *path, bool sync, struct err *e)
{
	int fd = fsx_open_dir(root_fd, path), mark, rc;

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
	if (rc == 0 && sync && fsx_fsync(fd) < 0)
		rc = err_sys(e, "sync %s", path);
	(void)close(fd);
	return rc;
}

int
create_fill(int root_fd, const char *path, struct err *e)
{
	return fill(root_fd, path, true, e);
}

int
create_dirs(int root_fd, const char *path, struct err *e)
{
	if (fsx_mkdir(root_fd, path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "mkdir %s", path);
	return fill(root_fd, path, false, e);
}

static int
make_dir(struct change_job *j, struct err *e)
{
	int rc;

	if (fsx_mkdir(j->root_fd, j->work, 0700) < 0)
		return err_sys(e, "mkdir %s", j->work);
	if ((rc = create_fill(j->root_fd, j->work, e)) != 0)
		return rc;
	if (fsx_rename(j->root_fd, j->work, j->root_fd, j->dir) < 0)
		return err_sys(e, "rename to %s", j->dir);
	j->made = true;
	return 0;
}

int
create_job(struct change_job *j, struct err *e)
{
	int rc;

	if (j->fill)
		rc = create_fill(j->root_fd, j->dir, e);
	else
		rc = make_dir(j, e);
	if (rc == 0)
		rc = acl_created(j->root_fd, j->dir, &j->unique, e);
	return rc;
}

/* Whether there is mail, or that can't be told. */
static bool
has_mail(int root_fd, const char *dir)
{
	static const char *const subs[] = { "new", "cur" };
	bool has = false;

	for (size_t k = 0; k < NELEMS(subs) && !has; k++) {
		char *path = mem_printf("%s/%s", dir, subs[k]);
		struct dir_reader r;
		struct slice name;

		if (dir_reader_open(&r, root_fd, path) == 0) {
			has = dir_reader_next(&r, &name) || r.failed;
			dir_reader_close(&r);
		} else {
			has = errno != ENOENT;
		}
		free(path);
	}
	return has;
}

/* Everything that has no mail. */
static void
remove_files(int fd)
{
	struct dir_reader r;
	struct slice name;

	if (dir_reader_open(&r, fd, ".") < 0)
		return;
	while (dir_reader_next(&r, &name))
		if (fsx_unlink(fd, (const char *)name.p) < 0)
			break;
	dir_reader_close(&r);
}

/*
 * Each directory goes only if it is empty, which the system sees to: so what is
 * delivered meanwhile stays, wherever this ends.  Without tmp/ nothing comes
 * any more; cur/ goes before new/, so that what was cut short is no mailbox,
 * and CREATE fills it.
 */
void
create_unmake(struct account *a, const char *dir)
{
	static const char *const subs[] = { "tmp", "cur", "new" };
	size_t n = 0;
	int fd;

	if (has_mail(a->root_fd, dir) ||
	    (fd = fsx_open_dir(a->root_fd, dir)) < 0)
		return;
	while (n < NELEMS(subs) &&
	    (fsx_rmdir(fd, subs[n]) == 0 || errno == ENOENT))
		n++;
	if (n == NELEMS(subs)) {
		remove_files(fd);
		(void)!fsx_rmdir(a->root_fd, dir);
	} else {
		(void)!account_make_dirs(fd, NULL);
	}
	(void)close(fd);
}

/* Within a transaction.  *id: the row that there was, or 0. */
static int
drop_row(struct account *a, struct slice dir, int64_t *id, struct err *e)
{
	uint32_t validity;
	int rc = mailbox_row_find(a, dir, id, &validity, e);

	if (rc != 1)
		return rc;
	if ((rc = mailbox_row_note_used(a, dir, validity, e)) == 0)
		rc = mailbox_row_delete(a, *id, e);
	return rc;
}

int
create_drop_row(struct account *a, struct slice dir, struct err *e)
{
	int64_t id = 0;
	int rc = account_open(a, e);

	if (rc != 0 || (rc = db_begin(&a->db, e)) != 0)
		return account_db_failed(a, rc);
	rc = drop_row(a, dir, &id, e);
	if (rc == 0)
		rc = db_commit(&a->db, e);
	else
		db_rollback(&a->db);
	if (rc == 0 && id != 0)
		cache_forget_mailbox(a, id);
	return account_db_failed(a, rc);
}

static int
check_create(struct account_change *c, struct err *e)
{
	int rc = account_open(c->a, e);

	if (rc != 0)
		return rc;
	buf_reset(&c->dir);
	buf_reset(&c->job_dir);
	rc = name_to_dir(c->a->root_fd, slice_str(c->name), &c->dir);
	buf_put(&c->job_dir, buf_slice(&c->dir));
	if (rc == ERR_NOT_FOUND)
		return create_drop_row(c->a, buf_slice(&c->dir), e);
	if (rc == 0 && buf_len(&c->dir) == 0)
		rc = ERR_EXISTS;
	if (rc == 0) {
		rc = account_is_mailbox(c->a->root_fd, buf_cstr(&c->dir));
		rc = rc == 1 ? ERR_EXISTS : rc;
		c->fill = true;
	}
	return change_bad_name(e, rc);
}

static int
make_row(struct account_change *c, struct err *e)
{
	int64_t id;
	int rc = account_open(c->a, e);

	if (rc == 0)
		rc = mailbox_row(c->a, buf_slice(&c->dir), &id, e);
	return account_db_failed(c->a, rc);
}

static const struct change_phase create_phases[] = {
	{ .run = check_create, .guarded = true }, { .job = create_job },
	{ .run = make_row }, { .durable = true }, { .run = NULL }
};

struct account_change *
account_create(struct account *a, struct slice name)
{
	return change_new(a, create_phases, name, NULL);
}

/* --- DELETE --------------------------------------------------------------- */

static int
check_delete(struct account_change *c, struct err *e)
{
	int rc = account_open(c->a, e);

	if (rc != 0)
		return rc;
	if (name_is_inbox(slice_str(c->name)))
		return change_bad_name(e, ERR_INVALID);
	buf_reset(&c->dir);
	buf_reset(&c->job_dir);
	rc = name_to_dir(c->a->root_fd, slice_str(c->name), &c->dir);
	buf_put(&c->job_dir, buf_slice(&c->dir));
	return change_bad_name(e, rc);
}

static int
before_delete(struct change_job *j, struct err *e)
{
	return acl_before_delete(j->root_fd, j->dir, &j->unique, e);
}

/*
 * Until the commit another process must not take the tree for one that is
 * deleted: it may have to be put back.
 */
static int
remove_dir(struct account *a, const char *dir, const char *work, int64_t *id,
    struct err *e)
{
	int rc;

	if ((rc = db_begin(&a->db, e)) != 0)
		return rc;
	if ((rc = drop_row(a, slice_str(dir), id, e)) == 0 &&
	    fsx_rename(a->root_fd, dir, a->root_fd, work) < 0)
		rc = err_sys(e, "rename %s", dir);
	if (rc != 0) {
		db_rollback(&a->db);
		return rc;
	}
	if ((rc = db_commit(&a->db, e)) == 0)
		tree_give_up(a, work);
	else if (fsx_rename(a->root_fd, work, a->root_fd, dir) < 0)
		log_error("maildir: not deleted, but left in %s path=%s "
			  "mailbox=%s",
		    work, a->path, dir);
	return rc;
}

static int
run_delete(struct account_change *c, struct err *e)
{
	struct account *a = c->a;
	struct mailbox *m;
	int64_t id = 0;
	char *work;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	work = tree_name_work(a);
	rc = remove_dir(a, buf_cstr(&c->dir), work, &id, e);
	free(work);
	if (rc != 0)
		return account_db_failed(a, rc);
	if (id != 0)
		cache_forget_mailbox(a, id);
	if ((m = mailbox_find_dir(a, buf_slice(&c->dir))) != NULL)
		mailbox_set_gone(m);
	acl_deleted(a->root_fd, buf_cstr(&c->dir));
	tidy_sweep(a);
	/* counted anew by whoever asks next */
	if (quota_active(a))
		quota_distrust(a);
	return 0;
}

static const struct change_phase delete_phases[] = {
	{ .run = check_delete, .guarded = true }, { .job = before_delete },
	{ .run = run_delete, .guarded = true }, { .run = NULL }
};

struct account_change *
account_delete(struct account *a, struct slice name)
{
	return change_new(a, delete_phases, name, NULL);
}

/* --- SUBSCRIBE, UNSUBSCRIBE ----------------------------------------------- */

static int
check_subscribe(struct account_change *c, struct err *e)
{
	struct slice name = slice_str(c->name);
	int rc = account_open(c->a, e);

	if (rc == 0 && !name_valid(name) && !shared_name_valid(name))
		rc = change_bad_name(e, ERR_INVALID);
	return rc;
}

static int
subscribe_job(struct change_job *j, struct err *e)
{
	return subscription_set(
	    j->root_fd, slice_str(j->name), j->on, &j->unique, e);
}

static const struct change_phase subscribe_phases[] = {
	{ .run = check_subscribe }, { .job = subscribe_job }, { .run = NULL }
};

struct account_change *
account_subscribe(struct account *a, struct slice name, bool on)
{
	struct account_change *c = change_new(a, subscribe_phases, name, NULL);

	c->on = on;
	return c;
}
