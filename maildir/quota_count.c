/*
 * Counting what a Maildir++ tree holds, some thousand files at a time.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/name.h"
#include "maildir/quota_file.h"

enum { COUNT_TRIES = 5, STAT_COST = 4 };

static const char *const subs[] = { "new", "cur" };

struct quota_count {
	int root_fd; /* the caller's */
	struct quota_usage u;
	struct dir_reader root; /* where the mailboxes are */
	bool listing;
	int fd;	 /* the mailbox at work, -1: none */
	int sub; /* index into subs of what is read, or is next */
	struct dir_reader r;
	bool reading;
	uint64_t times; /* of all directories, when they were opened */
	int tries;
};

struct quota_count *
quota_count_new(int root_fd, const struct quota_usage *how)
{
	struct quota_count *c = MEM_NEW(struct quota_count);

	c->root_fd = root_fd;
	c->u.trash_dir = how->trash_dir;
	c->u.all = how->all;
	c->fd = -1;
	return c;
}

static void
leave(struct quota_count *c)
{
	if (c->reading)
		dir_reader_close(&c->r);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->reading = false;
	c->fd = -1;
	c->sub = 0;
}

static void
restart(struct quota_count *c)
{
	leave(c);
	if (c->listing)
		dir_reader_close(&c->root);
	c->listing = false;
	c->u.bytes = c->u.messages = 0;
	c->times = 0;
}

void
quota_count_free(struct quota_count **pc)
{
	struct quota_count *c = *pc;

	*pc = NULL;
	if (c == NULL)
		return;
	restart(c);
	free(c);
}

/* What isn't there has nothing to count. */
static int
unless_gone(int sys)
{
	int rc = err_of_errno(sys);

	return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Whether a mailbox counts, by its directory. */
static bool
is_counted(const struct quota_count *c, struct slice dir)
{
	const char *trash = c->u.trash_dir != NULL ? c->u.trash_dir : ".Trash";

	return name_is_dir(dir) &&
	    (c->u.all || !slice_eq(dir, slice_str(trash)));
}

/* Add the times of new/ and cur/ below dir to a sum that changes with them. */
static void
add_times(int root_fd, const char *dir, uint64_t *sum)
{
	struct buf path;
	struct stat st;

	buf_init(&path, 1024);
	for (size_t i = 0; i < NELEMS(subs); i++) {
		buf_reset(&path);
		buf_putf(&path, "%s/%s", dir, subs[i]);
		if (fsx_stat(root_fd, buf_cstr(&path), &st) == 0)
			*sum = *sum * 31 +
			    (uint64_t)st.st_mtim.tv_sec * 1000003 +
			    (uint64_t)st.st_mtim.tv_nsec;
	}
	buf_fini(&path);
}

static uint64_t
times_now(const struct quota_count *c)
{
	struct dir_reader r;
	struct slice name;
	uint64_t times = 0;

	add_times(c->root_fd, ".", &times);
	if (dir_reader_open(&r, c->root_fd, ".") < 0)
		return 0;
	while (dir_reader_next(&r, &name))
		if (is_counted(c, name))
			add_times(c->root_fd, (const char *)name.p, &times);
	dir_reader_close(&r);
	return times;
}

static int
enter(struct quota_count *c, const char *dir)
{
	add_times(c->root_fd, dir, &c->times);
	c->fd = fsx_open_dir(c->root_fd, dir);
	c->sub = 0;
	/* a file, or a symbolic link, is no mailbox */
	if (c->fd < 0)
		return errno == ELOOP ? 0 : unless_gone(errno);
	return 0;
}

/* The next mailbox: 1: entered, or passed over; 0: there is none. */
static int
next_mailbox(struct quota_count *c)
{
	struct slice name;
	int rc;

	if (!c->listing) {
		if ((rc = enter(c, ".")) != 0)
			return rc;
		if (dir_reader_open(&c->root, c->root_fd, ".") < 0)
			return err_of_errno(errno);
		c->listing = true;
		return 1;
	}
	while (dir_reader_next(&c->root, &name)) {
		if (!is_counted(c, name))
			continue;
		rc = enter(c, (const char *)name.p);
		return rc != 0 ? rc : 1;
	}
	return c->root.failed ? ERR_SYS : 0;
}

static int
count_file(struct quota_count *c, struct slice name, int *budget)
{
	struct file_name f;
	struct stat st;
	uint64_t size;

	if (name.p[0] == '.')
		return 0;
	file_name_parse(name, false, &f);
	if (f.place & place_letter('T') && !c->u.all)
		return 0;
	if (!file_name_size(f.base, &size)) {
		*budget -= STAT_COST;
		if (fsx_stat(dir_reader_fd(&c->r), (const char *)name.p, &st) <
		    0)
			return unless_gone(errno);
		size = (uint64_t)st.st_size;
	}
	/* a name may say anything */
	if (size > (uint64_t)(INT64_MAX - c->u.bytes))
		size = (uint64_t)(INT64_MAX - c->u.bytes);
	c->u.bytes += (int64_t)size;
	c->u.messages++;
	return 0;
}

/* Files of the directory under way; when it ends the next one is due. */
static int
count_files(struct quota_count *c, int *budget)
{
	struct slice name;
	int rc = 0;

	while (rc == 0 && (*budget)-- > 0) {
		if (dir_reader_next(&c->r, &name)) {
			rc = count_file(c, name, budget);
			continue;
		}
		if (c->r.failed)
			rc = ERR_SYS;
		dir_reader_close(&c->r);
		c->reading = false;
		c->sub++;
		break;
	}
	return rc;
}

static int
open_sub(struct quota_count *c)
{
	if (dir_reader_open(&c->r, c->fd, subs[c->sub]) < 0) {
		c->sub++;
		return unless_gone(errno);
	}
	c->reading = true;
	return 0;
}

int
quota_count_step(struct quota_count *c, int budget, struct quota_usage *out)
{
	int rc = 0;

	while (rc == 0 && budget > 0) {
		if (c->reading) {
			rc = count_files(c, &budget);
		} else if (c->fd >= 0 && c->sub < (int)NELEMS(subs)) {
			rc = open_sub(c);
		} else {
			leave(c);
			budget -= STAT_COST;
			if ((rc = next_mailbox(c)) == 1) {
				rc = 0;
				continue;
			}
			/* Who delivers meanwhile adds his line to the old
			 * file. */
			if (rc == 0 && ++c->tries < COUNT_TRIES &&
			    c->times != times_now(c)) {
				restart(c);
				continue;
			}
			if (rc == 0) {
				out->bytes = c->u.bytes;
				out->messages = c->u.messages;
				out->n_lines = 1;
				out->too_long = false;
			}
			return rc;
		}
	}
	return rc != 0 ? rc : 1;
}

bool
quota_count_again(struct quota_count *c)
{
	if (c->tries >= COUNT_TRIES || c->times == times_now(c))
		return false;
	restart(c);
	return true;
}

int
quota_file_count(int root_fd, struct quota_usage *u)
{
	struct quota_count *c = quota_count_new(root_fd, u);
	int rc;

	do
		rc = quota_count_step(c, INT32_MAX / 2, u);
	while (rc == 1);
	quota_count_free(&c);
	return rc;
}
