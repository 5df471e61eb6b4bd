/*
 * maildirsize, by Courier's algorithm.
 *
 * The first line is the limits ("10000000S,1000C"), each other one a change
 * of bytes and messages; their sum is the usage.  Changes are appended, so no
 * lock is needed.  The file is made anew by counting when it is missing, too
 * long, sums up to less than nothing, or has other limits than the account.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/num.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/name.h"

#define FILE_NAME "maildirsize"

enum { FILE_BYTES = 5120, FRESH_S = 15 * 60 };

struct usage {
	uint64_t bytes_max, messages_max; /* 0: no limit */
	int64_t bytes, messages;
	unsigned n_lines; /* of changes */
	int64_t mtime_s;
	bool too_long;
};

/* "10000000S,1000C"; false: not in that form. */
static bool
parse_limits(struct slice s, struct usage *out)
{
	struct slice part;
	bool any = false;

	s = slice_trim(s);
	while (s.n != 0 && slice_split(&s, ',', &part)) {
		uint64_t v;
		uint8_t unit;

		part = slice_trim(part);
		if (part.n < 2 || !num_u64(slice_first(part, part.n - 1), &v))
			return false;
		unit = part.p[part.n - 1];
		if (unit == 'S')
			out->bytes_max = v;
		else if (unit == 'C')
			out->messages_max = v;
		else
			return false;
		any = true;
	}
	return any;
}

static bool
take_number(struct slice *line, int64_t *v)
{
	size_t n = 0;

	*line = slice_trim(*line);
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	if (!num_i64(slice_first(*line, n), v))
		return false;
	*line = slice_skip(*line, n);
	return true;
}

/* 0; ERR_NOT_FOUND; ERR_FORMAT: it is no use. */
static int
read_file(struct account *a, struct usage *out)
{
	char bytes[FILE_BYTES + 1];
	struct stat st;
	struct slice rest, line;
	ssize_t n;
	int fd = fsx_open_read(a->root_fd, FILE_NAME, &st);

	*out = (struct usage){ 0 };
	if (fd < 0)
		return err_of_errno(errno);
	n = fsx_pread(fd, bytes, sizeof(bytes), 0);
	(void)close(fd);
	if (n < 0)
		return ERR_SYS;
	out->mtime_s = st.st_mtim.tv_sec;
	out->too_long = n > FILE_BYTES;
	rest = slice_of(bytes, (size_t)n);
	if (!slice_split(&rest, '\n', &line) || !parse_limits(line, out))
		return ERR_FORMAT;
	while (slice_split(&rest, '\n', &line)) {
		int64_t b, c;

		if (!take_number(&line, &b) || !take_number(&line, &c))
			continue;
		if (__builtin_add_overflow(out->bytes, b, &out->bytes) ||
		    __builtin_add_overflow(out->messages, c, &out->messages))
			return ERR_FORMAT;
		out->n_lines++;
	}
	return 0;
}

/* The limits that the account was given; false: none, or not in their form. */
static bool
account_limits(struct account *a, struct usage *out)
{
	*out = (struct usage){ 0 };
	if (a->quota[0] == '\0')
		return false;
	if (parse_limits(slice_str(a->quota), out))
		return true;
	if (!a->quota_warned)
		log_warn("maildir: quota string \"%s\" not parseable path=%s",
		    a->quota, a->path);
	a->quota_warned = true;
	return false;
}

/* Something went away while it was counted, as any file may. */
static int
unless_gone(int error)
{
	int rc = err_of_errno(error);

	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int
count_dir(int fd, const char *sub, struct usage *u)
{
	struct dir_reader r;
	struct slice name;
	struct stat st;
	int rc = 0;

	if (dir_reader_open(&r, fd, sub) < 0)
		return unless_gone(errno);
	while (rc == 0 && dir_reader_next(&r, &name)) {
		struct file_name f;
		uint64_t size;

		if (name.p[0] == '.')
			continue;
		file_name_parse(name, false, &f);
		if (f.place & place_letter('T'))
			continue;
		if (!file_name_size(f.base, &size)) {
			if (fsx_stat(dir_reader_fd(&r), (const char *)name.p,
				&st) < 0) {
				rc = unless_gone(errno);
				continue;
			}
			size = (uint64_t)st.st_size;
		}
		u->bytes += (int64_t)size;
		u->messages++;
	}
	if (rc == 0 && r.failed)
		rc = ERR_SYS;
	dir_reader_close(&r);
	return rc;
}

static int
count_mailbox(int root_fd, const char *dir, struct usage *u)
{
	int fd = fsx_open_dir(root_fd, dir), rc;

	/* a file, or a symbolic link, is no mailbox */
	if (fd < 0)
		return errno == ELOOP ? 0 : unless_gone(errno);
	rc = count_dir(fd, "new", u);
	if (rc == 0)
		rc = count_dir(fd, "cur", u);
	(void)close(fd);
	return rc;
}

static int
write_file(struct account *a, const struct usage *u, struct err *e)
{
	struct file_unique unique = store_unique(a->store, a->store->wall_ms);
	struct buf text, tmp;
	int rc = 0;

	buf_init(&text, 512);
	if (u->bytes_max != 0)
		buf_putf(&text, "%lluS", (unsigned long long)u->bytes_max);
	if (u->messages_max != 0)
		buf_putf(&text, "%s%lluC", u->bytes_max != 0 ? "," : "",
		    (unsigned long long)u->messages_max);
	if (u->bytes_max == 0 && u->messages_max == 0)
		buf_puts(&text, "0S");
	buf_putf(&text, "\n%12lld %12lld\n", (long long)u->bytes,
	    (long long)u->messages);
	buf_init(&tmp, 512);
	buf_puts(&tmp, "tmp/");
	file_name_tmp(&tmp, &unique);
	if (fsx_replace(a->root_fd, buf_cstr(&tmp), FILE_NAME, buf_slice(&text),
		0644, false) < 0)
		rc = err_sys(e, "write " FILE_NAME);
	buf_fini(&tmp);
	buf_fini(&text);
	return rc;
}

/* Count all that counts into u, whose limits stay. */
static int
count_all(struct account *a, struct usage *u, struct err *e)
{
	struct dir_reader r;
	struct slice name;
	int rc;

	u->bytes = u->messages = 0;
	rc = count_mailbox(a->root_fd, ".", u);
	if (rc != 0)
		return err_set(e, rc, "count %s", a->path);
	if (dir_reader_open(&r, a->root_fd, ".") < 0)
		return err_sys(e, "read %s", a->path);
	while (rc == 0 && dir_reader_next(&r, &name))
		if (name_is_dir(name) && !slice_eq(name, SLICE(".Trash")))
			rc = count_mailbox(a->root_fd, (const char *)name.p, u);
	if (rc == 0 && r.failed)
		rc = ERR_SYS;
	dir_reader_close(&r);
	/* What couldn't be counted doesn't count as nothing. */
	if (rc != 0)
		return err_set(e, rc, "count %s", a->path);
	u->n_lines = 1;
	u->too_long = false;
	if ((rc = write_file(a, u, e)) == 0)
		a->quota_stale = false;
	return rc;
}

/*
 * The present usage, counted anew if the file is no use.  1: there is a
 * quota; 0: none; else ERR_*.
 */
static int
load(struct account *a, struct usage *u, struct err *e)
{
	struct usage given;
	bool has = account_limits(a, &given);
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	rc = read_file(a, u);
	if (rc != 0 && !has)
		return rc == ERR_NOT_FOUND || rc == ERR_FORMAT ? 0 : rc;
	if (has &&
	    (rc != 0 || u->bytes_max != given.bytes_max ||
		u->messages_max != given.messages_max)) {
		u->bytes_max = given.bytes_max;
		u->messages_max = given.messages_max;
		rc = count_all(a, u, e);
	} else if (u->too_long || u->bytes < 0 || u->messages < 0 ||
	    a->quota_stale) {
		rc = count_all(a, u, e);
	}
	return rc != 0 ? rc : 1;
}

static bool
fits(const struct usage *u, uint64_t bytes, uint64_t messages)
{
	return (u->bytes_max == 0 ||
		   (bytes <= u->bytes_max &&
		       (uint64_t)u->bytes <= u->bytes_max - bytes)) &&
	    (u->messages_max == 0 ||
		(messages <= u->messages_max &&
		    (uint64_t)u->messages <= u->messages_max - messages));
}

int
quota_check(struct account *a, uint64_t bytes, uint64_t messages,
    int64_t wall_ms, struct err *e)
{
	struct usage u;
	int rc = load(a, &u, e);

	if (rc <= 0)
		return rc;
	if (fits(&u, bytes, messages))
		return 0;
	/* Before saying no: the file may be wrong, unless it is fresh. */
	if (u.n_lines != 1 || u.mtime_s + FRESH_S < wall_ms / 1000) {
		if ((rc = count_all(a, &u, e)) != 0)
			return rc;
		if (fits(&u, bytes, messages))
			return 0;
	}
	return err_set(e, ERR_QUOTA, "over quota path=%s", a->path);
}

void
quota_note(struct account *a, int64_t bytes, int64_t messages)
{
	char line[64];
	int fd, n, rc;

	if ((bytes == 0 && messages == 0) || a->root_fd < 0)
		return;
	n = snprintf(line, sizeof(line), "%12lld %12lld\n", (long long)bytes,
	    (long long)messages);
	fd = (int)TEMP_FAILURE_RETRY(openat(a->root_fd, FILE_NAME,
	    O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0 && errno == ENOENT)
		return;
	rc = fd < 0 ? -1 : fsx_write_all(fd, slice_of(line, (size_t)n));
	if (fd >= 0 && fsx_close(fd) < 0)
		rc = -1;
	if (rc == 0)
		return;
	log_warn("maildir: quota not noted path=%s", a->path);
	quota_distrust(a);
}

void
quota_distrust(struct account *a)
{
	a->quota_stale = fsx_unlink(a->root_fd, FILE_NAME) < 0;
}

bool
quota_active(struct account *a)
{
	struct stat st;
	struct usage u;

	return account_limits(a, &u) ||
	    (a->root_fd >= 0 && fsx_stat(a->root_fd, FILE_NAME, &st) == 0);
}

int64_t
quota_counted_ns(struct account *a)
{
	struct statx st;

	/* It is made anew by counting, and else only appended to. */
	if (a->root_fd < 0 ||
	    statx(a->root_fd, FILE_NAME, AT_SYMLINK_NOFOLLOW, STATX_BTIME,
		&st) < 0 ||
	    (st.stx_mask & STATX_BTIME) == 0)
		return 0;
	return st.stx_btime.tv_sec * INT64_C(1000000000) + st.stx_btime.tv_nsec;
}

bool
quota_counts(const struct mailbox *m, uint64_t place)
{
	return !(place & place_letter('T')) &&
	    !slice_eq(slice_str(m->dir), SLICE(".Trash"));
}

uint64_t
quota_size(struct mailbox *m, const struct chunk *c, uint32_t i)
{
	struct message_info info;
	uint64_t size;

	if (file_name_size(chunk_base(c, i), &size))
		return size;
	return mailbox_message_info(m, c->m[i].uid, &info) == 0 ? info.file_size
								: 0;
}

int
quota_recount(struct account *a, struct err *e)
{
	struct usage u, given;

	if (read_file(a, &u) != 0 && !account_limits(a, &u))
		return 0;
	if (account_limits(a, &given)) {
		u.bytes_max = given.bytes_max;
		u.messages_max = given.messages_max;
	}
	return count_all(a, &u, e);
}

int
account_quota(struct account *a, struct account_quota *out, struct err *e)
{
	struct usage u;
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
