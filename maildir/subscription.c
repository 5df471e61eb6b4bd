#include "maildir/subscription.h"

#include <errno.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/name.h"

#define FILE_NAME "courierimapsubscribed"

enum { FILE_MAX = 16 * 1024 * 1024 };

static int
read_bytes(int root_fd, struct buf *out, struct err *e)
{
	struct stat st;
	int fd = fsx_open_read(root_fd, FILE_NAME, &st), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open " FILE_NAME);
	if (st.st_size > FILE_MAX)
		rc = err_set(e, ERR_LIMIT, FILE_NAME " is too long");
	while (rc == 0) {
		uint8_t *to = buf_reserve(out, 4096);
		ssize_t n;

		if (to == NULL)
			break;
		n = fsx_pread(fd, to, 4096, (off_t)buf_len(out));
		if (n < 0)
			rc = err_sys(e, "read " FILE_NAME);
		if (n <= 0)
			break;
		buf_advance(out, (size_t)n);
	}
	(void)close(fd);
	return rc;
}

int
subscription_read(int root_fd, struct buf *out, struct err *e)
{
	struct buf bytes;
	struct slice rest, line;
	int rc;

	buf_init(&bytes, 2 * FILE_MAX);
	rc = read_bytes(root_fd, &bytes, e);
	rest = buf_slice(&bytes);
	while (rc == 0 && slice_split(&rest, '\n', &line)) {
		if (line.n == 0)
			continue;
		if (name_is_inbox(line))
			buf_puts(out, "INBOX");
		else
			name_put_decoded(out, line);
		buf_putc(out, '\n');
	}
	buf_fini(&bytes);
	return rc;
}

static bool
same_name(struct slice a, struct slice b)
{
	return slice_eq(a, b) || (name_is_inbox(a) && name_is_inbox(b));
}

int
subscription_replace(
    int root_fd, struct slice names, const struct file_unique *u, struct err *e)
{
	bool utf7 = name_tree_is_utf7(root_fd);
	struct buf tmp, out;
	struct slice name;
	int rc = 0;

	buf_init(&tmp, 1024);
	buf_puts(&tmp, "tmp/");
	file_name_tmp(&tmp, u);
	buf_init(&out, 4 * FILE_MAX);
	while (slice_split(&names, '\n', &name)) {
		if (name.n == 0)
			continue;
		/* as directories are: "a&b" would be "a&-b", and read as that
		 */
		if (!utf7 || !name_put_utf7(&out, name))
			buf_put(&out, name);
		buf_putc(&out, '\n');
	}
	if (!buf_ok(&out))
		rc = err_set(e, ERR_LIMIT, "too many subscriptions");
	else if (fsx_replace(root_fd, buf_cstr(&tmp), FILE_NAME,
		     buf_slice(&out), 0600, true) < 0)
		rc = err_sys(e, "write " FILE_NAME);
	buf_fini(&out);
	buf_fini(&tmp);
	return rc;
}

int
subscription_set(int root_fd, struct slice name, bool on,
    const struct file_unique *u, struct err *e)
{
	struct buf before, after;
	struct slice rest, line;
	bool was = false;
	int rc;

	buf_init(&before, 4 * FILE_MAX);
	buf_init(&after, 4 * FILE_MAX);
	if ((rc = subscription_read(root_fd, &before, e)) != 0)
		goto out;
	rest = buf_slice(&before);
	while (slice_split(&rest, '\n', &line)) {
		if (line.n == 0)
			continue;
		if (same_name(line, name)) {
			was = true;
			continue;
		}
		buf_put(&after, line);
		buf_putc(&after, '\n');
	}
	if (on && !was) {
		buf_put(&after, name);
		buf_putc(&after, '\n');
	}
	if (was != on)
		rc = subscription_replace(root_fd, buf_slice(&after), u, e);
	if (!on && !was)
		rc = err_set(e, ERR_NOT_FOUND, "not subscribed");
out:
	buf_fini(&after);
	buf_fini(&before);
	return rc;
}
