#include "maildir/name.h"

#include <errno.h>

#include "base/ascii.h"
#include "base/err.h"
#include "base/fsx.h"
#include "base/utf7.h"
#include "maildir/dir.h"

static const struct slice inbox = SLICE_INIT("INBOX");

bool
name_is_inbox(struct slice name)
{
	return slice_ieq(name, inbox);
}

/* "a.b" of "INBOX.a.b", or nothing. */
static struct slice
below_inbox(struct slice name)
{
	return slice_skip(name, inbox.n + 1);
}

static bool
has_real_shift(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == '&' && s.p[i + 1] != '-')
			return true;
	return false;
}

/* Append the decoded form; false: it isn't another one. */
static bool
put_decoded(struct buf *out, struct slice s)
{
	size_t before = buf_len(out);

	if (!has_real_shift(s) || !utf7_to_utf8(s, out))
		return false;
	for (size_t i = before; i < buf_len(out); i++)
		if (buf_slice(out).p[i] == '/' ||
		    ascii_is_control(buf_slice(out).p[i])) {
			buf_truncate(out, before);
			return false;
		}
	return true;
}

void
name_put_decoded(struct buf *out, struct slice s)
{
	if (!put_decoded(out, s))
		buf_put(out, s);
}

bool
name_valid(struct slice name)
{
	struct slice rest, part;

	if (name_is_inbox(name))
		return true;
	if (!slice_istarts(name, SLICE("INBOX.")) || !utf8_valid(name) ||
	    name.n - inbox.n > NAME_DIR_MAX)
		return false;
	rest = below_inbox(name);
	if (rest.n == 0)
		return false;
	while (slice_split(&rest, '.', &part)) {
		if (part.n == 0)
			return false;
		for (size_t i = 0; i < part.n; i++)
			if (part.p[i] == '/' || ascii_is_control(part.p[i]))
				return false;
	}
	return true;
}

void
name_put_canonical(struct buf *out, struct slice name)
{
	buf_put(out, inbox);
	if (name.n > inbox.n)
		buf_put(out, slice_skip(name, inbox.n));
}

void
name_put_utf8_dir(struct buf *out, struct slice name)
{
	if (name.n > inbox.n)
		buf_put(out, slice_skip(name, inbox.n));
	(void)buf_cstr(out);
}

bool
name_put_utf7(struct buf *out, struct slice s)
{
	size_t before = buf_len(out);

	if (!utf8_to_utf7(s, out))
		return false;
	if (has_real_shift(slice_skip(buf_slice(out), before)))
		return true;
	buf_truncate(out, before);
	return false;
}

bool
name_put_utf7_dir(struct buf *out, struct slice name)
{
	size_t before = buf_len(out);

	if (name.n <= inbox.n || !name_put_utf7(out, slice_skip(name, inbox.n)))
		return false;
	if (buf_len(out) - before <= NAME_DIR_MAX) {
		(void)buf_cstr(out);
		return true;
	}
	buf_truncate(out, before);
	return false;
}

/* 1 or 0; ERR_* if that can't be told, which isn't the same as no. */
static int
look_for_dir(int root_fd, const char *dir)
{
	struct stat st;

	if (fsx_stat(root_fd, dir, &st) == 0)
		return S_ISDIR(st.st_mode) ? 1 : 0;
	return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
	    ? 0
	    : err_of_errno(errno);
}

static bool
is_dir(int root_fd, const char *dir)
{
	return look_for_dir(root_fd, dir) == 1;
}

bool
name_tree_is_utf7(int root_fd)
{
	struct dir_reader r;
	struct slice entry;
	struct buf decoded;
	bool shifted = false, utf8 = false;

	if (dir_reader_open(&r, root_fd, ".") < 0)
		return false;
	buf_init(&decoded, 4 * NAME_DIR_MAX);
	while (!utf8 && dir_reader_next(&r, &entry)) {
		if (!name_is_dir(entry))
			continue;
		for (size_t i = 0; i < entry.n; i++)
			utf8 = utf8 || entry.p[i] >= 0x80;
		buf_reset(&decoded);
		shifted = shifted || put_decoded(&decoded, entry);
	}
	buf_fini(&decoded);
	dir_reader_close(&r);
	return shifted && !utf8;
}

/*
 * Of a name that reads as modified UTF-7: its directory would be shown as
 * another mailbox, unless that one's own directory is there too.
 */
static bool
reads_as_another(int root_fd, struct slice name)
{
	struct buf other;
	bool result = false;

	buf_init(&other, 4 * NAME_DIR_MAX);
	if (put_decoded(&other, slice_skip(name, inbox.n)))
		result = !is_dir(root_fd, buf_cstr(&other));
	buf_fini(&other);
	return result;
}

/* The other spelling: 0 and ERR_NOT_FOUND as name_to_dir(), or ERR_*. */
static int
find_utf7(int root_fd, struct slice name, struct buf *out, size_t before)
{
	struct buf utf7;
	int rc = 0;

	buf_init(&utf7, 4 * NAME_DIR_MAX);
	if (name_put_utf7_dir(&utf7, name)) {
		rc = look_for_dir(root_fd, buf_cstr(&utf7));
		if (rc == 1 || (rc == 0 && name_tree_is_utf7(root_fd))) {
			buf_truncate(out, before);
			buf_put(out, buf_slice(&utf7));
			(void)buf_cstr(out);
		}
	}
	buf_fini(&utf7);
	return rc == 1 ? 0 : rc == 0 ? ERR_NOT_FOUND : rc;
}

int
name_to_dir(int root_fd, struct slice name, struct buf *out)
{
	size_t before = buf_len(out);
	int rc;

	if (!name_valid(name) || reads_as_another(root_fd, name))
		return ERR_INVALID;
	name_put_utf8_dir(out, name);
	if (name_is_inbox(name))
		return 0;
	rc = look_for_dir(root_fd, (const char *)buf_slice(out).p + before);
	if (rc != 0)
		return rc == 1 ? 0 : rc;
	return find_utf7(root_fd, name, out, before);
}

bool
name_is_dir(struct slice dir)
{
	if (dir.n < 2 || dir.p[0] != '.' || dir.p[dir.n - 1] == '.')
		return false;
	for (size_t i = 0; i < dir.n; i++)
		if (ascii_is_control(dir.p[i]) ||
		    (i != 0 && dir.p[i] == '.' && dir.p[i - 1] == '.'))
			return false;
	return utf8_valid(dir);
}

void
name_put_from_dir(int root_fd, struct slice dir, struct buf *out)
{
	struct buf decoded;

	buf_put(out, inbox);
	if (dir.n == 0)
		return;
	buf_init(&decoded, 4 * NAME_DIR_MAX);
	if (put_decoded(&decoded, dir) && !is_dir(root_fd, buf_cstr(&decoded)))
		buf_put(out, buf_slice(&decoded));
	else
		buf_put(out, dir);
	buf_fini(&decoded);
}
