#include "maildir/deliver.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"

#define WARNED_NAME "quotawarn"

enum {
	WARN_AGAIN_S = 24 * 3600,
	/* Our time is when we began; another may have warned since. */
	AHEAD_S = 3600,
	TEXT_MAX = 2 * 1024 * 1024,
};

/* "tmp/" or "new/" before a name of ours; the caller frees. */
static char *
path_in(const char *sub, struct buf *name)
{
	return mem_printf("%s/%s", sub, buf_cstr(name));
}

int
delivery_begin(struct delivery *d, const struct deliver_to *to, struct err *e)
{
	struct buf name;

	*d = (struct delivery){ .to = to, .fd = -1 };
	buf_init(&name, 1024);
	file_name_tmp(&name, &to->unique);
	d->tmp = path_in("tmp", &name);
	buf_fini(&name);
	d->fd = fsx_create(to->dir_fd, d->tmp, to->mode);
	if (d->fd >= 0)
		return 0;
	return err_sys(e, "create %s", d->tmp);
}

int
delivery_write(struct delivery *d, struct slice bytes, struct err *e)
{
	if (fsx_write_all(d->fd, bytes) < 0)
		return err_sys(e, "write %s", d->tmp);
	d->size += bytes.n;
	return 0;
}

/* The file is whole, and closed. */
static int
finish_file(struct delivery *d, struct stat *st, struct err *e)
{
	int rc = 0;

	if (fstat(d->fd, st) < 0)
		return err_sys(e, "stat %s", d->tmp);
	if (d->to->sync && fsx_fsync(d->fd) < 0)
		rc = err_sys(e, "sync %s", d->tmp);
	if (fsx_close(d->fd) < 0 && rc == 0)
		rc = err_sys(e, "close %s", d->tmp);
	d->fd = -1;
	return rc;
}

/*
 * What cannot be noted makes the file wrong.  Then none is better, if the
 * limits are known without it; else it is made anew, or stays as it is: who
 * has his limits there alone must not lose them.
 */
static void
note(const struct delivery *d, int sign)
{
	const struct deliver_to *to = d->to;
	struct file_unique other = to->unique;
	struct quota_usage u;
	struct err e;
	int rc;

	if (!to->counts)
		return;
	/* cppcheck-suppress signConversion; they are signed */
	rc = quota_file_add(to->root_fd, sign * (int64_t)d->size, sign);
	if (rc == 0 || rc == ERR_NOT_FOUND)
		return;
	if (to->given) {
		(void)!fsx_unlink(to->root_fd, QUOTA_FILE_NAME);
		return;
	}
	if (quota_file_read(to->root_fd, &u) != 0)
		return;
	other.counter++;
	u.trash_dir = to->trash_dir;
	u.all = to->count_all;
	(void)!quota_file_remake(to->root_fd, &other, &u, &e);
}

static int
sync_new(const struct delivery *d, struct err *e)
{
	int fd = fsx_open_dir(d->to->dir_fd, "new"), rc = 0;

	if (fd < 0)
		return err_sys(e, "open new");
	if (fsx_fsync(fd) < 0)
		rc = err_sys(e, "sync new");
	(void)close(fd);
	return rc;
}

static int
place_as(struct delivery *d, const char *name, struct err *e)
{
	int dir_fd = d->to->dir_fd, rc;

	if (fsx_rename_new(dir_fd, d->tmp, dir_fd, name) < 0)
		return err_sys(e, "rename to %s", name);
	free(d->tmp);
	d->tmp = NULL;
	note(d, 1);
	if (!d->to->sync || (rc = sync_new(d, e)) == 0)
		return 0;
	/* It may be lost: so it isn't there, and is tried again. */
	if (fsx_unlink(dir_fd, name) == 0)
		note(d, -1);
	return rc;
}

/* What has been written becomes a message. */
static int
place(struct delivery *d, struct err *e)
{
	struct stat st;
	struct buf final;
	char *name;
	int rc = finish_file(d, &st, e);

	if (rc != 0)
		return rc;
	buf_init(&final, 1024);
	file_name_final(&final, &d->to->unique, st.st_dev, st.st_ino, d->size);
	name = path_in("new", &final);
	buf_fini(&final);
	rc = place_as(d, name, e);
	free(name);
	return rc;
}

int
delivery_commit(struct delivery *d, struct err *e)
{
	const struct deliver_to *to = d->to;
	struct file_unique other = to->unique;
	struct quota_usage *u = &d->usage;
	int rc;

	other.counter++;
	u->trash_dir = to->trash_dir;
	u->all = to->count_all;
	if (to->counts &&
	    (rc = quota_file_admit(to->root_fd, &other, d->size, 1, u, e)) != 0)
		return rc;
	rc = place(d, e);
	if (rc == 0 && to->counts) {
		u->bytes += (int64_t)d->size;
		u->messages++;
	}
	return rc;
}

void
delivery_fini(struct delivery *d)
{
	if (d->fd >= 0)
		(void)close(d->fd);
	if (d->tmp != NULL)
		(void)!fsx_unlink(d->to->dir_fd, d->tmp);
	free(d->tmp);
	*d = (struct delivery){ .fd = -1 };
}

/* --- the warning ---------------------------------------------------------- */

static bool
of_late(const struct stat *st, int64_t wall_s)
{
	int64_t age_s = wall_s - st->st_mtim.tv_sec;

	return age_s >= -AHEAD_S && age_s < WARN_AGAIN_S;
}

/*
 * Take the right to warn: 1, with a descriptor that holds a lock; 0: somebody
 * does now, or did so of late.
 */
static int
take_turn(int root_fd, int64_t wall_s, int *out, struct err *e)
{
	struct stat st;
	int fd = (int)TEMP_FAILURE_RETRY(openat(root_fd, WARNED_NAME,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));

	if (fd < 0)
		return err_sys(e, "open " WARNED_NAME);
	/* one that was just made has nothing in it */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode) || (st.st_size != 0 && of_late(&st, wall_s))) {
		(void)close(fd);
		return 0;
	}
	*out = fd;
	return 1;
}

static void
put_head(struct buf *out, const struct file_unique *u)
{
	time_t now = (time_t)(u->wall_ms / 1000);
	char date[64];
	struct tm tm;

	if (localtime_r(&now, &tm) != NULL &&
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", &tm) != 0)
		buf_putf(out, "Date: %s\n", date);
	buf_putf(out, "Message-ID: <%lld.%ld.overquota@%s>\n",
	    (long long)u->wall_ms, (long)getpid(), u->host);
}

static int
deliver_text(const struct deliver_to *to, struct slice text, struct err *e)
{
	struct delivery d;
	struct buf all;
	int rc;

	buf_init(&all, TEXT_MAX);
	put_head(&all, &to->unique);
	buf_put(&all, text);
	rc = delivery_begin(&d, to, e);
	if (rc == 0 && !buf_ok(&all))
		rc = err_set(e, ERR_LIMIT, "warning too large");
	if (rc == 0)
		rc = delivery_write(&d, buf_slice(&all), e);
	if (rc == 0)
		rc = place(&d, e);
	delivery_fini(&d);
	buf_fini(&all);
	return rc;
}

int
deliver_warning(const struct deliver_to *to, struct slice text, struct err *e)
{
	int fd = -1, rc;

	rc = take_turn(to->root_fd, to->unique.wall_ms / 1000, &fd, e);
	if (rc != 1)
		return rc;
	rc = deliver_text(to, text, e);
	/* Like Courier's: a byte, and the time that it was written. */
	if (rc == 0 && pwrite(fd, "", 1, 0) != 1)
		rc = err_sys(e, "write " WARNED_NAME);
	(void)close(fd);
	return rc == 0 ? 1 : rc;
}
