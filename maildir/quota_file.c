#include "maildir/quota_file.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/num.h"
#include "maildir/dir.h"
#include "maildir/name.h"

enum { FILE_BYTES = 5120 };

bool
quota_limits_parse(struct slice s, struct quota_usage *out)
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

int
quota_file_parse(struct slice bytes, struct quota_usage *out)
{
	struct slice rest = bytes, line;

	*out = (struct quota_usage){ .too_long = bytes.n > FILE_BYTES };
	if (!slice_split(&rest, '\n', &line) || !quota_limits_parse(line, out))
		return ERR_FORMAT;
	while (slice_split(&rest, '\n', &line)) {
		int64_t b, c;

		if (!take_number(&line, &b) || !take_number(&line, &c))
			continue;
		if (__builtin_add_overflow(out->bytes, b, &out->bytes) ||
		    __builtin_add_overflow(out->messages, c, &out->messages))
			return ERR_FORMAT;
		out->n_lines++;
		/* one that was cut, by a full disk, and the next behind it */
		if (slice_trim(line).n != 0)
			out->too_long = true;
	}
	return 0;
}

int
quota_file_read(int root_fd, struct quota_usage *out)
{
	char bytes[FILE_BYTES + 1];
	struct stat st;
	ssize_t n;
	int rc, fd = fsx_open_read(root_fd, QUOTA_FILE_NAME, &st);

	*out = (struct quota_usage){ 0 };
	if (fd < 0)
		return err_of_errno(errno);
	n = fsx_pread(fd, bytes, sizeof(bytes), 0);
	(void)close(fd);
	if (n < 0)
		return ERR_SYS;
	rc = quota_file_parse(slice_of(bytes, (size_t)n), out);
	out->mtime_s = st.st_mtim.tv_sec;
	return rc;
}

/* --- changing ------------------------------------------------------------ */

int
quota_file_write(int root_fd, const struct file_unique *unique,
    const struct quota_usage *u, struct err *e)
{
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
	file_name_tmp(&tmp, unique);
	if (fsx_replace(root_fd, buf_cstr(&tmp), QUOTA_FILE_NAME,
		buf_slice(&text), 0644, false) < 0)
		rc = err_sys(e, "write " QUOTA_FILE_NAME);
	buf_fini(&tmp);
	buf_fini(&text);
	return rc;
}

int
quota_file_add(int root_fd, int64_t bytes, int64_t messages)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%12lld %12lld\n",
	    (long long)bytes, (long long)messages);
	int fd = (int)TEMP_FAILURE_RETRY(openat(root_fd, QUOTA_FILE_NAME,
	    O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
	int rc;

	if (fd < 0)
		return err_of_errno(errno);
	rc = fsx_write_all(fd, slice_of(line, (size_t)n));
	return fsx_close(fd) < 0 || rc < 0 ? ERR_SYS : 0;
}

bool
quota_fits(const struct quota_usage *u, uint64_t bytes, uint64_t messages)
{
	return (u->bytes_max == 0 ||
		   (bytes <= u->bytes_max &&
		       (uint64_t)u->bytes <= u->bytes_max - bytes)) &&
	    (u->messages_max == 0 ||
		(messages <= u->messages_max &&
		    (uint64_t)u->messages <= u->messages_max - messages));
}

static unsigned
percent_of(int64_t used, uint64_t max)
{
	uint64_t product;

	if (max == 0 || used <= 0)
		return 0;
	if (__builtin_mul_overflow((uint64_t)used, 100u, &product))
		product = UINT64_MAX;
	product /= max;
	return product > UINT32_MAX ? UINT32_MAX : (unsigned)product;
}

unsigned
quota_percent(const struct quota_usage *u)
{
	unsigned bytes = percent_of(u->bytes, u->bytes_max),
		 messages = percent_of(u->messages, u->messages_max);

	return bytes > messages ? bytes : messages;
}

/* --- for those who deliver ------------------------------------------------ */

int
quota_file_remake(int root_fd, const struct file_unique *unique,
    struct quota_usage *u, struct err *e)
{
	struct quota_count *c = quota_count_new(root_fd, u);
	int rc;

	do {
		do
			rc = quota_count_step(c, INT32_MAX / 2, u);
		while (rc == 1);
		if (rc != 0)
			err_set(e, rc, "count what counts for the quota");
		else
			rc = quota_file_write(root_fd, unique, u, e);
	} while (rc == 0 && quota_count_again(c));
	quota_count_free(&c);
	return rc;
}

int
quota_file_limit(int root_fd, const struct file_unique *unique,
    struct slice limits, const struct quota_usage *how, struct err *e)
{
	struct quota_usage given = *how, now;

	given.bytes_max = given.messages_max = 0;
	/* as with Courier, no quota at all */
	if (!quota_limits_parse(limits, &given))
		return 0;
	if (quota_file_read(root_fd, &now) == 0 &&
	    now.bytes_max == given.bytes_max &&
	    now.messages_max == given.messages_max)
		return 0;
	return quota_file_remake(root_fd, unique, &given, e);
}

int
quota_file_admit(int root_fd, const struct file_unique *unique, uint64_t bytes,
    uint64_t messages, struct quota_usage *u, struct err *e)
{
	struct quota_usage now;
	int rc = quota_file_read(root_fd, &now);

	now.trash_dir = u->trash_dir;
	now.all = u->all;
	/* without a first line that makes sense there is no quota */
	if (rc == ERR_NOT_FOUND ||
	    (rc == ERR_FORMAT && now.bytes_max == 0 && now.messages_max == 0))
		return 0;
	if (rc != 0 && rc != ERR_FORMAT)
		return err_set(e, rc, "read " QUOTA_FILE_NAME);
	if ((rc == ERR_FORMAT || now.too_long || now.bytes < 0 ||
		now.messages < 0 ||
		(!quota_fits(&now, bytes, messages) &&
		    (now.n_lines != 1 ||
			now.mtime_s + QUOTA_FRESH_S <
			    unique->wall_ms / 1000))) &&
	    (rc = quota_file_remake(root_fd, unique, &now, e)) != 0)
		return rc;
	*u = now;
	return quota_fits(&now, bytes, messages)
	    ? 0
	    : err_set(e, ERR_QUOTA, "over quota");
}
