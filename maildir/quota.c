/*
 * The quota of an account: maildirsize (quota_file.h), made anew by counting
 * when it is missing, too long, sums up to less than nothing, or has other
 * limits than the account.
 */
#include "maildir/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/deliver.h"
#include "maildir/internal.h"
#include "maildir/quota_file.h"

enum { COUNT_SLICE = 4000 };

/* The limits that the account was given; false: none, or not in their form. */
static bool
account_limits(struct account *a, struct quota_usage *out)
{
	*out = (struct quota_usage){ 0 };
	if (a->quota[0] == '\0')
		return false;
	if (quota_limits_parse(slice_str(a->quota), out))
		return true;
	if (!a->quota_warned)
		log_warn("maildir: quota string \"%s\" not parseable path=%s",
		    a->quota, a->path);
	a->quota_warned = true;
	return false;
}

static int
keep_count(struct account *a, const struct quota_usage *u, struct err *e)
{
	struct file_unique unique = store_unique(a->store, a->store->wall_ms);
	int rc = quota_file_write(a->root_fd, &unique, u, e);

	if (rc == 0)
		a->quota_stale = false;
	return rc;
}

/* What counts, as the store was told. */
static void
set_what(struct account *a, struct quota_usage *u)
{
	u->trash_dir = a->store->trash_dir;
	u->all = a->store->opt.trash_quota;
}

/* Count all that counts into u, whose limits stay, in one go. */
static int
count_whole(struct account *a, bool write, struct quota_usage *u, struct err *e)
{
	struct file_unique unique;
	int rc;

	set_what(a, u);
	if (!write) {
		rc = quota_file_count(a->root_fd, u);
		return rc != 0 ? err_set(e, rc, "count %s", a->path) : 0;
	}
	unique = store_unique(a->store, a->store->wall_ms);
	rc = quota_file_remake(a->root_fd, &unique, u, e);
	if (rc == 0)
		a->quota_stale = false;
	return rc;
}

/*
 * The same for a session, piece by piece, and kept.  ERR_BUSY: that takes
 * longer, call again.
 */
static int
count_all(struct account *a, struct quota_usage *u, struct err *e)
{
	int rc;

	set_what(a, u);
	if (a->counting == NULL)
		a->counting = quota_count_new(a->root_fd, u);
	do {
		rc = quota_count_step(a->counting, COUNT_SLICE, u);
		if (rc == 1)
			return err_set(e, ERR_BUSY, "counting %s", a->path);
		if (rc != 0)
			err_set(e, rc, "count %s", a->path);
		else
			rc = keep_count(a, u, e);
	} while (rc == 0 && quota_count_again(a->counting));
	quota_count_free(&a->counting);
	u->mtime_s = a->store->wall_ms / 1000;
	return rc;
}

/*
 * The present usage, counted anew if the file is no use.  1: there is a
 * quota; 0: none; else ERR_*.
 */
static int
load(struct account *a, struct quota_usage *u, struct err *e)
{
	struct quota_usage given;
	bool has = account_limits(a, &given);
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	rc = quota_file_read(a->root_fd, u);
	if (rc != 0 && !has)
		return rc == ERR_NOT_FOUND || rc == ERR_FORMAT ? 0 : rc;
	if (has &&
	    (rc != 0 || u->bytes_max != given.bytes_max ||
		u->messages_max != given.messages_max)) {
		u->bytes_max = given.bytes_max;
		u->messages_max = given.messages_max;
		rc = count_all(a, u, e);
	} else if (u->too_long || u->bytes < 0 || u->messages < 0 ||
	    a->quota_stale || a->counting != NULL) {
		rc = count_all(a, u, e);
	}
	return rc != 0 ? rc : 1;
}

int
quota_check(struct account *a, uint64_t bytes, uint64_t messages,
    int64_t wall_ms, struct err *e)
{
	struct quota_usage u;
	int rc = load(a, &u, e);

	if (rc <= 0)
		return rc;
	if (quota_fits(&u, bytes, messages))
		return 0;
	/* Before saying no: the file may be wrong, unless it is fresh. */
	if (u.n_lines != 1 || u.mtime_s + QUOTA_FRESH_S < wall_ms / 1000) {
		if ((rc = count_all(a, &u, e)) != 0)
			return rc;
		if (quota_fits(&u, bytes, messages))
			return 0;
	}
	return err_set(e, ERR_QUOTA, "over quota path=%s", a->path);
}

void
quota_note(struct account *a, int64_t bytes, int64_t messages)
{
	int rc;

	if ((bytes == 0 && messages == 0) || a->root_fd < 0)
		return;
	a->quota_grew = a->quota_grew || bytes > 0 || messages > 0;
	rc = quota_file_add(a->root_fd, bytes, messages);
	if (rc == 0 || rc == ERR_NOT_FOUND)
		return;
	log_warn("maildir: quota not noted path=%s", a->path);
	quota_distrust(a);
}

void
quota_distrust(struct account *a)
{
	struct quota_usage u;

	a->quota_stale = true;
	/* Without limits of its own the account has those of the file. */
	if (account_limits(a, &u) &&
	    fsx_unlink(a->root_fd, QUOTA_FILE_NAME) == 0)
		a->quota_stale = false;
}

void
quota_warn(struct account *a)
{
	struct store *s = a->store;
	struct quota_usage u;
	const struct deliver_to to = { .root_fd = a->root_fd,
		.dir_fd = a->root_fd,
		.unique = store_unique(s, s->wall_ms),
		.counts = true,
		.given = account_limits(a, &u),
		.trash_dir = s->trash_dir,
		.count_all = s->opt.trash_quota,
		.mode = 0666 & ~(mode_t)s->opt.umask };
	struct err e;
	int rc;

	a->quota_grew = false;
	if (s->opt.quota_warn_percent == 0 || s->opt.quota_warn_text.n == 0 ||
	    a->root_fd < 0 || quota_file_read(a->root_fd, &u) != 0 ||
	    quota_percent(&u) < s->opt.quota_warn_percent)
		return;
	rc = deliver_warning(&to, s->opt.quota_warn_text, &e);
	if (rc == 1)
		log_info("maildir: quota warning percent=%u path=%s",
		    quota_percent(&u), a->path);
	else if (rc < 0)
		log_warn(
		    "maildir: no quota warning path=%s: %s", a->path, e.text);
}

bool
quota_active(struct account *a)
{
	struct stat st;
	struct quota_usage u;

	return account_limits(a, &u) ||
	    (a->root_fd >= 0 &&
		fsx_stat(a->root_fd, QUOTA_FILE_NAME, &st) == 0);
}

int64_t
quota_counted_ns(struct account *a)
{
	struct statx st;

	/* It is made anew by counting, and else only appended to. */
	if (a->root_fd < 0 ||
	    statx(a->root_fd, QUOTA_FILE_NAME, AT_SYMLINK_NOFOLLOW, STATX_BTIME,
		&st) < 0 ||
	    (st.stx_mask & STATX_BTIME) == 0)
		return 0;
	return st.stx_btime.tv_sec * INT64_C(1000000000) + st.stx_btime.tv_nsec;
}

bool
quota_counts(const struct mailbox *m, uint64_t place)
{
	const struct store *s = m->account->store;

	return s->opt.trash_quota ||
	    (!(place & place_letter('T')) && strcmp(m->dir, s->trash_dir) != 0);
}

bool
quota_size(struct mailbox *m, const struct chunk *c, uint32_t i, uint64_t *size)
{
	struct message_info info = { 0 };
	bool known = file_name_size(chunk_base(c, i), size);

	if (known)
		return true;
	known = mailbox_message_info(m, chunk_uid(c, i), &info) == 0;
	*size = info.file_size;
	return known;
}

int
quota_count(struct account *a, bool write, struct quota_usage *u, struct err *e)
{
	struct quota_usage given;

	*u = (struct quota_usage){ 0 };
	if (quota_file_read(a->root_fd, u) != 0 && !account_limits(a, u))
		return 0;
	if (account_limits(a, &given)) {
		u->bytes_max = given.bytes_max;
		u->messages_max = given.messages_max;
	}
	return count_whole(a, write, u, e);
}

int
account_quota(struct account *a, struct account_quota *out, struct err *e)
{
	struct quota_usage u;
	int rc;

	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	if ((rc = load(a, &u, e)) < 0)
		return rc;
	*out = (struct account_quota){ 0 };
	if (rc == 1)
		*out = (struct account_quota){ (uint64_t)u.bytes, u.bytes_max,
			(uint64_t)u.messages, u.messages_max };
	return 0;
}
