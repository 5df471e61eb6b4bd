#include "maildir/courier_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/num.h"

enum { CONTENT_MAX = 512, STALE_S = 120 };

static void
put_path(struct buf *out, const char *dir, const char *name)
{
	buf_init(out, 2048);
	buf_puts(out, dir);
	buf_puts(out, dir[0] != '\0' ? "/tmp/" : "tmp/");
	buf_puts(out, name);
	(void)buf_cstr(out);
}

/* By /proc, which needs no right to signal it. */
static bool
process_is_gone(uint32_t pid)
{
	char path[32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%u", pid);
	return fsx_stat(AT_FDCWD, path, &st) < 0 && errno == ENOENT &&
	    fsx_stat(AT_FDCWD, "/proc/self", &st) == 0;
}

/* Whether whoever made it has gone. */
static bool
is_stale(int root_fd, const char *path, const struct file_unique *u)
{
	char text[CONTENT_MAX];
	struct stat st;
	struct slice rest, word;
	ssize_t n = -1;
	uint32_t pid;
	int fd = fsx_open_read(root_fd, path, &st);

	if (fd < 0)
		return false;
	n = fsx_pread(fd, text, sizeof(text), 0);
	(void)close(fd);
	rest = slice_trim(slice_of(text, n > 0 ? (size_t)n : 0));
	if (slice_split(&rest, ':', &word) && num_u32(word, &pid) && pid > 1 &&
	    pid < INT32_MAX && slice_eq(rest, slice_str(u->host)))
		return process_is_gone(pid);
	return st.st_mtim.tv_sec + STALE_S < u->wall_ms / 1000;
}

static int
try_link(int root_fd, const char *tmp, const char *path,
    const struct file_unique *u, struct err *e)
{
	for (int i = 0; i < 2; i++) {
		if (fsx_link(root_fd, tmp, root_fd, path) == 0)
			return 0;
		if (errno != EEXIST)
			return err_sys(e, "link %s", path);
		if (!is_stale(root_fd, path, u))
			break;
		(void)!fsx_unlink(root_fd, path);
	}
	return err_set(e, ERR_BUSY, "%s: somebody has the lock", path);
}

int
courier_lock_take(
    int root_fd, const char *dir, const struct file_unique *u, struct err *e)
{
	struct buf name, tmp, path, content;
	int fd, rc;

	buf_init(&name, 512);
	file_name_tmp(&name, u);
	put_path(&tmp, dir, buf_cstr(&name));
	put_path(&path, dir, "courier.lock");
	buf_init(&content, CONTENT_MAX);
	buf_putf(&content, "%ld:%s", (long)getpid(), u->host);
	fd = fsx_create(root_fd, buf_cstr(&tmp), 0600);
	if (fd < 0) {
		rc = err_sys(e, "create %s", buf_cstr(&tmp));
	} else {
		rc = fsx_write_all(fd, buf_slice(&content)) < 0
		    ? err_sys(e, "write %s", buf_cstr(&tmp))
		    : 0;
		(void)close(fd);
		if (rc == 0)
			rc = try_link(
			    root_fd, buf_cstr(&tmp), buf_cstr(&path), u, e);
		(void)!fsx_unlink(root_fd, buf_cstr(&tmp));
	}
	buf_fini(&content);
	buf_fini(&path);
	buf_fini(&tmp);
	buf_fini(&name);
	return rc;
}

void
courier_lock_release(int root_fd, const char *dir)
{
	struct buf path;

	put_path(&path, dir, "courier.lock");
	(void)!fsx_unlink(root_fd, buf_cstr(&path));
	buf_fini(&path);
}
