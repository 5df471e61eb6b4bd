#include "maildir/acl_file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/utf7.h"
#include "maildir/dir.h"
#include "maildir/name.h"

#define FILE_NAME "courierimapacl"
#define HIER_DIR  "courierimaphieracl"

enum { FILE_MAX = 512 * 1024, PATH_BYTES = 2048, TIDY_AGE_S = 3600 };

/* --- reading ------------------------------------------------------------- */

static int
read_bytes(int fd, struct buf *out)
{
	uint8_t bytes[4096];
	ssize_t n;
	off_t at = 0;

	while ((n = fsx_pread(fd, bytes, sizeof(bytes), at)) > 0) {
		buf_put(out, slice_of(bytes, (size_t)n));
		at += n;
	}
	return n < 0 ? err_of_errno(errno) : buf_ok(out) ? 0 : ERR_LIMIT;
}

/* 1: it is there; 0: it isn't; ERR_*: that can't be told. */
static int
look(int root_fd, const char *path, struct stat *st)
{
	if (fsx_stat(root_fd, path, st) == 0)
		return 1;
	return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
	    ? 0
	    : err_of_errno(errno);
}

/* Most mailboxes have none: one call instead of three. */
static bool
is_missing(int root_fd, const char *dir, const char *name)
{
	struct buf path;
	struct stat st;
	bool missing;

	buf_init(&path, PATH_BYTES);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/" : "");
	buf_puts(&path, name);
	missing = buf_ok(&path) && look(root_fd, buf_cstr(&path), &st) == 0;
	buf_fini(&path);
	return missing;
}

/* Add the lines of DIR/NAME.  1; 0: there is none; ERR_*. */
static int
read_file(int root_fd, const char *dir, const char *name, struct acl *out)
{
	int dir_fd, fd, rc;
	struct buf bytes;

	if (is_missing(root_fd, dir, name))
		return 0;
	dir_fd = fsx_open_dir(root_fd, dir[0] != '\0' ? dir : ".");
	if (dir_fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
		    ? 0
		    : err_of_errno(errno);
	fd = fsx_open_read(dir_fd, name, NULL);
	rc = fd >= 0 || errno == ENOENT ? 0 : err_of_errno(errno);
	(void)close(dir_fd);
	if (fd < 0)
		return rc;
	buf_init(&bytes, FILE_MAX);
	rc = read_bytes(fd, &bytes);
	(void)close(fd);
	if (rc == 0) {
		acl_parse(buf_slice(&bytes), out);
		rc = 1;
	}
	buf_fini(&bytes);
	return rc;
}

/* The other spelling of a name, appended; false: there is none. */
static bool
put_other_spelling(struct buf *out, struct slice name)
{
	bool ascii = true;

	for (size_t i = 0; i < name.n; i++)
		ascii = ascii && name.p[i] < 0x80;
	if (ascii ? !utf7_to_utf8(name, out) : !utf8_to_utf7(name, out))
		return false;
	return !slice_eq(buf_slice(out), name);
}

/*
 * What the list of a name may be called in the hierarchy's folder, appended: in
 * modified UTF-7, as Courier 5 and acl_write() spell it, as its directory is,
 * or in UTF-8.  False: that is the same as one before.
 */
enum { HIER_UTF7, HIER_AS_DIR, HIER_UTF8, HIER_SPELLINGS };
static bool
put_hier_name(struct buf *out, struct slice dir, int spelling)
{
	size_t before = buf_len(out);
	struct slice name = slice_skip(dir, 1), first;
	struct buf utf8, utf7;
	bool other = true;

	buf_init(&utf8, PATH_BYTES);
	buf_init(&utf7, PATH_BYTES);
	name_put_decoded(&utf8, name);
	first = utf8_to_utf7(buf_slice(&utf8), &utf7) ? buf_slice(&utf7) : name;
	buf_put(out,
	    spelling == HIER_UTF7	? first
		: spelling == HIER_UTF8 ? buf_slice(&utf8)
					: name);
	if (spelling != HIER_UTF7)
		other = !slice_eq(slice_skip(buf_slice(out), before), first);
	if (spelling == HIER_UTF8)
		other = other && !slice_eq(buf_slice(&utf8), name);
	buf_fini(&utf7);
	buf_fini(&utf8);
	return other;
}

/* As read_file(), for what is known of a name that may be only a parent. */
static int
read_hier(int root_fd, struct slice dir, struct acl *out)
{
	struct buf name;
	int rc = 0;

	buf_init(&name, PATH_BYTES);
	for (int i = 0; i < HIER_SPELLINGS && rc == 0; i++) {
		buf_reset(&name);
		if (put_hier_name(&name, dir, i))
			rc = read_file(root_fd, HIER_DIR, buf_cstr(&name), out);
	}
	buf_fini(&name);
	return rc;
}

int
acl_read(int root_fd, const char *dir, struct acl *out, enum acl_source *from,
    struct err *e)
{
	struct slice rest = slice_str(dir);
	enum acl_source source = ACL_OWN;
	struct buf path;
	int rc;

	buf_init(&path, PATH_BYTES);
	/* ".a.b", then ".a", then "" */
	for (;;) {
		buf_reset(&path);
		buf_put(&path, rest);
		rc = read_file(root_fd, buf_cstr(&path), FILE_NAME, out);
		if (rc == 0 && rest.n > 1)
			rc = read_hier(root_fd, rest, out);
		if (rc != 0 || rest.n == 0)
			break;
		rest = slice_first(rest, slice_rfind(rest, '.'));
		source = ACL_INHERITED;
	}
	if (rc == 0) {
		acl_default(out);
		source = ACL_BY_DEFAULT;
	}
	if (from != NULL)
		*from = source;
	if (rc < 0)
		(void)err_set(e, rc, "read the access control list of \"%s\"",
		    buf_cstr(&path));
	buf_fini(&path);
	return rc < 0 ? rc : 0;
}

/* --- looking ------------------------------------------------------------- */

/* As read_hier() finds it. */
static int
look_hier(int root_fd, struct slice dir, struct stat *st)
{
	struct buf path;
	int rc = 0;

	buf_init(&path, PATH_BYTES);
	for (int i = 0; i < HIER_SPELLINGS && rc == 0; i++) {
		buf_reset(&path);
		buf_puts(&path, HIER_DIR "/");
		if (put_hier_name(&path, dir, i))
			rc = look(root_fd, buf_cstr(&path), st);
	}
	buf_fini(&path);
	return rc;
}

struct acl_print
acl_print(int root_fd, const char *dir, int64_t wall_ms)
{
	struct acl_print p = acl_print_none;
	struct slice rest = slice_str(dir);
	struct stat st;
	struct buf path;
	int64_t ns;
	int rc;

	buf_init(&path, PATH_BYTES);
	for (;;) {
		buf_reset(&path);
		buf_put(&path, rest);
		buf_puts(&path, rest.n != 0 ? "/" FILE_NAME : FILE_NAME);
		rc = look(root_fd, buf_cstr(&path), &st);
		if (rc == 0 && rest.n > 1)
			rc = look_hier(root_fd, rest, &st);
		if (rc != 0 || rest.n == 0)
			break;
		rest = slice_first(rest, slice_rfind(rest, '.'));
	}
	buf_fini(&path);
	if (rc == 0)
		return p;
	ns = rc < 0 ? 0 : st.st_ctim.tv_sec * 1000000000LL + st.st_ctim.tv_nsec;
	p.ctime_ns = 0;
	if (rc < 0 || ns / 1000000 > wall_ms - ACL_PRINT_AGE_MS)
		return p;
	return (struct acl_print){ st.st_ino, ns, (uint64_t)st.st_size };
}

/* --- writing ------------------------------------------------------------- */

uint64_t
acl_place(int root_fd, const char *dir)
{
	struct stat st;

	return fsx_stat(root_fd, dir[0] != '\0' ? dir : ".", &st) == 0 &&
		S_ISDIR(st.st_mode)
	    ? st.st_ino
	    : 0;
}

/* The directory of a mailbox, opened; or ERR_*. */
static int
open_mailbox(int root_fd, const char *dir, struct err *e)
{
	int fd = fsx_open_dir(root_fd, dir[0] != '\0' ? dir : ".");

	if (fd >= 0)
		return fd;
	return errno == ENOTDIR || errno == ELOOP
	    ? err_set(e, ERR_NOT_FOUND, "%s is no mailbox", dir)
	    : err_sys(e, "open %s", dir);
}

/* The directory for the lists of names that are only parents. */
static int
open_hier(int root_fd, struct err *e)
{
	int fd;

	if (fsx_mkdir(root_fd, HIER_DIR, 0700) == 0) {
		if (fsx_fsync(root_fd) < 0)
			return err_sys(e, "sync the mailboxes");
	} else if (errno != EEXIST) {
		return err_sys(e, "mkdir " HIER_DIR);
	}
	fd = fsx_open_dir(root_fd, HIER_DIR);
	return fd < 0 ? err_sys(e, "open " HIER_DIR) : fd;
}

/* dir_fd is of the list's directory. */
static int
write_list(int root_fd, int dir_fd, const char *name, const struct acl *a,
    bool only_new, struct file_unique *u, struct err *e)
{
	struct buf tmp, bytes;
	int rc = 0;

	buf_init(&tmp, PATH_BYTES);
	buf_init(&bytes, FILE_MAX);
	buf_puts(&tmp, "tmp/");
	file_name_tmp(&tmp, u);
	u->counter++;
	acl_put(&bytes, a);
	if (!buf_ok(&bytes))
		rc = err_set(e, ERR_LIMIT, "access control list is too long");
	else if (fsx_replace_synced(root_fd, buf_cstr(&tmp), dir_fd, name,
		     buf_slice(&bytes), 0644, only_new) < 0)
		rc = err_sys(e, "write the access control list %s", name);
	buf_fini(&bytes);
	buf_fini(&tmp);
	return rc;
}

static int
write_hier(int root_fd, struct slice dir, const struct acl *a,
    struct file_unique *u, struct err *e)
{
	int fd = open_hier(root_fd, e), rc;
	struct buf file;

	if (fd < 0)
		return fd;
	buf_init(&file, PATH_BYTES);
	(void)put_hier_name(&file, dir, HIER_UTF7);
	rc = write_list(root_fd, fd, buf_cstr(&file), a, false, u, e);
	buf_fini(&file);
	(void)close(fd);
	return rc;
}

int
acl_write(int root_fd, const char *dir, uint64_t ino, const struct acl *a,
    struct file_unique *u, struct err *e)
{
	int fd = open_mailbox(root_fd, dir, e), rc;
	struct stat st;

	if (fd < 0 && fd != ERR_NOT_FOUND)
		return fd;
	if (ino != 0 && (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != ino))
		rc = err_set(e, ERR_NOT_FOUND, "%s is another now", dir);
	else if (fd < 0)
		rc = write_hier(root_fd, slice_str(dir), a, u, e);
	else
		rc = write_list(root_fd, fd, FILE_NAME, a, false, u, e);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* Write the mailbox in dir the list that it has; with one of its own, or if it
 * is gone, nothing is done, and unless always, neither if nobody has ever
 * written one. */
static int
settle_one(int root_fd, const char *dir, bool always, struct file_unique *u,
    struct err *e)
{
	int fd = open_mailbox(root_fd, dir, e), rc;
	enum acl_source from;
	struct acl a;

	if (fd < 0)
		return fd == ERR_NOT_FOUND ? 0 : fd;
	acl_init(&a);
	rc = acl_read(root_fd, dir, &a, &from, e);
	if (rc == 0 &&
	    (from == ACL_INHERITED || (always && from == ACL_BY_DEFAULT)))
		rc = write_list(root_fd, fd, FILE_NAME, &a, true, u, e);
	acl_fini(&a);
	(void)close(fd);
	return rc;
}

static bool
is_below(struct slice dir, struct slice parent)
{
	return parent.n == 0 ||
	    (dir.n > parent.n && dir.p[parent.n] == '.' &&
		slice_starts(dir, parent));
}

int
acl_settle(int root_fd, const char *dir, struct file_unique *u, struct err *e)
{
	struct dir_reader r;
	struct slice entry;
	int rc = 0;

	if (dir_reader_open(&r, root_fd, ".") < 0)
		return err_sys(e, "read the mailboxes");
	while (rc == 0 && dir_reader_next(&r, &entry))
		if (name_is_dir(entry) && is_below(entry, slice_str(dir)))
			rc = settle_one(
			    root_fd, (const char *)entry.p, true, u, e);
	dir_reader_close(&r);
	if (rc == 0 && r.failed)
		rc = err_set(e, ERR_SYS, "read the mailboxes");
	return rc;
}

/* --- as mailboxes come and go -------------------------------------------- */

int
acl_created(int root_fd, const char *dir, struct file_unique *u, struct err *e)
{
	int fd = open_mailbox(root_fd, dir, e), rc;
	enum acl_source from;
	struct acl a;

	if (fd < 0)
		return fd == ERR_NOT_FOUND ? 0 : fd;
	acl_init(&a);
	rc = acl_read(root_fd, dir, &a, &from, e);
	/* its own is that of the name from before it was a mailbox */
	if (rc == 0 && from != ACL_BY_DEFAULT)
		rc = write_list(root_fd, fd, FILE_NAME, &a, true, u, e);
	if (rc == 0 && from == ACL_OWN)
		acl_deleted(root_fd, dir);
	acl_fini(&a);
	(void)close(fd);
	return rc;
}

int
acl_before_delete(
    int root_fd, const char *dir, struct file_unique *u, struct err *e)
{
	enum acl_source from;
	struct acl a;
	int rc;

	acl_init(&a);
	rc = acl_read(root_fd, dir, &a, &from, e);
	acl_fini(&a);
	if (rc != 0 || from != ACL_OWN)
		return rc;
	return acl_settle(root_fd, dir, u, e);
}

void
acl_deleted(int root_fd, const char *dir)
{
	struct buf path;
	struct stat st;

	if (dir[0] == '\0' || fsx_stat(root_fd, HIER_DIR, &st) < 0)
		return;
	buf_init(&path, PATH_BYTES);
	for (int i = 0; i < HIER_SPELLINGS; i++) {
		buf_reset(&path);
		buf_puts(&path, HIER_DIR "/");
		if (put_hier_name(&path, slice_str(dir), i))
			(void)!fsx_unlink(root_fd, buf_cstr(&path));
	}
	buf_fini(&path);
}

int
acl_before_rename(int root_fd, const char *dir, const char *to,
    struct file_unique *u, struct err *e)
{
	enum acl_source from;
	struct acl a;
	int rc;

	/* of what nobody has ever written a list for, it would get that */
	acl_init(&a);
	rc = acl_read(root_fd, to, &a, &from, e);
	acl_fini(&a);
	return rc != 0 ? rc
		       : settle_one(root_fd, dir, from != ACL_BY_DEFAULT, u, e);
}

/* The name in the spelling of another, in the hierarchy's folder. */
static void
put_hier_path(struct buf *out, struct slice name, bool utf7)
{
	buf_puts(out, HIER_DIR "/");
	if (!utf7 || !utf8_to_utf7(name, out))
		buf_put(out, name);
}

static void
rename_hier(int root_fd, struct slice entry, struct slice from, struct slice to)
{
	struct buf old, target, utf8;
	bool utf7;

	buf_init(&utf8, PATH_BYTES);
	buf_init(&old, PATH_BYTES);
	buf_init(&target, PATH_BYTES);
	utf7 = utf7_to_utf8(entry, &utf8);
	if (!utf7)
		buf_put(&utf8, entry);
	if (slice_eq(buf_slice(&utf8), from) ||
	    is_below(buf_slice(&utf8), from)) {
		struct slice rest = slice_skip(buf_slice(&utf8), from.n);
		char *name =
		    mem_printf("%.*s%.*s", SLICE_ARG(to), SLICE_ARG(rest));

		put_hier_path(&old, entry, false);
		put_hier_path(&target, slice_str(name), utf7);
		(void)!fsx_rename(
		    root_fd, buf_cstr(&old), root_fd, buf_cstr(&target));
		free(name);
	}
	buf_fini(&target);
	buf_fini(&old);
	buf_fini(&utf8);
}

/* A directory's name without its dot, in UTF-8. */
static struct slice
utf8_name(struct buf *out, const char *dir)
{
	name_put_decoded(out, slice_str(dir + 1));
	return buf_slice(out);
}

void
acl_renamed(int root_fd, const char *from, const char *to)
{
	struct buf from_name, to_name;
	struct dir_reader r;
	struct slice entry;

	if (from[0] == '\0' || to[0] == '\0' ||
	    dir_reader_open(&r, root_fd, HIER_DIR) < 0)
		return;
	buf_init(&from_name, PATH_BYTES);
	buf_init(&to_name, PATH_BYTES);
	(void)utf8_name(&from_name, from);
	(void)utf8_name(&to_name, to);
	while (dir_reader_next(&r, &entry))
		rename_hier(
		    root_fd, entry, buf_slice(&from_name), buf_slice(&to_name));
	dir_reader_close(&r);
	buf_fini(&to_name);
	buf_fini(&from_name);
}

/* --- tidying ------------------------------------------------------------- */

/* Whether a name of the hierarchy has a mailbox below it; or ERR_*. */
static int
has_below(int root_fd, struct slice name)
{
	struct buf other;
	struct dir_reader r;
	struct slice entry;
	bool found = false;

	if (dir_reader_open(&r, root_fd, ".") < 0)
		return err_of_errno(errno);
	buf_init(&other, PATH_BYTES);
	if (!put_other_spelling(&other, name))
		buf_reset(&other);
	while (!found && dir_reader_next(&r, &entry))
		found = name_is_dir(entry) &&
		    (is_below(slice_skip(entry, 1), name) ||
			(buf_len(&other) != 0 &&
			    is_below(slice_skip(entry, 1), buf_slice(&other))));
	dir_reader_close(&r);
	buf_fini(&other);
	return r.failed && !found ? ERR_SYS : found;
}

int
acl_tidy(int root_fd, int64_t wall_s, struct err *e)
{
	struct dir_reader r;
	struct slice entry;
	int rc = 0;

	if (dir_reader_open(&r, root_fd, HIER_DIR) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "read " HIER_DIR);
	while (rc >= 0 && dir_reader_next(&r, &entry)) {
		const char *name = (const char *)entry.p;
		struct stat st;

		if (fsx_stat(dir_reader_fd(&r), name, &st) < 0 ||
		    st.st_ctim.tv_sec > wall_s - TIDY_AGE_S)
			continue;
		rc = has_below(root_fd, entry);
		if (rc == 0 && fsx_unlink(dir_reader_fd(&r), name) < 0)
			rc = err_of_errno(errno);
	}
	dir_reader_close(&r);
	return rc < 0 ? err_set(e, rc, "tidy " HIER_DIR) : 0;
}
